//! Keeps findings within bounds: the first ones of each kind, and a count of the others. A kind is a severity and a
//! structure without its number, so that a million bad block table entries do not hide the one bad header.

use serde::Serialize;

use super::{Finding, FindingSink, Severity};
use crate::printable::{REPLACEMENT, is_harmful};

/// Findings kept of each kind: enough to see a pattern.
const MAX_OF_A_KIND: u64 = 100;
/// Maximum number of separate kinds; further ones are counted together, by severity.
const MAX_KINDS: usize = 64;
/// Maximum characters of each text: a path in an image may have 32,767.
const MAX_TEXT: usize = 2000;

/// Number of findings of each severity, kept or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Findings of [`Severity::Error`].
    pub errors: u64,
    /// Findings of [`Severity::Warning`].
    pub warnings: u64,
    /// Findings of [`Severity::Note`].
    pub notes: u64,
}

/// Findings that are counted but not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct More {
    /// How bad they are.
    pub severity: Severity,
    /// The structure, with `#` for its numbers; `other` when there are too many kinds.
    pub structure: String,
    /// Number of findings.
    pub count: u64,
}

/// Findings of one area.
#[derive(Debug, Default)]
pub struct Collector {
    findings: Vec<Finding>,
    counts: Counts,
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    severity: Severity,
    structure: String,
    count: u64,
}

impl Counts {
    /// Counts `by` more of a severity.
    pub fn add(&mut self, severity: Severity, by: u64) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        };
        *count = count.saturating_add(by);
    }

    /// Adds two counts.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(Severity::Error, other.errors);
        self.add(Severity::Warning, other.warnings);
        self.add(Severity::Note, other.notes);
        self
    }

    /// The worst severity with a count above 0.
    pub fn worst(&self) -> Option<Severity> {
        let all = [
            (self.errors, Severity::Error),
            (self.warnings, Severity::Warning),
            (self.notes, Severity::Note),
        ];
        all.into_iter().find(|(count, _)| *count > 0).map(|(_, severity)| severity)
    }
}

impl Collector {
    /// How many there are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The kept findings, in the order in which they were found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The kept findings, the worst first, and the counts of the others.
    pub fn into_parts(mut self) -> (Vec<Finding>, Vec<More>) {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let more = self.kinds.into_iter().filter(|kind| kind.count > MAX_OF_A_KIND).map(|kind| More {
            severity: kind.severity,
            structure: kind.structure,
            count: kind.count - MAX_OF_A_KIND,
        });
        (self.findings, more.collect())
    }

    fn kind(&mut self, severity: Severity, structure: String) -> &mut Kind {
        let is = |kind: &Kind, name: &str| kind.severity == severity && kind.structure == name;
        let known = self.kinds.iter().position(|kind| is(kind, &structure));
        let known = known.or_else(|| {
            let full = self.kinds.len() >= MAX_KINDS;
            full.then(|| self.kinds.iter().position(|kind| is(kind, OTHER))).flatten()
        });
        let index = known.unwrap_or_else(|| {
            let full = self.kinds.len() >= MAX_KINDS;
            let structure = if full { OTHER.to_owned() } else { structure };
            self.kinds.push(Kind { severity, structure, count: 0 });
            self.kinds.len() - 1
        });
        &mut self.kinds[index]
    }
}

const OTHER: &str = "other";

impl FindingSink for Collector {
    fn finding(&mut self, finding: Finding) {
        self.counts.add(finding.severity, 1);
        let kind = self.kind(finding.severity, without_numbers(&finding.structure));
        kind.count += 1;
        if kind.count <= MAX_OF_A_KIND {
            self.findings.push(Finding {
                severity: finding.severity,
                structure: printable(&finding.structure),
                problem: printable(&finding.problem),
                meaning: printable(&finding.meaning),
            });
        }
    }

    fn progress(&mut self, _step: &str, _done: u64, _total: u64) {}
}

/// `MFT record 4711` as `MFT record #`.
fn without_numbers(structure: &str) -> String {
    let mut out = String::new();
    for c in structure.chars().take(MAX_TEXT) {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c if is_harmful(c) => out.push(REPLACEMENT),
            c => out.push(c),
        }
    }
    out
}

/// Escapes control characters and cuts long texts: findings quote the image and go to terminals. Line feeds come from the
/// reporter and stay.
fn printable(text: &str) -> String {
    let shown = text.chars().take(MAX_TEXT);
    let mut out: String = shown.map(|c| if is_harmful(c) && c != '\n' { REPLACEMENT } else { c }).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(structure: impl Into<String>) -> Finding {
        Finding::error(structure, "wrong", "lost")
    }

    #[test]
    fn a_flood_of_one_kind_does_not_hide_another() {
        let mut collector = Collector::default();
        (0..5000).for_each(|number| collector.finding(error(format!("entry {number} of 5000"))));
        collector.finding(error("header"));
        collector.finding(Finding::note("entry 7 of 5000", "odd", "nothing"));
        assert_eq!(collector.counts(), Counts { errors: 5001, warnings: 0, notes: 1 });
        let (kept, more) = collector.into_parts();
        assert_eq!(kept.len(), 102);
        assert!(kept.iter().any(|finding| finding.structure == "header"));
        assert_eq!(kept[101].severity, Severity::Note);
        let expected = More { severity: Severity::Error, structure: "entry # of #".into(), count: 4900 };
        assert_eq!(more, [expected]);
    }

    #[test]
    fn any_number_of_kinds_takes_bounded_memory() {
        let mut collector = Collector::default();
        for number in 0..10_000_u32 {
            let name: String =
                number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            collector.finding(error(name));
        }
        assert_eq!(collector.counts().errors, 10_000);
        let (kept, more) = collector.into_parts();
        assert!(kept.len() <= 64 + 100, "{}", kept.len());
        assert_eq!((more.len(), more[0].structure.as_str()), (1, "other"));
        assert_eq!(kept.len() as u64 + more[0].count, 10_000);
    }

    #[test]
    fn texts_are_short_and_harmless() {
        let mut collector = Collector::default();
        collector.finding(Finding::error("a\u{1b}[2J", "x".repeat(100_000), "two\nlines"));
        let kept = &collector.findings()[0];
        assert_eq!(kept.structure, "a\u{fffd}[2J");
        assert_eq!(kept.problem.chars().count(), MAX_TEXT + 1);
        assert_eq!(kept.meaning, "two\nlines");
    }
}
