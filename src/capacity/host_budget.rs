//! The space that the host still has for an image file, and how far the image grows with it: in the host's allocation units,
//! with the overhead of the format for each block, up to the largest file of the host. Assumes that the guest fills the disk
//! densely: blocks whose group has its bitmap first, neighbours in the block table together.

use super::allocation::Allocation;
use crate::{
    container::{Growth, Layer, Structures},
    host::{HostSpace, limits::net_of_pointer_blocks},
};

/// Space for one image file.
#[derive(Debug, Clone)]
pub(super) struct HostBudget {
    pub(super) growth: Growth,
    structures: Structures,
    /// Host bytes for data.
    free: u64,
    /// What of `free` can be backed below, where the volume lies in a thin image.
    below: Option<u64>,
    room: Option<u64>,
    /// Where the file's blocks end.
    end: u64,
    /// At least 1.
    unit: u64,
    absent_blocks: u64,
    covered_blocks: u64,
    log_holes: u64,
    table_holes: u64,
    group_holes: u64,
    beyond_end: u64,
}

impl HostBudget {
    pub(super) fn new(layer: &dyn Layer, space: &HostSpace, allocation: &Allocation) -> Self {
        let unit = space.unit.max(allocation.host_unit).max(1);
        let free = space.free.saturating_sub(space.margin) / unit * unit;
        Self {
            growth: layer.growth(),
            structures: layer.structures(),
            free: space.pointers.map_or(free, |each| net_of_pointer_blocks(free, unit, each)),
            below: space.below,
            room: space.room,
            end: space.file_size.saturating_sub(layer.structures().trailer),
            unit,
            absent_blocks: allocation.absent_blocks,
            covered_blocks: allocation.covered_blocks,
            // A part of a host block is paid as a whole one.
            log_holes: round_up(allocation.log_holes, unit),
            table_holes: round_up(allocation.table_holes, unit),
            group_holes: allocation.group_holes,
            beyond_end: allocation.beyond_end,
        }
    }

    /// The same with another part of the volume's free space.
    pub(super) fn with_free(&self, free: u64, space: &HostSpace) -> Self {
        let free = free.saturating_sub(space.margin) / self.unit * self.unit;
        Self {
            free: space.pointers.map_or(free, |each| net_of_pointer_blocks(free, self.unit, each)),
            below: self.below.map(|below| below.min(free)),
            ..self.clone()
        }
    }

    /// Virtual bytes that can be backed now: whole blocks.
    pub(super) fn achievable(&self, allocation: &Allocation) -> u64 {
        let (filled, left) = self.fill(allocation.holes, allocation.unbacked);
        let blocks = self.blocks(left).min(allocation.absent_blocks);
        allocation.backed + filled + blocks.saturating_mul(self.growth.block_size).min(allocation.absent)
    }

    /// The same by a writer that leaves holes where it has written nothing yet, and logs nothing.
    pub(super) fn achievable_at_most(&self, allocation: &Allocation) -> u64 {
        let (filled, left) = self.fill(allocation.holes, allocation.unbacked);
        allocation.backed + filled + self.partial_blocks(left).min(allocation.absent)
    }

    /// Fills holes of the file: how many bytes, and what is left for blocks. `unbacked` takes nothing of the volume, but
    /// of what lies below it, and so may all that the volume still has.
    pub(super) fn fill(&self, holes: u64, unbacked: u64) -> (u64, u64) {
        let backed = unbacked.min(self.below.unwrap_or(0));
        let left = self.free.saturating_sub(backed);
        let filled = holes.min(left);
        (backed + filled, left - filled)
    }

    /// How many new blocks `left` host bytes pay, with all that the format adds.
    pub(super) fn blocks(&self, left: u64) -> u64 {
        let cost = self.growth.block_cost.max(1);
        let most = (left / cost + 1).min(self.absent_blocks);
        let touched = |holes: u64, each: u64| holes.min(round_up(most.saturating_mul(each), self.unit));
        let overhead = touched(self.log_holes, self.structures.log_entry)
            + touched(self.table_holes, self.structures.table_entry)
            + self.group_holes;
        let Some(left) = left.checked_sub(overhead) else { return 0 };
        let length = self.length(left.saturating_add(self.beyond_end));
        let simple = length / cost;
        match self.growth.group {
            Some((blocks, bytes)) if simple > self.covered_blocks => {
                let length = length - self.covered_blocks * cost;
                let group = blocks.saturating_mul(cost).saturating_add(bytes).max(1);
                let rest = ((length % group).saturating_sub(bytes) / cost).min(blocks);
                self.covered_blocks + (length / group).saturating_mul(blocks) + rest
            }
            _ => simple,
        }
    }

    /// Bytes of blocks that a writer can put down with `left` host bytes when it leaves what it does not write as holes.
    pub(super) fn partial_blocks(&self, left: u64) -> u64 {
        let bytes = left.saturating_add(self.beyond_end);
        // The file gets longer by whole blocks all the same.
        let room = self.room.map_or(u64::MAX, |room| room / self.growth.block_cost.max(1));
        bytes.min(room.saturating_mul(self.growth.block_size))
    }

    /// How much longer the file's part for blocks can get with `left` host bytes.
    fn length(&self, left: u64) -> u64 {
        let start = round_up(self.end, self.structures.alignment.max(1));
        // The end of the last host block is paid for already; where blocks begin behind it, a new one begins.
        let paid = if start - self.end < self.unit {
            round_up(self.end, self.unit)
        } else {
            start / self.unit * self.unit
        };
        let reach = paid.saturating_add(left / self.unit * self.unit);
        let length = reach.saturating_sub(start);
        self.room.map_or(length, |room| length.min(room.saturating_sub(start - self.end)))
    }
}

fn round_up(bytes: u64, unit: u64) -> u64 {
    bytes.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
