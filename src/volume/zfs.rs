//! ZFS: pools of Solaris, FreeBSD and Linux.

use super::format::{Format, Known, Look, Stage};
use crate::{Result, bytes::signature::read_up_to};

pub(super) struct Zfs;

impl Format for Zfs {
    fn known(&self) -> Known {
        Known {
            name: "ZFS",
            hint: "part of a ZFS pool: import it from the raw views of all its members (zpool import)",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        /// The array of uberblocks in the first label, in either byte order.
        const MAGIC: u64 = 0x00ba_b10c;
        if look.stage != Stage::Last {
            return Ok(false);
        }
        let blocks = read_up_to(look.volume, 128 << 10, 128 << 10)?;
        let signed =
            |block: &[u8]| block.starts_with(&MAGIC.to_le_bytes()) || block.starts_with(&MAGIC.to_be_bytes());
        Ok(blocks.chunks(1024).any(signed))
    }
}
