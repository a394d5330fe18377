//! Findings of a volume's examination by kind: what a kind means is said once, in a constant; of a kind that occurs
//! very often the first ones are told and the rest is counted, so that a hostile image cannot fill the memory or the
//! screen of whoever collects them.

use std::collections::BTreeMap;

use crate::{
    Remedy,
    check::{Finding, FindingSink, Severity},
};

/// Findings of one kind that are told one by one.
const MAX_TOLD: u64 = 20;

/// A way in which a volume can be wrong.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) severity: Severity,
    /// What there is too much of, for the line that counts the rest: `damaged records`.
    pub(super) name: &'static str,
    /// What it means for the user's data, and what can be done.
    pub(super) meaning: &'static str,
}

/// Passes findings on, so many of each kind.
pub(super) struct Findings<'r> {
    report: &'r mut dyn FindingSink,
    counts: BTreeMap<&'static str, (u64, &'static Kind)>,
}

impl<'r> Findings<'r> {
    pub(super) fn new(report: &'r mut dyn FindingSink) -> Self {
        Self { report, counts: BTreeMap::new() }
    }

    /// One thing that was found: which structure, and what contradicts the specification.
    pub(super) fn add(
        &mut self,
        kind: &'static Kind,
        structure: impl Into<String>,
        problem: impl Into<String>,
    ) {
        if self.counted(kind) {
            self.tell(kind, structure.into(), problem.into());
        }
    }

    /// Counts a finding; true when it is one of those that are told, by [`Self::tell`]. For descriptions that cost reads.
    pub(super) fn counted(&mut self, kind: &'static Kind) -> bool {
        let (count, _) = self.counts.entry(kind.name).or_insert((0, kind));
        *count += 1;
        *count <= MAX_TOLD
    }

    pub(super) fn tell(&mut self, kind: &'static Kind, structure: String, problem: String) {
        let meaning = kind.meaning.to_owned();
        self.report.finding(Finding { severity: kind.severity, structure, problem, meaning });
    }

    pub(super) fn remedy(&mut self, remedy: Remedy) {
        self.report.remedy(remedy);
    }

    pub(super) fn progress(&mut self, step: &str, done: u64, total: u64) {
        self.report.progress(step, done, total);
    }

    /// Counts those that were not told.
    pub(super) fn finish(mut self) {
        for (count, kind) in std::mem::take(&mut self.counts).into_values() {
            if count > MAX_TOLD {
                let rest = format!("{} more of the same kind", count - MAX_TOLD);
                self.tell(kind, kind.name.to_owned(), rest);
            }
        }
    }
}

/// Collects everything that is told.
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
