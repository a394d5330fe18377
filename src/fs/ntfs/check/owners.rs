//! Owners of the clusters that several run lists claim, or that `$Bitmap` marks as free: one more pass over `$MFT`, only if
//! there are such clusters. Guards: ranges and owners are bounded; the count includes all clusters.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{Check, bits::Bits, clusters::Ranges};
use crate::{
    Error,
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::{
            attributes::{Attribute, Form, attribute_list, code, mapping_pairs, reference::FileReference},
            records::{
                each::{Slot, each_record},
                extents,
                file::File,
                number,
            },
        },
        runs::RunList,
    },
};

const SHARED: Kind = Kind {
    severity: Severity::Error,
    name: "clusters of several files or directories",
    meaning: "At most one of them has its own content there, the others show what was written last. Compare each with \
              a backup.",
};
const UNPROTECTED: Kind = Kind {
    severity: Severity::Error,
    name: "content in clusters marked as free",
    meaning: "It is read, but the next one that Windows writes may overwrite it. Run chkdsk /f before the volume is \
              written to.",
};
const LEAKED: Kind = Kind {
    severity: Severity::Warning,
    name: "clusters marked as used",
    meaning: "Nothing is lost, but the space is not available. chkdsk /f frees it.",
};
const LEAKED_BY_DAMAGE: Kind = Kind {
    severity: Severity::Note,
    name: "clusters marked as used",
    meaning: "They belong to the damaged records above, or are lost space: do not run chkdsk /f before what can be read is \
              copied.",
};
const BITMAP: Kind = Kind {
    severity: Severity::Error,
    name: "$Bitmap",
    meaning: "Which clusters are free is not known: free space is shown wrong, and files are not compared with it.",
};

/// Maximum number of owners named for one range.
const MAX_OWNERS: usize = 4;
/// Maximum number of extension records looked up in the list of their base.
const MAX_LOOKUPS: u32 = 1000;

/// The clusters and records that the last pass searches owners for.
#[derive(Default)]
pub(super) struct Suspects {
    shared: Vec<Range<u64>>,
    shared_clusters: u64,
    unprotected: Vec<Range<u64>>,
    unprotected_clusters: u64,
    missing: u64,
    leaked: u64,
    first_leaked: Option<u64>,
    /// Base records whose extension records differ from those that they list.
    pub(super) bases: BTreeSet<u64>,
}

/// Disjoint ranges of clusters, ascending, with the claimants of each.
struct Claims {
    ranges: Vec<Range<u64>>,
    owners: Vec<Vec<u64>>,
}

impl Claims {
    fn new(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut end = 0;
        ranges.retain_mut(|range| {
            range.start = range.start.max(end);
            end = end.max(range.end);
            range.start < range.end
        });
        let owners = vec![Vec::new(); ranges.len()];
        Self { ranges, owners }
    }

    fn add(&mut self, lcn: u64, count: u64, owner: u64) {
        let end = lcn.saturating_add(count);
        let from = self.ranges.partition_point(|range| range.end <= lcn);
        for (range, owners) in self.ranges[from..].iter().zip(&mut self.owners[from..]) {
            if range.start >= end {
                break;
            }
            if owners.len() < MAX_OWNERS && !owners.contains(&owner) {
                owners.push(owner);
            }
        }
    }

    /// Groups the ranges by their owners: number of clusters, and the first of them.
    fn by_owners(&self) -> BTreeMap<&[u64], (u64, u64)> {
        let mut groups = BTreeMap::new();
        for (range, owners) in self.ranges.iter().zip(&self.owners) {
            let (clusters, _) = groups.entry(&owners[..]).or_insert((0, range.start));
            *clusters += range.end - range.start;
        }
        groups
    }
}

impl Check<'_, '_> {
    /// Compares the clusters of this pass with `$Bitmap`.
    pub(super) fn compare_clusters(&mut self) {
        let shared = std::mem::take(&mut self.segment.shared);
        keep(&mut self.suspects.shared, &mut self.suspects.shared_clusters, shared);
        let file = File::open(&self.ntfs.mft, number::BITMAP);
        let bitmap = file.and_then(|file| file.source(code::DATA, &[]));
        let bitmap = bitmap.and_then(|found| found.ok_or_else(|| Error::corrupt("$Bitmap", None, "no data")));
        let bitmap = match bitmap {
            Ok(bitmap) => bitmap,
            Err(error) => return self.report(&BITMAP, || ("$Bitmap".into(), error.to_string())),
        };
        let difference = self.segment.compare(&mut Bits::new(bitmap));
        let suspects = &mut self.suspects;
        suspects.missing += difference.missing;
        suspects.leaked += difference.leaked.clusters;
        let first = difference.leaked.ranges.first().map(|range| range.start);
        suspects.first_leaked = suspects.first_leaked.or(first);
        keep(&mut suspects.unprotected, &mut suspects.unprotected_clusters, difference.unprotected);
    }

    /// Searches for the owners and reports them.
    pub(super) fn owners(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        let mut shared = Claims::new(suspects.shared);
        let mut unprotected = Claims::new(suspects.unprotected);
        let mut lookups = 0;
        let (mft, cluster_size) = (&self.ntfs.mft, self.ntfs.mft.boot.cluster_size);
        if shared.ranges.len() + unprotected.ranges.len() + suspects.bases.len() > 0 {
            each_record(mft, &self.layout.clone(), &mut |number, slot| {
                let Slot::InUse(header, bytes) = slot else { return };
                let base = header.base;
                let owner = if base.0 == 0 { number } else { base.record() };
                if base.0 != 0 && suspects.bases.contains(&owner) && lookups < MAX_LOOKUPS {
                    lookups += 1;
                    if !self.lists(owner, number) {
                        self.stray_extension(number, base);
                    }
                }
                for attribute in header.attributes(bytes).map_while(Result::ok) {
                    for (lcn, count) in runs(&attribute, cluster_size) {
                        shared.add(lcn, count, owner);
                        unprotected.add(lcn, count, owner);
                    }
                }
            });
        }
        self.report_shared(&shared, suspects.shared_clusters);
        self.report_unprotected(&unprotected, suspects.unprotected_clusters);
        if suspects.missing > 0 {
            let problem = format!("{} clusters are not in it", suspects.missing);
            self.findings.add(&BITMAP, "$Bitmap", problem);
        }
        if suspects.leaked > 0 {
            let kind = if self.incomplete { &LEAKED_BY_DAMAGE } else { &LEAKED };
            let bytes = suspects.leaked.saturating_mul(cluster_size);
            let first = suspects.first_leaked.unwrap_or_default();
            let problem = format!(
                "{} clusters marked as used belong to no file or directory ({bytes} bytes), the first: {first:#x}",
                suspects.leaked
            );
            self.findings.add(kind, "$Bitmap", problem);
        }
    }

    fn report_shared(&mut self, claims: &Claims, total: u64) {
        let mut reported = 0;
        for (owners, (clusters, first)) in claims.by_owners() {
            reported += clusters;
            if self.findings.counted(&SHARED) {
                let twice = if owners.len() == 1 { ", more than once" } else { "" };
                let who = self.all_of(owners);
                let problem = format!("{clusters} clusters from {first:#x} on belong to {who}{twice}");
                self.findings.report(&SHARED, "cross-linked clusters".into(), problem);
            }
        }
        if total > reported {
            let rest = format!("{} more, claimed again and again", total - reported);
            self.findings.add(&SHARED, "cross-linked clusters", rest);
        }
    }

    fn report_unprotected(&mut self, claims: &Claims, total: u64) {
        let mut reported = 0;
        for (owners, (clusters, first)) in claims.by_owners() {
            reported += clusters;
            if self.findings.counted(&UNPROTECTED) {
                let who = self.all_of(owners);
                let problem = format!("{clusters} clusters of {who}, from {first:#x} on, are marked as free");
                self.findings.report(&UNPROTECTED, "$Bitmap".into(), problem);
            }
        }
        if total > reported {
            let rest = format!("{} more clusters in use are marked as free", total - reported);
            self.findings.add(&UNPROTECTED, "$Bitmap", rest);
        }
    }

    fn all_of(&self, owners: &[u64]) -> String {
        match owners {
            // No owner found: the table's first records are read from their copies.
            [] => "a damaged record".into(),
            [owner] => self.who(*owner),
            [owner, others @ ..] => format!("{} and {}", self.who(*owner), self.all_of(others)),
        }
    }

    /// True if the attribute list of `base` names the record.
    fn lists(&self, base: u64, number: u64) -> bool {
        File::open(&self.ntfs.mft, base).is_ok_and(|file| {
            let list = file.list().unwrap_or_default();
            let mut segments = attribute_list::entries(list).flatten().map(|entry| entry.segment);
            segments.any(|segment: FileReference| segment.record() == number)
        })
    }
}

/// Moves ranges, and adds their number of clusters.
fn keep(to: &mut Vec<Range<u64>>, clusters: &mut u64, from: Ranges) {
    // Each pass keeps a bounded number of them.
    to.extend(from.ranges);
    *clusters += from.clusters;
}

/// The runs of one non-resident extent, as far as they can be decoded.
fn runs(attribute: &Attribute<'_>, cluster_size: u64) -> Vec<(u64, u64)> {
    let Form::NonResident(extent) = &attribute.form else { return Vec::new() };
    let mut runs = RunList::new();
    let _ = mapping_pairs::decode(extent.mapping_pairs, extents::clusters(extent), cluster_size, &mut runs);
    let stored =
        runs.iter().filter_map(|(_, position, len)| Some((position? / cluster_size, len / cluster_size)));
    stored.collect()
}
