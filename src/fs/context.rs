//! What the volumes of one image share: threads, memory for caches, and each other.

use std::sync::Arc;

use super::Neighbours;
use crate::bytes::Decoders;

/// Up to this many volumes each have the full budget; ordinary disks have fewer.
const FULL_BUDGETS: usize = 4;
/// No budget is cut below this: a cache keeps nothing that is larger than a sixteenth of its budget.
const MIN_BUDGET: usize = 1 << 20;

/// The surroundings in which a volume is opened. The default is that of a volume by itself.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// How many volumes there are: beyond a few they share the memory for caches. 0 counts as 1.
    pub volumes: usize,
    /// The threads that decode compressed content, for all volumes together; none runs before there is such content.
    pub decoders: Arc<Decoders>,
    /// The other volumes of the disk, which may hold content of this one's files (NTFS: WIMBoot); set when all are opened.
    pub neighbours: Arc<Neighbours>,
}

impl Context {
    /// What is left of a cache's budget when all volumes have one.
    pub(crate) fn share(&self, budget: usize) -> usize {
        let parts = self.volumes.div_ceil(FULL_BUDGETS).max(1);
        (budget / parts).max(MIN_BUDGET.min(budget))
    }
}
