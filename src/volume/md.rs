//! Linux RAID (md). Superblocks 1.1 and 1.2 lie in front; 0.90 and 1.0 near the end, so that the beginning may show the
//! filesystem inside: those are asked for after that.

use super::format::{Format, Known, Look, Stage};
use crate::{
    Result,
    bytes::{
        ByteSource,
        signature::{has, read_up_to},
    },
};

pub(super) struct Md;

const MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();

impl Format for Md {
    fn known(&self) -> Known {
        Known {
            name: "mdraid",
            hint: "part of a Linux RAID array: assemble it from the raw views of all its members (mdadm)",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        match look.stage {
            Stage::First => Ok(false),
            Stage::Front => Ok([4096, 0].into_iter().any(|offset| has(look.front, offset, &MAGIC))),
            Stage::Last => at_end(look.volume),
        }
    }
}

fn at_end(volume: &dyn ByteSource) -> Result<bool> {
    let size = volume.size();
    let version_0 = (size & !0xffff).checked_sub(0x1_0000);
    let version_1 = (size & !0x1ff).checked_sub(0x2000).map(|offset| offset & !0xfff);
    for offset in [version_0, version_1].into_iter().flatten() {
        if has(&read_up_to(volume, offset, 4)?, 0, &MAGIC) {
            return Ok(true);
        }
    }
    Ok(false)
}
