//! `vhdmount boot`

use std::fmt::Write;

use vhdmount::{
    image::boot::{Attempt, BootReport, State, Verdict},
    json,
    printable::printable_lines,
};

use super::{
    Failure,
    config::Boot,
    exit::{Class, unless_closed},
    print,
};

/// Prints what firmware would do. The best verdict determines the exit code.
pub(super) fn run(command: &Boot) -> Result<(), Failure> {
    let image = command.source.open()?;
    let report = image.boot(command.firmware);
    let text = match command.json {
        true => json::to_text(&report),
        false => printable_lines(&text(&report, command.quiet)).into_owned(),
    };
    unless_closed(print(&text))?;
    match report.verdict {
        Verdict::Boots => Ok(()),
        Verdict::CannotTell => Err(Failure::printed(Class::Warnings)),
        Verdict::WouldNotBoot => Err(Failure::printed(Class::Errors)),
    }
}

fn text(report: &BootReport, quiet: bool) -> String {
    let mut out = String::new();
    for attempt in &report.attempts {
        if quiet {
            let _ = writeln!(out, "{}: {}", name(attempt), attempt.conclusion());
            continue;
        }
        let _ = writeln!(out, "{}", name(attempt));
        for step in &attempt.steps {
            let mark = match step.state {
                State::Ok => "ok  ",
                State::Note => "note",
                State::Stop => "STOP",
                State::Unknown => "?   ",
            };
            let _ = writeln!(out, "  {mark}  {}", step.text);
        }
        let _ = writeln!(out, "  {}\n", attempt.conclusion());
    }
    if report.attempts.is_empty() {
        out += "no Windows on it that a host could boot natively, or no VHD or VHDX\n";
    }
    if !quiet {
        report.remarks.iter().for_each(|remark| {
            let _ = writeln!(out, "{remark}");
        });
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn name(attempt: &Attempt) -> String {
    let name = attempt.firmware.name();
    attempt.machine.map_or_else(|| name.to_owned(), |machine| format!("{name}, {machine}"))
}
