//! The volumes of one disk, for the few files whose content lies on another volume than they do. Told once, after all
//! volumes are opened; held weakly, so that volumes that know each other do not keep each other.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use super::FileSystem;
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

/// The readable volumes of a disk.
#[derive(Default)]
pub struct Neighbours(OnceLock<Vec<(PartitionId, Weak<dyn FileSystem>)>>);

impl Neighbours {
    /// Tells which volumes there are. Only the first call counts.
    pub fn set(&self, volumes: impl Iterator<Item = (PartitionId, Weak<dyn FileSystem>)>) {
        self.0.get_or_init(|| volumes.collect());
    }

    /// The volume in a partition, if the disk has it and it is readable.
    pub fn find(&self, id: &PartitionId) -> Option<Arc<dyn FileSystem>> {
        self.0.get()?.iter().find(|(other, _)| other == id)?.1.upgrade()
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.get().into_iter().flatten().map(|(id, _)| id);
        f.debug_list().entries(ids).finish()
    }
}
