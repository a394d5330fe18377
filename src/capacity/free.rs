//! One pass over a volume's allocation map crossed with the block table. Memory is bounded by the number of *different*
//! gains that a block can bring (block size / cluster size), not by the disk.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
};

use super::{
    backing::{Backing, Walk},
    file_usage::FileUsage,
    host_budget::HostBudget,
};
use crate::{
    Result,
    container::Layer,
    fs::FileSystem,
    host::{HostMap, HostSpace},
    volume::Volume,
};

/// How the free space of a volume is backed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Free {
    /// Free clusters that need no growth.
    pub(super) backed: u64,
    /// Free clusters over holes of the host file, or over space that it shares with another.
    pub(super) holes: u64,
    /// As holes, but the volume has reserved them: only the image below that volume needs space.
    pub(super) unbacked: u64,
    /// Free bytes that a new block would bring → how many such blocks.
    gains: BTreeMap<u64, u64>,
}

impl Free {
    /// Crosses the free ranges of `fs`, which `volume` holds, with the block table of `layer`.
    pub(super) fn count(
        layer: &dyn Layer,
        file_usage: &FileUsage,
        host: Option<&HostMap>,
        volume: &Volume,
        fs: &dyn FileSystem,
    ) -> Result<Self> {
        let mut count = Counter {
            free: Self::default(),
            size: layer.virtual_size(),
            block: layer.growth().block_size.max(1),
            open: None,
            stretch: 0..0,
            whole: 0..0,
            cut: BTreeMap::new(),
        };
        let mut walk = Walk::new(layer, host).without(&file_usage.aliases);
        let mut stretches = volume.stretches();
        let mut failed = None;
        fs.space().free_ranges(&mut |range| {
            let added = stretches.each(range, &mut |part, stretch| {
                match (stretch.part_on_disk(&part), stretch.on_disk()) {
                    (Some(part), Some(whole)) => count.add(&mut walk, part, whole),
                    // No block of the disk will ever hold it.
                    _ => Ok(()),
                }
            });
            match added {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        Ok(count.finish())
    }

    /// As [`super::allocation::Allocation::split_holes`].
    pub(super) fn split_holes(&mut self, missing: u64, space: &HostSpace) {
        let reserved = self.holes.saturating_sub(missing);
        self.holes -= reserved;
        *(if space.below.is_some() { &mut self.unbacked } else { &mut self.backed }) += reserved;
    }

    /// Free bytes that can be backed now, fullest-gain blocks first, in whole clusters.
    pub(super) fn achievable(&self, budget: &HostBudget, cluster_size: u64) -> u64 {
        let (filled, left) = budget.fill(self.holes, self.unbacked);
        let mut blocks = budget.blocks(left);
        let gained = self.gains.iter().rev().map(|(gain, count)| {
            let take = blocks.min(*count);
            blocks -= take;
            take * gain
        });
        let bytes = self.backed + filled + gained.sum::<u64>();
        bytes / cluster_size.max(1) * cluster_size.max(1)
    }
}

struct Counter {
    free: Free,
    /// Of the disk.
    size: u64,
    block: u64,
    /// The absent block that the last range ended in, and its gain so far.
    open: Option<(Range<u64>, u64)>,
    /// The stretch of the disk in which the last range lay, and the blocks that are in it as a whole: they are met once.
    stretch: Range<u64>,
    whole: Range<u64>,
    /// Gains of absent blocks at the edges of stretches: another stretch of the same volume may bring the rest. At most two
    /// for each stretch.
    cut: BTreeMap<u64, u64>,
}

impl Counter {
    /// Adds a free range of the disk that lies in this stretch of it.
    fn add(&mut self, walk: &mut Walk<'_>, range: Range<u64>, stretch: Range<u64>) -> Result<()> {
        if stretch != self.stretch {
            self.whole = stretch.start.div_ceil(self.block)..stretch.end / self.block;
            self.stretch = stretch;
        }
        let end = range.end.min(self.size);
        let mut offset = range.start;
        while offset < end {
            let piece = walk.piece_at(offset)?;
            let stop = piece.end.min(end);
            match piece.backing {
                Backing::Host if !piece.shared => self.free.backed += stop - offset,
                Backing::Host | Backing::Hole => self.free.holes += stop - offset,
                Backing::Absent => self.add_absent(offset, stop),
                Backing::Damaged => {}
            }
            offset = stop;
        }
        Ok(())
    }

    fn add_absent(&mut self, offset: u64, stop: u64) {
        // Most ranges lie in the block of the one before: no division then.
        if let Some((open, gain)) = &mut self.open
            && open.start <= offset
            && stop <= open.end
        {
            *gain += stop - offset;
            return;
        }
        let (first, last) = (offset / self.block, (stop - 1) / self.block);
        self.gain(first, stop.min((first + 1) * self.block) - offset);
        if last > first {
            if last > first + 1 {
                self.close();
                *self.free.gains.entry(self.block).or_default() += last - first - 1;
            }
            self.gain(last, stop - last * self.block);
        }
    }

    fn gain(&mut self, block: u64, bytes: u64) {
        if !self.whole.contains(&block) {
            *self.cut.entry(block).or_default() += bytes;
            return;
        }
        let start = block * self.block;
        match &mut self.open {
            Some((open, gain)) if open.start == start => *gain += bytes,
            _ => {
                self.close();
                self.open = Some((start..start.saturating_add(self.block), bytes));
            }
        }
    }

    fn close(&mut self) {
        if let Some((_, gain)) = self.open.take() {
            *self.free.gains.entry(gain).or_default() += 1;
        }
    }

    fn finish(mut self) -> Free {
        self.close();
        for gain in self.cut.into_values() {
            *self.free.gains.entry(gain).or_default() += 1;
        }
        self.free
    }
}
