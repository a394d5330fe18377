//! LVM: the volume groups of Linux.

use super::format::{Format, Known, Look, Stage};
use crate::{Result, bytes::signature::has};

pub(super) struct Lvm;

impl Format for Lvm {
    fn known(&self) -> Known {
        Known {
            name: "LVM2",
            hint: "part of a Linux volume group: attach the raw view as a loop device and activate it (vgchange -ay)",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        // The label is in one of the first four sectors.
        let labelled = |sector: usize| {
            has(look.front, sector * 512, b"LABELONE") && has(look.front, sector * 512 + 24, b"LVM2 001")
        };
        Ok(look.stage == Stage::Last && (0..4).any(labelled))
    }
}
