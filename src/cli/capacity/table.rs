//! The fleet as a table for people.

use std::fmt::Write;

use vhdmount::{
    capacity::{FleetReport, HostVolume, Status},
    printable::printable,
    size::human,
};

pub(super) fn text(fleet: &FleetReport) -> String {
    let mut out = String::new();
    for volume in &fleet.host_volumes {
        if !out.is_empty() {
            out.push('\n');
        }
        push_volume(&mut out, volume);
    }
    if fleet.host_volumes.is_empty() && fleet.errors.is_empty() {
        out.push_str("no VHD or VHDX was found\n");
    }
    for failure in &fleet.errors {
        let _ = writeln!(out, "ERROR {}", shown(&failure.text()));
    }
    out
}

fn push_volume(out: &mut String, volume: &HostVolume) {
    let disks = match volume.disks.len() {
        1 => "1 disk".to_owned(),
        count => format!("{count} disks"),
    };
    let _ = writeln!(
        out,
        "{}: {disks}, {} promised, {} occupied, {} free: {}",
        shown(&volume.host),
        human(volume.promised),
        human(volume.allocated_on_host),
        human(volume.host_free),
        word(volume.status).to_uppercase()
    );
    let needed = human(volume.growth_to_full);
    let _ = match volume.overcommitment {
        _ if volume.growth_to_full == 0 => writeln!(out, "  nothing can grow any more"),
        Some(ratio) => writeln!(out, "  may still ask for {needed}: {ratio:.2} times what is free"),
        None => writeln!(out, "  may still ask for {needed}, and nothing is free"),
    };
    if let (Some(level), Some(first)) = (volume.full_when_each_grew, &volume.runs_out_first) {
        let (level, first) = (human(level), shown(first));
        let _ = writeln!(
            out,
            "  if all grow equally, the host is full when each has taken {level}; first: {first}"
        );
    }
    out.push('\n');
    push_rows(out, volume);
}

fn push_rows(out: &mut String, volume: &HostVolume) {
    let _ = writeln!(
        out,
        "  {:>10}  {:>10}  {:>10}  {:>10}  {:>12}  {:13}  image",
        "promised", "occupied", "backed", "achievable", "equal growth", "status"
    );
    for disk in &volume.disks {
        let report = &disk.report;
        let also = match disk.also.len() {
            0 => String::new(),
            _ => format!(" (also {})", disk.also.join(", ")),
        };
        let _ = writeln!(
            out,
            "  {:>10}  {:>10}  {:>10}  {:>10}  {:>12}  {:13}  {}",
            human(report.virtual_size),
            human(report.allocated_on_host),
            human(report.backed),
            human(report.achievable_size),
            human(disk.equal_growth.achievable_size),
            word(report.status),
            shown(&format!("{}{also}", disk.image))
        );
    }
    for parent in &volume.parents {
        let of = format!("parent of {}", parent.children);
        let _ = writeln!(
            out,
            "  {:>10}  {:>10}  {:>10}  {:>10}  {:>12}  {of:13}  {}",
            "",
            human(parent.allocated_on_host),
            "",
            "",
            "",
            shown(&parent.image)
        );
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Overcommitted => "overcommitted",
        Status::Critical => "critical",
    }
}

/// File names may hold anything, and the text goes to terminals.
pub(super) fn shown(text: &str) -> String {
    printable(text).into_owned()
}
