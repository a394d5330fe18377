//! What identifies a disk and a partition, as data: text only where it is shown.

use std::fmt;

use crate::guid::Guid;

/// How Windows names a partition in its own structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionId {
    /// Of a disk with a master boot record.
    Mbr {
        /// The disk's signature.
        disk: u32,
        /// Where the partition begins, in bytes.
        start: u64,
    },
    /// Of a disk with a GUID partition table.
    Gpt {
        /// The partition's own GUID.
        partition: Guid,
    },
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr { disk, start } => write!(f, "the partition at byte {start:#x} of the disk {disk:08x}"),
            Self::Gpt { partition } => write!(f, "the partition {partition}"),
        }
    }
}
