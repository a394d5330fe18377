//! A check's report as text: by area, the worst first, each finding with its consequence.

use vhdmount::{
    check::{Counts, Finding, Severity},
    image::check::{Area, Examination, Verdict},
    printable::printable,
};

use super::super::advice;

/// Formats the report. `quiet`: errors and warnings only, nothing for a clean image.
pub(super) fn of(examination: &Examination, quiet: bool) -> String {
    let mut out = String::new();
    examination.areas.iter().for_each(|area| push_area(&mut out, area, quiet));
    for remedy in &examination.remedies {
        out += &format!("{}\n", advice::text(*remedy));
    }
    if !quiet {
        let verdict = match examination.verdict {
            Verdict::Clean => "nothing is wrong",
            Verdict::Warnings => "nothing is lost, but not everything is as it should be",
            Verdict::Errors => "something is damaged",
        };
        let unexamined: Vec<_> =
            examination.areas.iter().filter(|area| area.is_left_out()).map(|area| &*area.area).collect();
        let verdict = match (examination.verdict, &unexamined[..]) {
            (Verdict::Clean, [_, ..]) => {
                format!("nothing is wrong in what was examined; {} not examined", all_of(&unexamined))
            }
            _ => verdict.to_owned(),
        };
        let image = printable(&examination.image);
        out += &format!("{image}: {verdict} ({})\n", counts(examination.counts));
    }
    out
}

/// `p1 is`, `p1 and p2 are`, `p1, p2 and 9 more are`
fn all_of(names: &[&str]) -> String {
    const NAMED: usize = 4;
    match names {
        [name] => format!("{name} is"),
        [names @ .., last] if names.len() < NAMED => format!("{} and {last} are", names.join(", ")),
        names => format!("{} and {} more are", names[..NAMED].join(", "), names.len() - NAMED),
    }
}

fn push_area(out: &mut String, area: &Area, quiet: bool) {
    let worth_it = |severity: Severity| !quiet || severity > Severity::Note;
    let what = printable(&area.what);
    let what = if what.is_empty() { String::new() } else { format!(" ({what})") };
    match area.counts.worst() {
        None if !quiet => {
            let state = if area.examined { "fine" } else { "nothing to examine" };
            *out += &format!("{}{what}: {state}\n", area.area);
        }
        Some(worst) if worth_it(worst) => *out += &format!("{}{what}:\n", area.area),
        _ => {}
    }
    for finding in area.findings.iter().filter(|finding| worth_it(finding.severity)) {
        push_finding(out, finding);
    }
    for more in area.more.iter().filter(|more| worth_it(more.severity)) {
        let (word, count) = (word(more.severity), grouped(more.count));
        *out += &format!("  {word:7}  … and {count} more like these: {}\n", more.structure);
    }
}

fn push_finding(out: &mut String, finding: &Finding) {
    let word = word(finding.severity);
    let mut lines = finding.problem.lines();
    let first = lines.next().unwrap_or_default();
    *out += &format!("  {word:7}  {}: {first}\n", finding.structure);
    for line in lines.chain(finding.meaning.lines()) {
        *out += &format!("           {line}\n");
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
        Severity::Note => "note",
    }
}

fn counts(counts: Counts) -> String {
    let plural = |count: u64, name: &str| match count {
        1 => format!("1 {name}"),
        count => format!("{} {name}s", grouped(count)),
    };
    [plural(counts.errors, "error"), plural(counts.warnings, "warning"), plural(counts.notes, "note")]
        .join(", ")
}

/// `4211` as `4,211`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_examined_is_named() {
        assert_eq!(all_of(&["p2"]), "p2 is");
        assert_eq!(all_of(&["p1", "p2", "p4"]), "p1, p2 and p4 are");
        assert_eq!(all_of(&["p1", "p2", "p3", "p4", "p5", "p6"]), "p1, p2, p3, p4 and 2 more are");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 4211, 1_234_567].map(grouped), ["0", "999", "1,000", "4,211", "1,234,567"]);
    }
}
