//! One pass over the block table, and one over an allocation bitmap crossed with it. Memory is bounded by the number
//! of *different* gains that a block can bring (block size / cluster size), not by the disk.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, FileSource},
    container::{Growth, Layer, Place},
    fs::FileSystem,
};

/// Blocks with a damaged table entry that are looked at one by one; behind so many the rest of the table counts as damaged.
const MAX_DAMAGED: u64 = 1 << 20;
/// How much is passed over at a damaged entry where the format does not tell its block size: that of the smallest VHDX.
const MIN_BLOCK: u64 = 1 << 20;

/// How the virtual bytes of a disk are backed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// Block in the top layer's file, host blocks there.
    pub(super) backed: u64,
    /// Block in the top layer's file, but the host file has a hole there: growing costs what it gains.
    pub(super) holes: u64,
    /// Bytes of blocks that the top layer's file lacks.
    pub(super) absent: u64,
    /// How many blocks those are.
    pub(super) absent_blocks: u64,
    /// Bytes of blocks whose table entry is damaged: they are neither there nor to be had.
    pub(super) damaged: u64,
    /// What is wrong with the first of them.
    pub(super) problem: String,
}

impl Stock {
    /// Walks the block table of `layer`. `holes`: the host file, if it has any.
    pub(super) fn count(layer: &dyn Layer, holes: Option<&FileSource>) -> Result<Self> {
        let mut stock = Self::default();
        let mut walk = Walk::new(layer, holes);
        let block = layer.growth().block_size.max(1);
        let mut offset = 0;
        while offset < layer.virtual_size() {
            let piece = walk.piece_at(offset)?;
            let len = piece.end - offset;
            match piece.backing {
                Backing::Host => stock.backed += len,
                Backing::Hole => stock.holes += len,
                Backing::Absent => {
                    stock.absent += len;
                    // The last block of a disk may be cut short; it costs a whole one.
                    stock.absent_blocks += piece.end.div_ceil(block) - offset / block;
                }
                Backing::Damaged => stock.damaged += len,
            }
            offset = piece.end;
        }
        stock.problem = walk.problem;
        Ok(stock)
    }

    /// SEEK_HOLE takes what was reserved and never written (fallocate) for a hole, so that the host file may have fewer:
    /// `missing` is what it is short of its length.
    pub(super) fn limit_holes(&mut self, missing: u64) {
        let reserved = self.holes.saturating_sub(missing);
        self.holes -= reserved;
        self.backed += reserved;
    }

    /// Host bytes until every virtual byte is backed.
    pub(super) fn growth_to_full(&self, growth: &Growth) -> u64 {
        let groups =
            growth.group.map_or(0, |(blocks, bytes)| self.absent_blocks.div_ceil(blocks.max(1)) * bytes);
        self.holes + self.absent_blocks * growth.block_cost + groups
    }

    /// Virtual bytes that can be backed when the host still gives `host_free` bytes: whole blocks.
    pub(super) fn achievable(&self, host_free: u64, growth: &Growth) -> u64 {
        let filled = self.holes.min(host_free);
        let blocks = blocks_for(host_free - filled, growth).min(self.absent_blocks);
        self.backed + filled + blocks.saturating_mul(growth.block_size).min(self.absent)
    }
}

/// How many new blocks fit into `host_free` bytes, format overhead included.
pub(super) fn blocks_for(host_free: u64, growth: &Growth) -> u64 {
    let cost = growth.block_cost.max(1);
    match growth.group {
        None => host_free / cost,
        Some((blocks, bytes)) => {
            let group = blocks.saturating_mul(cost).saturating_add(bytes).max(1);
            (host_free / group).saturating_mul(blocks) + (host_free % group).saturating_sub(bytes) / cost
        }
    }
}

/// How the free space of a volume is backed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Free {
    /// Free clusters that need no growth.
    pub(super) backed: u64,
    /// Free clusters over holes of the host file.
    pub(super) holes: u64,
    /// Free bytes that a new block would bring → how many such blocks.
    gains: BTreeMap<u64, u64>,
}

impl Free {
    /// Crosses the free ranges of `fs`, which begins at byte `start` of the disk, with the block table of `layer`.
    pub(super) fn count(
        layer: &dyn Layer,
        holes: Option<&FileSource>,
        start: u64,
        fs: &dyn FileSystem,
    ) -> Result<Self> {
        let mut count = Counter { free: Self::default(), block: layer.growth().block_size, open: None };
        let mut walk = Walk::new(layer, holes);
        let mut failed = None;
        fs.free_ranges(&mut |range| match count
            .add(&mut walk, start.saturating_add(range.start)..start.saturating_add(range.end))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        Ok(count.finish())
    }

    /// As [`Stock::limit_holes`].
    pub(super) fn limit_holes(&mut self, missing: u64) {
        let reserved = self.holes.saturating_sub(missing);
        self.holes -= reserved;
        self.backed += reserved;
    }

    /// Free bytes that can be backed when the host still gives `host_free` bytes, fullest-gain blocks first.
    pub(super) fn achievable(&self, host_free: u64, growth: &Growth) -> u64 {
        let filled = self.holes.min(host_free);
        let mut blocks = blocks_for(host_free - filled, growth);
        let gained = self.gains.iter().rev().map(|(gain, count)| {
            let take = blocks.min(*count);
            blocks -= take;
            take * gain
        });
        self.backed + filled + gained.sum::<u64>()
    }
}

struct Counter {
    free: Free,
    block: u64,
    /// The absent block that the last range ended in, and its gain so far.
    open: Option<(u64, u64)>,
}

impl Counter {
    fn add(&mut self, walk: &mut Walk<'_>, range: Range<u64>) -> Result<()> {
        let end = range.end.min(walk.layer.virtual_size());
        let mut offset = range.start;
        while offset < end {
            let piece = walk.piece_at(offset)?;
            let stop = piece.end.min(end);
            match piece.backing {
                Backing::Host => self.free.backed += stop - offset,
                Backing::Hole => self.free.holes += stop - offset,
                Backing::Absent => self.add_absent(offset, stop),
                Backing::Damaged => {}
            }
            offset = stop;
        }
        Ok(())
    }

    fn add_absent(&mut self, offset: u64, stop: u64) {
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
        match &mut self.open {
            Some((open, gain)) if *open == block => *gain += bytes,
            _ => {
                self.close();
                self.open = Some((block, bytes));
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
        self.free
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backing {
    Host,
    Hole,
    Absent,
    Damaged,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    end: u64,
    backing: Backing,
}

/// Ascending look-ups that remember the last piece: ranges are often much smaller than blocks.
struct Walk<'a> {
    layer: &'a dyn Layer,
    host: Option<&'a FileSource>,
    last: Option<(u64, Piece)>,
    /// The host file's last extent and where it begins: it mostly holds many blocks, and asking is a system call.
    extent: Option<(u64, Extent)>,
    damaged: u64,
    /// The first damage.
    problem: String,
}

impl<'a> Walk<'a> {
    fn new(layer: &'a dyn Layer, host: Option<&'a FileSource>) -> Self {
        Self { layer, host, last: None, extent: None, damaged: 0, problem: String::new() }
    }

    /// What lies at `offset` (inside the disk), and where that ends.
    fn piece_at(&mut self, offset: u64) -> Result<Piece> {
        if let Some((start, piece)) = self.last
            && (start..piece.end).contains(&offset)
        {
            return Ok(piece);
        }
        let segment = match self.layer.allocation(offset) {
            Ok(segment) => segment,
            Err(error @ Error::Corrupt(_)) => {
                let piece = Piece { end: self.end_of_damage(offset, &error), backing: Backing::Damaged };
                self.last = Some((offset, piece));
                return Ok(piece);
            }
            Err(error) => return Err(error),
        };
        let mut piece = Piece { end: offset + segment.len.max(1), backing: Backing::Absent };
        if let Place::File(position) = segment.place {
            piece.backing = Backing::Host;
            // A replayed log may reach past the file's end: that part is not on the host.
            if let Some(host) = self.host {
                let extent = self.extent_at(host, position)?;
                if extent.kind == ExtentKind::Hole {
                    piece.backing = Backing::Hole;
                }
                if extent.len > 0 {
                    piece.end = piece.end.min(offset + extent.len);
                }
            }
        }
        self.last = Some((offset, piece));
        Ok(piece)
    }

    fn extent_at(&mut self, host: &FileSource, position: u64) -> Result<Extent> {
        if let Some((start, extent)) = self.extent
            && let Some(within) = position.checked_sub(start).filter(|within| *within < extent.len)
        {
            return Ok(Extent { len: extent.len - within, ..extent });
        }
        let extent = host.extent_at(position)?;
        self.extent = Some((position, extent));
        Ok(extent)
    }

    /// One damaged entry costs its own block, not the figures of the whole disk.
    fn end_of_damage(&mut self, offset: u64, error: &Error) -> u64 {
        if self.damaged == 0 {
            self.problem = error.to_string();
        }
        self.damaged += 1;
        let size = self.layer.virtual_size();
        let block = match self.layer.growth().block_size {
            0 | 1 => MIN_BLOCK,
            block => block,
        };
        if self.damaged >= MAX_DAMAGED { size } else { ((offset / block + 1) * block).min(size) }
    }
}
