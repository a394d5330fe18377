//! One pass over the block table: how the virtual bytes of a disk are backed, and what growing will cost besides blocks.

use super::{
    backing::{Backing, Walk},
    file_usage::FileUsage,
};
use crate::{
    Result,
    container::{Growth, Layer},
    host::{HostMap, HostSpace},
};

/// How the virtual bytes of a disk are backed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Allocation {
    /// Block in the top layer's file, host blocks there.
    pub(super) backed: u64,
    /// Of those: the host blocks belong to another file as well.
    pub(super) shared: u64,
    /// Block in the top layer's file, but the host file has a hole there: growing costs what it gains.
    pub(super) holes: u64,
    /// As holes, but the volume has reserved them: only the image below that volume needs space.
    pub(super) unbacked: u64,
    /// Bytes of blocks that the top layer's file lacks.
    pub(super) absent: u64,
    /// How many blocks those are.
    pub(super) absent_blocks: u64,
    /// Of those: blocks whose group has its bitmap block already.
    pub(super) covered_blocks: u64,
    /// Groups with absent blocks and without a bitmap block.
    pub(super) bare_groups: u64,
    /// What the host file lacks of the structures that every new block touches.
    pub(super) log_holes: u64,
    pub(super) table_holes: u64,
    pub(super) group_holes: u64,
    /// The unit in which the host gives space to this file; 0 where it is the volume's.
    pub(super) host_unit: u64,
    /// What the host has reserved behind the file's end.
    pub(super) beyond_end: u64,
    /// Bytes of blocks whose table entry is damaged: they can be neither read nor allocated.
    pub(super) damaged: u64,
    /// What is wrong with the first of them.
    pub(super) problem: String,
    /// Bytes of the file that nothing refers to, and what of them occupies space.
    pub(super) unused: u64,
    pub(super) unused_on_host: u64,
}

impl Allocation {
    /// Walks the block table of `layer`. `host`: where its file occupies space, unless it does everywhere.
    pub(super) fn count(layer: &dyn Layer, file_usage: &FileUsage, host: Option<&HostMap>) -> Result<Self> {
        let mut allocation = Self {
            group_holes: file_usage.group_holes,
            unused: file_usage.unused,
            unused_on_host: file_usage.unused_on_host,
            ..Self::default()
        };
        let mut walk = Walk::new(layer, host).without(&file_usage.aliases);
        let mut groups = Groups::new(&layer.growth(), file_usage);
        let block = layer.growth().block_size.max(1);
        let mut offset = 0;
        while offset < layer.virtual_size() {
            let piece = walk.piece_at(offset)?;
            let len = piece.end - offset;
            match piece.backing {
                Backing::Host => {
                    allocation.backed += len;
                    allocation.shared += if piece.shared { len } else { 0 };
                }
                Backing::Hole => allocation.holes += len,
                Backing::Absent => {
                    allocation.absent += len;
                    // The last block of a disk may be cut short; it costs a whole one.
                    let blocks = offset / block..piece.end.div_ceil(block);
                    allocation.absent_blocks += blocks.end - blocks.start;
                    groups.add(blocks);
                }
                Backing::Damaged => allocation.damaged += len,
            }
            offset = piece.end;
        }
        allocation.problem = walk.problem;
        (allocation.covered_blocks, allocation.bare_groups) = (groups.covered, groups.bare);
        if let Some(host) = host {
            let structures = layer.structures();
            let lacks =
                |range: std::ops::Range<u64>| (range.end - range.start).saturating_sub(host.occupied(range));
            allocation.host_unit = host.unit();
            allocation.log_holes = lacks(structures.log);
            allocation.table_holes = lacks(structures.table);
        }
        Ok(allocation)
    }

    /// The host does not distinguish reserved space from holes: of its holes only `missing`, what the file is short of its
    /// length, can be such. What is reserved is backed, unless the volume is that of a thin image.
    pub(super) fn split_holes(&mut self, missing: u64, space: &HostSpace) {
        let reserved = self.holes.saturating_sub(missing);
        self.holes -= reserved;
        *(if space.below.is_some() { &mut self.unbacked } else { &mut self.backed }) += reserved;
    }

    /// Host bytes besides payload until every virtual byte is backed.
    pub(super) fn overhead_to_full(&self, growth: &Growth) -> u64 {
        if self.absent_blocks == 0 {
            return 0;
        }
        let heads = self.absent_blocks.saturating_mul(growth.block_cost.saturating_sub(growth.block_size));
        let groups = growth.group.map_or(0, |(_, bytes)| self.bare_groups.saturating_mul(bytes));
        heads + groups + self.log_holes + self.table_holes + self.group_holes
    }

    /// Host bytes until every virtual byte is backed.
    pub(super) fn growth_to_full(&self, growth: &Growth) -> u64 {
        let payload = self.absent_blocks.saturating_mul(growth.block_size);
        self.holes + self.unbacked + payload + self.overhead_to_full(growth)
    }
}

/// Counts absent blocks by whether their group has its bitmap block.
struct Groups<'a> {
    blocks: u64,
    present: &'a [bool],
    covered: u64,
    bare: u64,
    /// The last group without one that was counted.
    last: Option<u64>,
}

impl<'a> Groups<'a> {
    fn new(growth: &Growth, file_usage: &'a FileUsage) -> Self {
        let blocks = growth.group.map_or(0, |(blocks, _)| blocks);
        Self { blocks, present: &file_usage.groups, covered: 0, bare: 0, last: None }
    }

    fn add(&mut self, blocks: std::ops::Range<u64>) {
        if self.blocks == 0 {
            return;
        }
        for group in blocks.start / self.blocks..blocks.end.div_ceil(self.blocks) {
            let present = usize::try_from(group).ok().and_then(|group| self.present.get(group));
            if present == Some(&true) {
                let (first, end) = (group * self.blocks, (group + 1) * self.blocks);
                self.covered += end.min(blocks.end) - first.max(blocks.start);
            } else if self.last != Some(group) {
                self.bare += 1;
                self.last = Some(group);
            }
        }
    }
}
