//! The growth of an image that is closed again: how large the disk becomes with a given part of the host's space.

use super::{Capacity, allocation::Allocation, host_budget::HostBudget};
use crate::{Result, host::HostSpace};

/// The growth of one image, without the image.
#[derive(Debug, Clone)]
pub(super) struct GrowthModel {
    allocation: Allocation,
    space: HostSpace,
    budget: HostBudget,
}

impl GrowthModel {
    /// As things are now.
    pub(super) fn of(capacity: &Capacity) -> Result<Self> {
        let space = capacity.space()?;
        let scan = capacity.scan(&space)?;
        Ok(Self {
            budget: HostBudget::new(capacity.top(), &space, &scan.allocation),
            allocation: scan.allocation.clone(),
            space,
        })
    }

    /// The host's space at that moment.
    pub(super) fn space(&self) -> &HostSpace {
        &self.space
    }

    /// The size that the disk reaches when its host gives it so many bytes: whole blocks.
    pub(super) fn achievable(&self, host_bytes: u64) -> u64 {
        self.budget.with_free(host_bytes, &self.space).achievable(&self.allocation)
    }

    /// Host bytes that the next block takes.
    pub(super) fn next_block(&self) -> u64 {
        self.budget.growth.block_cost
    }
}
