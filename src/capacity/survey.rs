//! The whole disk in order, stretch by stretch, as the block tables and the host file have it: what a picture is drawn
//! from. Nothing is kept of a stretch that was passed on. The sums are the figures of the report, except where the host does
//! not distinguish reserved space from holes: the report knows how much of it there is, not where.

use std::ops::Range;

use super::{
    Capacity,
    backing::{Backing, Walk},
    file_usage::FileUsage,
};
use crate::{
    Result,
    container::{Kind, Layer, Place},
};

/// Damaged entries of parents that are examined one by one; after so many the rest of a stretch counts as damaged.
const MAX_DAMAGED: u32 = 1 << 20;
/// How much is passed over at a damaged entry of a parent: the smallest block of a VHDX.
const MIN_BLOCK: u64 = 1 << 20;

/// How a stretch of the disk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// In a block of the image file, which the host has: writing there needs nothing.
    Backed,
    /// In a block of the image file where the host's file has a hole.
    Hole,
    /// In no image of the chain: reads as zeros.
    Absent,
    /// A child says that it is zeros, whatever its parent has.
    Zero,
    /// In a parent: overwriting it needs a new block in the child.
    Parent,
    /// Its entry in a block table is damaged.
    Damaged,
}

impl Capacity {
    /// Calls `sink` with each stretch of the disk, ascending and without gaps. Time is bounded by the block tables.
    ///
    /// # Errors
    /// When a block table or the host cannot be read; damaged entries are [`Stored::Damaged`].
    pub fn survey(&self, sink: &mut dyn FnMut(Range<u64>, Stored)) -> Result<()> {
        let space = self.space()?;
        let (top, map) = (self.top(), self.map(&space));
        let file_usage = FileUsage::survey(top, map.as_ref())?;
        let mut walk = Walk::new(top, map.as_ref()).without(&file_usage.aliases);
        let mut below = Below { layers: self.disk.layers(), damaged: 0 };
        let mut offset = 0;
        while offset < self.disk_size() {
            let piece = walk.piece_at(offset)?;
            let end = piece.end.min(self.disk_size());
            match piece.backing {
                Backing::Host => sink(offset..end, Stored::Backed),
                Backing::Hole => sink(offset..end, Stored::Hole),
                Backing::Damaged => sink(offset..end, Stored::Damaged),
                Backing::Absent => below.survey(offset..end, sink)?,
            }
            offset = end;
        }
        Ok(())
    }

    fn disk_size(&self) -> u64 {
        self.top().virtual_size()
    }
}

/// What the top image lacks, looked for in its parents.
struct Below<'a> {
    layers: &'a [std::sync::Arc<dyn Layer>],
    damaged: u32,
}

impl Below<'_> {
    fn survey(&mut self, range: Range<u64>, sink: &mut dyn FnMut(Range<u64>, Stored)) -> Result<()> {
        if self.layers[0].info().kind != Kind::Differencing {
            sink(range, Stored::Absent);
            return Ok(());
        }
        let mut offset = range.start;
        while offset < range.end {
            let (stored, len) = self.find(offset, range.end - offset)?;
            sink(offset..offset + len, stored);
            offset += len;
        }
        Ok(())
    }

    /// How the bytes from `offset` on are stored, and for how long: between 1 and `want`.
    fn find(&mut self, offset: u64, want: u64) -> Result<(Stored, u64)> {
        let mut len = want;
        for (depth, layer) in self.layers.iter().enumerate() {
            let Some(rest) = layer.virtual_size().checked_sub(offset).filter(|rest| *rest > 0) else {
                // A parent may be smaller than its child: beyond its end are zeros.
                return Ok((Stored::Absent, len));
            };
            let segment = match layer.allocation(offset) {
                Ok(segment) => segment,
                Err(crate::Error::Corrupt(_)) => {
                    return Ok((Stored::Damaged, self.damage(&**layer, offset, len)));
                }
                Err(error) => return Err(error),
            };
            len = len.min(rest).min(segment.len.max(1));
            match segment.place {
                Place::File(_) => return Ok((Stored::Parent, len)),
                Place::Zero if depth == 0 => return Ok((Stored::Zero, len)),
                Place::Zero => return Ok((Stored::Absent, len)),
                Place::Parent => {}
            }
        }
        // Opened without its parent: that is where it would be.
        Ok((Stored::Parent, len))
    }

    /// One damaged entry costs its own block.
    fn damage(&mut self, layer: &dyn Layer, offset: u64, len: u64) -> u64 {
        self.damaged = self.damaged.saturating_add(1);
        let block = match layer.growth().block_size {
            0 | 1 => MIN_BLOCK,
            block => block,
        };
        if self.damaged >= MAX_DAMAGED { len } else { len.min(block - offset % block) }
    }
}
