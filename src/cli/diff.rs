//! `vhdmount diff`

use std::ops::ControlFlow;

use serde::Serialize;
use vhdmount::{
    image::diff::{Change, Difference, VolumeDifferences, against_parent},
    json::{self, Document},
    printable::printable,
    size::human,
};

use super::{Failure, config::Diff, print};

/// The report as JSON.
#[derive(Serialize)]
struct Report {
    differences: Vec<Difference>,
    volumes: Vec<VolumeDifferences>,
}

impl Document for Report {
    const SCHEMA: &'static str = "diff/1";
}

pub(super) fn run(command: &Diff) -> Result<(), Failure> {
    let image = command.source.open()?;
    let (mut differences, mut printed) = (Vec::new(), Ok(()));
    let compared = against_parent(&image, &command.source.options, &mut |difference| {
        if command.json {
            differences.push(difference);
            return ControlFlow::Continue(());
        }
        printed = print(&line(&difference));
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let volumes = compared.map_err(|error| command.source.failure(&error))?;
    printed?;
    if command.json {
        return print(&json::to_text(&Report { differences, volumes }));
    }
    let text: String = volumes.iter().map(summary).collect();
    if command.quiet { Ok(()) } else { print(&text) }
}

fn line(difference: &Difference) -> String {
    let Difference { volume, path, change, size } = difference;
    let change = match change {
        Change::Added => "added  ",
        Change::Removed => "removed",
        Change::Changed => "changed",
    };
    let size = if path.ends_with('/') { String::new() } else { human(*size) };
    format!("{change}  {size:>10}  {volume}/{}\n", printable(path))
}

fn summary(volume: &VolumeDifferences) -> String {
    let mut text = format!("{}: ", volume.name);
    if volume.held == 0 && volume.not_compared.is_empty() && volume.note.is_empty() {
        return text + "unchanged\n";
    }
    text += &format!("the overlay holds {}; ", human(volume.held));
    if !volume.note.is_empty() {
        text += &format!("{}: ", volume.note);
    }
    text += &match volume.not_compared.as_str() {
        "" => format!("{} added, {} removed, {} changed", volume.added, volume.removed, volume.changed),
        reason => format!("files are not compared: {reason}"),
    };
    text.push('\n');
    for problem in &volume.problems {
        text += &format!("{}: PROBLEM: {}\n", volume.name, printable(problem));
    }
    text
}
