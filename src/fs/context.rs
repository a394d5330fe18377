//! Resources that the volumes of one image share: decoder threads, memory for caches, and access to each other.

use std::sync::Arc;

use super::Neighbours;
use crate::bytes::Decoders;

/// Up to this many volumes get the full cache budget each; ordinary disks have fewer.
const FULL_BUDGETS: usize = 4;
/// No budget is reduced below this: a cache keeps no value larger than a sixteenth of its budget.
const MIN_BUDGET: usize = 1 << 20;

/// The context in which a volume is opened. The default is that of a single volume.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Number of volumes: beyond four they share the memory for caches. 0 counts as 1.
    pub volumes: usize,
    /// The threads that decode compressed content, shared by all volumes; started when there is such content.
    pub decoders: Arc<Decoders>,
    /// The other volumes of the disk, which may hold the content of this one's files (NTFS: WIMBoot); set when all are open.
    pub neighbours: Arc<Neighbours>,
}

impl Context {
    /// This volume's part of a cache budget.
    pub(crate) fn share(&self, budget: usize) -> usize {
        let parts = self.volumes.div_ceil(FULL_BUDGETS).max(1);
        (budget / parts).max(MIN_BUDGET.min(budget))
    }
}
