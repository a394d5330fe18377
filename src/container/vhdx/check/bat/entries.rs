//! Reads the table from one end to the other, and finds the block that an entry belongs to.

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

/// A table in its file.
pub(super) struct Entries<'a> {
    pub(super) source: &'a dyn ByteSource,
    /// Its first byte in the file.
    pub(super) start: u64,
}

/// Whose an entry is: a payload block or the sector bitmap of a chunk, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Block(u64),
    Bitmap(u64),
}

impl Entries<'_> {
    /// Shows each entry of the range that is not zero, as far as the file has it. Returns the number of the first that
    /// it has not.
    pub(super) fn each(&self, range: Range<u64>, visit: &mut dyn FnMut(Seen)) -> Result<u64> {
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
    /// Whose the entry with this index is.
    pub(super) fn owner(&self, index: u64) -> Owner {
        let (ratio, period) = (self.chunk_ratio(), self.chunk_ratio() + 1);
        match index % period {
            within if within == ratio => Owner::Bitmap(index / period),
            within => Owner::Block(index / period * ratio + within),
        }
    }

    /// Whether the entry gives a place in the file that is read.
    pub(super) fn has_data(&self, owner: Owner, entry: BatEntry) -> bool {
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
    /// The chunk in which it lies.
    pub(super) fn chunk(self, geometry: &Geometry) -> u64 {
        match self {
            Self::Block(number) => number / geometry.chunk_ratio(),
            Self::Bitmap(chunk) => chunk,
        }
    }

    /// Bytes in the file: of the whole, and of what the disk needs of it.
    pub(super) fn lengths(self, geometry: &Geometry) -> (u64, u64) {
        match self {
            Self::Block(number) => {
                let rest = geometry.virtual_size.saturating_sub(number.saturating_mul(geometry.block_size));
                (geometry.block_size, rest.min(geometry.block_size))
            }
            Self::Bitmap(_) => (BITMAP_BLOCK, BITMAP_BLOCK),
        }
    }
}
