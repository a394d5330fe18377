//! The blocks of a dynamic or differencing disk: the block allocation table, and a sector bitmap before each block.

use std::sync::Arc;

use super::{
    super::{Place, Segment, Structures},
    bat::Bat,
    format::{HEADER_SIZE, SECTOR},
};
use crate::{Error, Result, bytes::ByteSource, cache::Cache, error};

/// Memory for cached sector bitmaps of a differencing disk: those of 16 GiB in blocks of 2 MiB.
pub(super) const BITMAP_BUDGET: usize = 4 << 20;
/// Most unallocated blocks joined in one segment: a small read must not walk a large table.
const MAX_JOINED_BLOCKS: usize = 64;

/// A sector of a sector bitmap, the unit of the cache.
type BitmapSector = Arc<[u8; 512]>;

/// Bytes of the virtual disk that one bitmap sector describes.
const BITMAP_SECTOR_SPAN: u64 = 512 * 8 * SECTOR;

/// The block structures of a dynamic or differencing disk.
pub(super) struct Blocks {
    pub(super) bat: Bat,
    pub(super) block_size: u64,
    pub(super) bitmap_size: u64,
    pub(super) header_at: u64,
    /// The cached bitmaps of a differencing disk.
    pub(super) bitmaps: Option<Cache<u64, BitmapSector>>,
}

impl Blocks {
    /// Resolves an offset. `rest`: bytes from `offset` to the end of the virtual disk.
    pub(super) fn segment(
        &self,
        source: &Arc<dyn ByteSource>,
        offset: u64,
        rest: u64,
        with_bitmaps: bool,
    ) -> Result<Segment> {
        let (block, within) = (offset / self.block_size, offset % self.block_size);
        let Some(sector) = self.bat.get(source, block)? else {
            let place = if self.bitmaps.is_some() { Place::Parent } else { Place::Zero };
            let blocks = self.bat.unused_run(source, block, MAX_JOINED_BLOCKS)?;
            return Ok(Segment { place, len: blocks * self.block_size - within });
        };
        let bitmap_at = u64::from(sector) * SECTOR;
        let corrupt = |problem: &'static str| {
            let at = self.bat.offset().saturating_add(block * 4);
            Error::corrupt(
                format!("VHD block allocation table entry {block}"),
                error::Place::Byte(at),
                problem,
            )
        };
        if self.overlaps_structures(bitmap_at) {
            return Err(corrupt("puts the block over the disk's own structures"));
        }
        let data_at = bitmap_at + self.bitmap_size;
        let left = (self.block_size - within).min(rest);
        // A file cut off inside its last block keeps the part that it has.
        let stored = source.size().saturating_sub(data_at + within).min(left);
        let beyond = || corrupt("puts the block beyond the end of the file");
        let (present, len) = match &self.bitmaps {
            Some(bitmaps) if with_bitmaps => {
                let at = bitmap_at + within / BITMAP_SECTOR_SPAN * SECTOR;
                // A table of such entries costs no read for each of them.
                if at + SECTOR > source.size() {
                    return Err(beyond());
                }
                let bitmap =
                    bitmaps.get_or_load(at, || load_bitmap(source, at)).map_err(|error| match error {
                        Error::Invalid(_) => beyond(),
                        other => other,
                    })?;
                bit_run(&bitmap, within % BITMAP_SECTOR_SPAN)
            }
            _ => (true, left),
        };
        match (present, stored) {
            // Sectors that the bitmap leaves to the parent need not be stored in this file.
            (false, _) => Ok(Segment { place: Place::Parent, len: len.min(left) }),
            (true, 0) => Err(beyond()),
            (true, _) => Ok(Segment { place: Place::File(data_at + within), len: len.min(stored) }),
        }
    }

    /// The structures of the file. Its footer is the trailer: a new block is written in its place, and the footer moves
    /// to the end.
    pub(super) fn structures(&self) -> Structures {
        let table = self.bat.offset()..self.bat.offset().saturating_add(self.bat.entries() * 4);
        // The specification rounds the table up to whole sectors.
        let rounded = table.start..table.end.checked_next_multiple_of(SECTOR).unwrap_or(table.end);
        let header = self.header_at..self.header_at.saturating_add(HEADER_SIZE as u64);
        Structures {
            reserved: vec![0..SECTOR, header, rounded],
            table,
            table_entry: 4,
            alignment: SECTOR,
            block_head: self.bitmap_size,
            trailer: SECTOR,
            ..Structures::default()
        }
    }

    /// True for a block whose first byte lies in the footer's copy, the header or the table: damage, not data.
    fn overlaps_structures(&self, bitmap_at: u64) -> bool {
        let within = |start: u64, len: u64| bitmap_at >= start && bitmap_at - start < len;
        within(0, SECTOR)
            || within(self.header_at, HEADER_SIZE as u64)
            || within(self.bat.offset(), self.bat.entries() * 4)
    }
}

fn load_bitmap(source: &Arc<dyn ByteSource>, at: u64) -> Result<(BitmapSector, usize)> {
    let mut bytes = [0; 512];
    source.read_exact_at(at, &mut bytes)?;
    // The cost includes the key, the list's two pointers and the counters, about a sixth of the bitmap.
    Ok((Arc::new(bytes), 600))
}

/// Returns whether the sector at byte `within` of the range that the bitmap describes is present, and for how many bytes
/// from there that holds. Bit 7 of each byte is the first sector.
pub(super) fn bit_run(bitmap: &[u8; 512], within: u64) -> (bool, u64) {
    let first = usize::try_from(within / SECTOR).expect("below 4096: the caller reduces it");
    let present = bitmap[first / 8] & (0x80 >> (first % 8)) != 0;
    let other = if present { 0xff } else { 0 };
    // In `byte ^ other`, set bits are those that differ.
    let head = (bitmap[first / 8] ^ other) << (first % 8);
    let end = if head != 0 {
        first + head.leading_zeros() as usize
    } else {
        let next = first / 8 + 1;
        match bitmap[next..].iter().position(|byte| *byte != other) {
            Some(skip) => (next + skip) * 8 + (bitmap[next + skip] ^ other).leading_zeros() as usize,
            None => 4096,
        }
    };
    (present, end as u64 * SECTOR - within)
}
