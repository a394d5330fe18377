//! The volumes of one disk, for the few files whose content is stored on another volume. Set once, after all volumes are
//! opened; held weakly, so that volumes that refer to each other can be freed.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use super::FileSystem;
use crate::identity::PartitionId;

/// The readable volumes of a disk.
#[derive(Default)]
pub struct Neighbours(OnceLock<Vec<(PartitionId, Weak<dyn FileSystem>)>>);

impl Neighbours {
    /// Sets the volumes. Only the first call counts.
    pub fn set(&self, volumes: impl Iterator<Item = (PartitionId, Weak<dyn FileSystem>)>) {
        self.0.get_or_init(|| volumes.collect());
    }

    /// The volume in a partition; `None` if the disk has no such partition or its volume is not readable.
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
