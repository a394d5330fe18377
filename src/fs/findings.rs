//! Findings of a volume's examination by kind: a constant holds the meaning of each kind; the first findings of a kind are
//! reported one by one and the rest is counted, so that a hostile image cannot flood the collector's memory or the screen.

use std::collections::BTreeMap;

use crate::{
    Remedy,
    check::{Finding, FindingSink, Severity},
};

/// Findings of one kind that are reported one by one.
const MAX_REPORTED: u64 = 20;

/// A kind of damage or inconsistency of a volume.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) severity: Severity,
    /// Plural noun for the line that counts the rest: `damaged records`.
    pub(super) name: &'static str,
    /// The consequence for the user's data, and the remedy.
    pub(super) meaning: &'static str,
}

const TRUNCATED: Kind = Kind {
    severity: Severity::Error,
    name: "volume cut short",
    meaning: "Files, or parts of them, that lie behind the end cannot be read. The image may be an unfinished copy, or the \
              partition too small.",
};

/// Forwards a limited number of findings of each kind.
pub(super) struct Findings<'r> {
    report: &'r mut dyn FindingSink,
    counts: BTreeMap<&'static str, (u64, &'static Kind)>,
}

impl<'r> Findings<'r> {
    pub(super) fn new(report: &'r mut dyn FindingSink) -> Self {
        Self { report, counts: BTreeMap::new() }
    }

    /// Adds a finding: the structure, and how it contradicts the specification.
    pub(super) fn add(
        &mut self,
        kind: &'static Kind,
        structure: impl Into<String>,
        problem: impl Into<String>,
    ) {
        if self.counted(kind) {
            self.report(kind, structure.into(), problem.into());
        }
    }

    /// Counts a finding; true if it is to be reported with [`Self::report`]. For findings whose description costs reads.
    pub(super) fn counted(&mut self, kind: &'static Kind) -> bool {
        let (count, _) = self.counts.entry(kind.name).or_insert((0, kind));
        *count += 1;
        *count <= MAX_REPORTED
    }

    pub(super) fn report(&mut self, kind: &'static Kind, structure: String, problem: String) {
        let meaning = kind.meaning.to_owned();
        self.report.finding(Finding { severity: kind.severity, structure, problem, meaning });
    }

    pub(super) fn remedy(&mut self, remedy: Remedy) {
        self.report.remedy(remedy);
    }

    pub(super) fn progress(&mut self, step: &str, done: u64, total: u64) {
        self.report.progress(step, done, total);
    }

    /// Adds a finding for a volume of `claimed` bytes of which only `size` are stored.
    pub(super) fn truncated(&mut self, claimed: u64, size: u64) {
        if claimed > size {
            self.add(&TRUNCATED, "volume", format!("{claimed} bytes are claimed, {size} are stored"));
        }
    }

    /// Reports the number of unreported findings of each kind.
    pub(super) fn finish(mut self) {
        for (count, kind) in std::mem::take(&mut self.counts).into_values() {
            if count > MAX_REPORTED {
                let rest = format!("{} more of the same kind", count - MAX_REPORTED);
                self.report(kind, kind.name.to_owned(), rest);
            }
        }
    }
}

/// Collects every reported finding.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Collected(pub(super) Vec<Finding>);

#[cfg(test)]
impl FindingSink for Collected {
    fn finding(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    fn progress(&mut self, step: &str, done: u64, total: u64) {
        assert!(done <= total, "{step}: {done} of {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_occurs_too_often_is_counted() {
        const MANY: Kind = Kind { severity: Severity::Warning, name: "many", meaning: "nothing" };
        const FEW: Kind = Kind { severity: Severity::Error, name: "few", meaning: "all" };
        let mut collected = Collected::default();
        let mut findings = Findings::new(&mut collected);
        (0..77).for_each(|i| findings.add(&MANY, format!("thing {i}"), "is wrong"));
        findings.add(&FEW, "other", "is missing");
        findings.finish();
        assert_eq!(collected.0.len(), 22);
        assert_eq!(collected.0[19].structure, "thing 19");
        assert_eq!((&*collected.0[20].structure, &*collected.0[20].meaning), ("other", "all"));
        assert_eq!(
            (&*collected.0[21].structure, &*collected.0[21].problem),
            ("many", "57 more of the same kind")
        );
    }
}
