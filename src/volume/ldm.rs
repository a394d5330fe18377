//! LDM: the dynamic disks of Windows (Logical Disk Manager).

use super::format::{Format, Known, Look, Stage};
use crate::{
    Result,
    bytes::signature::{has, read_up_to},
};

pub(super) struct Ldm;

const PRIVATE_HEADER: &[u8] = b"PRIVHEAD";

impl Format for Ldm {
    fn known(&self) -> Known {
        Known {
            name: "LDM",
            hint: "part of a Windows dynamic disk (Logical Disk Manager), whose volumes are not supported",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        if look.stage != Stage::Last {
            return Ok(false);
        }
        // The private header: sector 6 of the disk; in a metadata partition at its end, or before its copy.
        if has(look.front, 6 * 512, PRIVATE_HEADER) || has(look.front, 0, PRIVATE_HEADER) {
            return Ok(true);
        }
        // The metadata partition of a GPT disk has 1 MiB: the last sector, or where the 1 MiB database before it ends.
        for from_end in [512, (2048 - 1856) * 512] {
            let Some(offset) = look.volume.size().checked_sub(from_end) else { continue };
            if has(&read_up_to(look.volume, offset, 512)?, 0, PRIVATE_HEADER) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
