//! The check for lost clusters: in use by the table, although no directory entry leads to them.

use super::{super::table::FatEntry, Check, bit, bits};
use crate::{Remedy, check::Severity, fs::findings::Kind};

const LOST: Kind = Kind {
    severity: Severity::Warning,
    name: "lost clusters",
    meaning: "They are the content of files and directories whose entry is gone, or lost space; they are not free for new files. \
              The directories among them are orphans; fsck.fat or chkdsk can turn them into files.",
};
const BAD: Kind = Kind {
    severity: Severity::Note,
    name: "bad clusters",
    meaning: "The disk that this volume was on had bad sectors there; they are not used.",
};
const UNREADABLE: Kind = Kind {
    severity: Severity::Error,
    name: "unreadable table entries",
    meaning: "Files whose chains lead through them are cut short.",
};

impl Check<'_, '_> {
    /// Reports lost, bad and unreadable clusters; returns the number of free clusters, if every entry is readable.
    pub(super) fn lost(&mut self) -> Option<u32> {
        let clusters = self.fat.geometry.clusters;
        let mut free = Some(0);
        let (mut lost, mut first, mut bad, mut unreadable) = (0_u64, None, 0_u64, 0_u64);
        let readable = self.fat.readable_entries();
        if readable < clusters + 2 {
            unreadable += u64::from(clusters + 2 - readable);
            free = None;
        }
        let mut next = 2;
        while next < readable {
            let (cluster, hole) = (next, self.fat.hole_entries(next).min(readable - next));
            if hole > 0 {
                // An entry of zeros marks a free cluster.
                free = free.map(|free| free + hole);
                next += hole;
                continue;
            }
            next += 1;
            if cluster.is_multiple_of(1 << 16) {
                self.findings.progress("lost clusters", (cluster - 2).into(), clusters.into());
            }
            match self.fat.chains.table().entry(0, cluster, &mut self.reader) {
                Ok(FatEntry::Free) => free = free.map(|free| free + 1),
                Ok(FatEntry::Bad) => bad += 1,
                Ok(_) if self.is_claimed(cluster) => {}
                Ok(_) => {
                    lost += 1;
                    first = first.or(Some(cluster));
                }
                Err(_) => {
                    unreadable += 1;
                    free = None;
                }
            }
        }
        if let Some(first) = first {
            let bytes = lost * u64::from(self.fat.geometry.cluster_size);
            let chains = self.lost_chains();
            let damage = if self.incomplete { "; damaged chains are among them" } else { "" };
            let problem = format!(
                "{lost} clusters ({bytes} bytes) in {chains} chains belong to no file or directory, the first: cluster {first}{damage}"
            );
            self.report(&LOST, "table", problem);
            if self.owners.is_none() {
                self.findings.remedy(Remedy::ListOrphans);
            }
        }
        if bad > 0 {
            self.report(&BAD, "table", format!("{bad} clusters are marked as bad"));
        }
        if unreadable > 0 {
            self.report(&UNREADABLE, "table", format!("{unreadable} entries cannot be read in any copy"));
        }
        free
    }

    /// Counts the lost clusters that no other lost cluster points to. Cycles are not counted.
    fn lost_chains(&mut self) -> u64 {
        let mut followers = bits(self.fat);
        let end = self.fat.readable_entries();
        let mut next = 2;
        while let Some(cluster) = self.fat.next_stored(&mut next, end) {
            if !self.is_claimed(cluster)
                && let Ok(FatEntry::Next(next)) = self.fat.chains.table().entry(0, cluster, &mut self.reader)
            {
                let (word, bit) = bit(next);
                followers[word] |= bit;
            }
        }
        let (mut heads, mut next) = (0, 2);
        while let Some(cluster) = self.fat.next_stored(&mut next, end) {
            let (word, bit) = bit(cluster);
            if followers[word] & bit == 0 && !self.is_claimed(cluster) {
                let entry = self.fat.chains.table().entry(0, cluster, &mut self.reader);
                heads +=
                    u64::from(matches!(entry, Ok(FatEntry::Next(_) | FatEntry::End | FatEntry::Invalid(_))));
            }
        }
        heads
    }
}
