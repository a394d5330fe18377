//! The check of a FAT volume: boot sector, tables, every directory and chain, and lost clusters.
//!
//! One bit per cluster records whether a chain has claimed it: at most 32 MiB, and as much again while lost chains are
//! counted. The directory walk is bounded by its depth; a chain ends at the first cluster that is claimed already, so that
//! all chains together take as many steps as there are clusters.

mod boot;
mod chain;
mod entries;
mod lost;
mod tables;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use super::{Fat, pages::Reader};
use crate::{
    Result,
    check::{FindingSink, Severity},
    fs::findings::{Findings, Kind},
};

const SHARED: Kind = Kind {
    severity: Severity::Error,
    name: "clusters of several files or directories",
    meaning: "At most one of them has its own content there, the others show what was written last. Compare each with a \
              backup.",
};

/// Maximum number of shared clusters whose owners are named.
const MAX_MEETINGS: usize = 1000;
/// Maximum number of owners named for one cluster.
const MAX_OWNERS: usize = 4;

/// The subject of a finding: `file /A/B.TXT`.
#[derive(Clone, Copy)]
enum Object<'a> {
    /// The current directory.
    Here,
    /// A file in it, by name.
    File(&'a str),
    /// A directory in it, by name.
    Directory(&'a str),
}

impl Object<'_> {
    /// Its kind and path, where `here` is the path of the current directory; that of the root is empty.
    fn with_path(self, here: &str) -> String {
        match self {
            Self::Here if here.is_empty() => "root directory".into(),
            Self::Here => format!("directory {here}"),
            Self::File(name) => format!("file {here}/{name}"),
            Self::Directory(name) => format!("directory {here}/{name}"),
        }
    }
}

/// A check in progress.
struct Check<'a, 'r> {
    fat: &'a Fat,
    findings: Findings<'r>,
    reader: Reader<'a>,
    /// One bit per cluster: set when a chain has claimed it.
    claimed: Vec<u64>,
    done: u32,
    /// Clusters where a chain runs into another chain.
    meetings: BTreeSet<u32>,
    /// The owners of each such cluster. Set during the second walk, which reports no findings again.
    owners: Option<BTreeMap<u32, Vec<String>>>,
    /// Positions of directory entries whose directory belongs to another entry.
    losers: BTreeSet<u64>,
    path: String,
    /// True if a part of the tree is unreadable: clusters may lack their owners.
    incomplete: bool,
}

/// Checks a volume. See [`crate::fs::FileSystem::check`].
pub(super) fn volume(fat: &Fat, report: &mut dyn FindingSink) -> Result<()> {
    let mut check = Check {
        fat,
        findings: Findings::new(report),
        reader: fat.pages.reader(),
        claimed: bits(fat),
        done: 0,
        meetings: BTreeSet::new(),
        owners: None,
        losers: BTreeSet::new(),
        path: String::new(),
        incomplete: false,
    };
    check.boot_sector();
    check.tables();
    check.tree();
    let free = check.lost();
    check.fs_info(free);
    check.shared();
    check.findings.finish();
    Ok(())
}

/// A bitmap with a bit for each cluster and for the two reserved numbers.
fn bits(fat: &Fat) -> Vec<u64> {
    vec![0; usize::try_from(u64::from(fat.geometry.clusters).div_ceil(64) + 1).expect("at most 2^23")]
}

/// Word index and mask of a cluster's bit.
fn bit(cluster: u32) -> (usize, u64) {
    (usize::try_from(cluster / 64).expect("below 2^26"), 1 << (cluster % 64))
}

impl Check<'_, '_> {
    fn report(&mut self, kind: &'static Kind, structure: &str, problem: impl Into<String>) {
        if self.owners.is_none() {
            self.findings.add(kind, structure, problem);
        }
    }

    /// Adds a finding on the current directory, or on an object in it.
    fn report_of(&mut self, kind: &'static Kind, object: Object<'_>, problem: &str) {
        if self.owners.is_none() && self.findings.counted(kind) {
            let problem = format!("{}: {problem}", object.with_path(&self.path));
            self.findings.report(kind, "directory entry".into(), problem);
        }
    }

    fn is_claimed(&self, cluster: u32) -> bool {
        let (word, bit) = bit(cluster);
        self.claimed.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Walks the tree a second time, if chains met, to name the owners of the shared clusters.
    fn shared(&mut self) {
        if self.meetings.is_empty() {
            return;
        }
        self.claimed = bits(self.fat);
        self.losers.clear();
        self.done = 0;
        self.owners = Some(self.meetings.iter().map(|cluster| (*cluster, Vec::new())).collect());
        self.tree();
        for (cluster, owners) in self.owners.take().unwrap_or_default() {
            let problem = format!("from cluster {cluster} on they belong to {}", owners.join(" and "));
            self.findings.add(&SHARED, "cross-linked clusters", problem);
        }
    }
}
