//! Reads the table sequentially, and finds the block to which an entry belongs.

use std::ops::Range;

use zerocopy::FromBytes;

use super::{
    super::super::{
        bat::Geometry,
        format::{self, BITMAP_BLOCK, BatEntry, payload_state as state},
    },
    Seen,
};
use crate::{
    Result,
    bytes::{ByteSource, ExtentKind},
};

/// Bytes of an entry.
pub(super) const SIZE: u64 = size_of::<BatEntry>() as u64;
/// Bytes read at once.
const PIECE: u64 = 256 << 10;

/// The table of a file.
pub(in super::super::super) struct Entries<'a> {
    pub(in super::super::super) source: &'a dyn ByteSource,
    /// File offset of the first entry.
    pub(in super::super::super) start: u64,
}

/// The owner of an entry: a payload block or the sector bitmap of a chunk, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super::super) enum Owner {
    Block(u64),
    Bitmap(u64),
}

impl Entries<'_> {
    /// Calls `visit` with each non-zero entry of the range that the file stores. Returns the number of the first entry
    /// past the stored ones.
    pub(in super::super::super) fn each(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(Seen),
    ) -> Result<u64> {
        let stored = self.source.size().saturating_sub(self.start) / SIZE;
        let last = range.end.min(stored).max(range.start);
        let mut bytes = Vec::new();
        let mut index = range.start;
        while index < last {
            visit(Seen::Progress(index - range.start, range.end - range.start));
            let at = self.start + index * SIZE;
            let extent = self.source.extent_at(at)?;
            if extent.kind == ExtentKind::Hole && extent.len >= SIZE {
                index += extent.len / SIZE;
                continue;
            }
            let len = PIECE.min((last - index) * SIZE);
            bytes.resize(usize::try_from(len).expect("at most PIECE"), 0);
            self.source.read_exact_at(at, &mut bytes)?;
            let entries = <[BatEntry]>::ref_from_bytes(&bytes).expect("a multiple of the entry's size");
            for (entry, index) in entries.iter().zip(index..) {
                if entry.0.get() != 0 {
                    visit(Seen::Entry(index, *entry));
                }
            }
            index += len / SIZE;
        }
        Ok(last)
    }
}

impl Geometry {
    /// The owner of the entry with this index.
    pub(in super::super::super) fn owner(&self, index: u64) -> Owner {
        let (ratio, period) = (self.chunk_ratio(), self.chunk_ratio() + 1);
        match index % period {
            within if within == ratio => Owner::Bitmap(index / period),
            within => Owner::Block(index / period * ratio + within),
        }
    }

    /// True when the entry gives a place in the file from which data is read.
    pub(in super::super::super) fn has_data(&self, owner: Owner, entry: BatEntry) -> bool {
        match owner {
            Owner::Block(number) if number >= self.payload_blocks() => false,
            Owner::Block(_) => match entry.state() {
                state::FULLY_PRESENT => true,
                state::PARTIALLY_PRESENT => self.has_parent,
                _ => false,
            },
            Owner::Bitmap(_) => self.has_parent && entry.state() == format::SB_BLOCK_PRESENT,
        }
    }
}

impl Owner {
    /// The chunk to which it belongs.
    pub(in super::super::super) fn chunk(self, geometry: &Geometry) -> u64 {
        match self {
            Self::Block(number) => number / geometry.chunk_ratio(),
            Self::Bitmap(chunk) => chunk,
        }
    }

    /// Length in the file in bytes: of the whole block, and of the part that the disk needs.
    pub(in super::super::super) fn lengths(self, geometry: &Geometry) -> (u64, u64) {
        match self {
            Self::Block(number) => {
                let rest = geometry.virtual_size.saturating_sub(number.saturating_mul(geometry.block_size));
                (geometry.block_size, rest.min(geometry.block_size))
            }
            Self::Bitmap(_) => (BITMAP_BLOCK, BITMAP_BLOCK),
        }
    }
}
