//! The fleet as a table for people.

use std::fmt::Write;

use super::{FleetReport, HostVolume, Status};
use crate::size::human;

impl FleetReport {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for volume in &self.host_volumes {
            if !out.is_empty() {
                out.push('\n');
            }
            volume.push_text(&mut out);
        }
        if self.host_volumes.is_empty() && self.errors.is_empty() {
            out.push_str("no VHD or VHDX was found\n");
        }
        for failure in &self.errors {
            let _ = writeln!(out, "ERROR {}", shown(&failure.text()));
        }
        out
    }
}

impl super::Failure {
    /// One line; most errors name the image themselves.
    pub fn text(&self) -> String {
        if self.error.contains(&self.image) {
            self.error.clone()
        } else {
            format!("{}: {}", self.image, self.error)
        }
    }
}

impl HostVolume {
    fn push_text(&self, out: &mut String) {
        let disks = match self.disks.len() {
            1 => "1 disk".to_owned(),
            count => format!("{count} disks"),
        };
        let _ = writeln!(
            out,
            "{}: {disks}, {} promised, {} occupied, {} free: {}",
            shown(&self.host),
            human(self.promised),
            human(self.allocated_on_host),
            human(self.host_free),
            word(self.status).to_uppercase()
        );
        let needed = human(self.growth_to_full);
        let _ = match self.overcommitment {
            _ if self.growth_to_full == 0 => writeln!(out, "  nothing can grow any more"),
            Some(ratio) => writeln!(out, "  may still ask for {needed}: {ratio:.2} times what is free"),
            None => writeln!(out, "  may still ask for {needed}, and nothing is free"),
        };
        if let (Some(level), Some(first)) = (self.full_when_each_grew, &self.runs_out_first) {
            let (level, first) = (human(level), shown(first));
            let _ = writeln!(
                out,
                "  if all grow equally, the host is full when each has taken {level}; first: {first}"
            );
        }
        out.push('\n');
        self.push_rows(out);
    }

    fn push_rows(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "  {:>10}  {:>10}  {:>10}  {:>10}  {:>12}  {:13}  image",
            "promised", "occupied", "backed", "achievable", "equal growth", "status"
        );
        for disk in &self.disks {
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
        for parent in &self.parents {
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
}

pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Overcommitted => "overcommitted",
        Status::Critical => "critical",
    }
}

/// File names may hold anything, and the text goes to terminals.
pub(super) fn shown(text: &str) -> String {
    crate::printable::printable(text).into_owned()
}
