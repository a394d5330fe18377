//! Examinations: images that are damaged in one structure give exactly the finding for it, those that are not give none.

mod chain;
mod command;
mod partition;
mod vhd;
mod vhdx;

use std::{path::Path, sync::Arc};

use vhdmount::{
    bytes::ByteSource,
    check::{Finding, Severity},
    image::check::{CheckOptions, Examination, Verdict, check, check_source},
};

fn options() -> CheckOptions {
    CheckOptions { open: vhdmount::image::OpenOptions::default(), partition: None, parents: true }
}

fn examine(source: Arc<dyn ByteSource>) -> Examination {
    check_source(source, &options(), &mut |_| {}).unwrap()
}

fn examine_file(path: &Path) -> Examination {
    check(path, &options(), &mut |_| {}).unwrap()
}

/// A line for each finding of an area, the worst first.
fn lines(examination: &Examination, area: &str) -> Vec<String> {
    let area = examination.areas.iter().find(|found| found.area == area);
    let area = area.unwrap_or_else(|| panic!("no such area in {}", vhdmount::json::to_text(examination)));
    let line = |finding: &Finding| {
        let Finding { severity, structure, problem, meaning } = finding;
        assert!(!meaning.is_empty() && !problem.is_empty(), "{finding:?}");
        format!("{severity:?} {structure}: {problem}")
    };
    area.findings.iter().map(line).collect()
}

/// Compares the findings of an area with what each of them must begin with and contain.
#[track_caller]
fn expect(examination: &Examination, area: &str, expected: &[(&str, &str)]) {
    let found = lines(examination, area);
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(line, (start, part))| line.starts_with(start) && line.contains(part));
    assert!(fits, "expected {expected:#?}, found {found:#?}");
    let worst = examination.areas.iter().filter_map(|area| area.counts.worst()).max();
    let verdict = match worst {
        None | Some(Severity::Note) => Verdict::Clean,
        Some(Severity::Warning) => Verdict::Warnings,
        Some(Severity::Error) => Verdict::Errors,
    };
    assert_eq!(examination.verdict, verdict);
}
