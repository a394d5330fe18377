//! The block table and the sector bitmaps as a writer reads and changes them: through [`super::pages::Pages`], so that every change goes
//! through the log.

use std::ops::Range;

use super::{
    super::{
        bitmap::run,
        format::{BITMAP_BLOCK, BatEntry, SB_BLOCK_PRESENT, payload_state as state},
    },
    Writer,
    pages::{PAGE, Page},
};
use crate::{Error, Place, Result};

pub(super) const ENTRY: u64 = size_of::<BatEntry>() as u64;
/// Sectors whose bits are in one page.
pub(super) const PAGE_SECTORS: u64 = 8 * PAGE;

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Nowhere: it reads as zeros.
    Zero,
    /// Nowhere: it is the parent's.
    Parent,
    /// In the file from this offset on.
    Full(u64),
    /// In the file from this offset on, as far as the bitmap says so; the rest is the parent's.
    Partial(u64),
}

impl Writer {
    /// Where a block is. The table was validated when the image was opened.
    pub(super) fn block(&self, number: u64) -> Result<Block> {
        let entry = self.entry(self.geometry.payload_index(number))?;
        Ok(match entry.state() {
            state::FULLY_PRESENT => Block::Full(entry.file_offset()),
            state::PARTIALLY_PRESENT => Block::Partial(entry.file_offset()),
            state::NOT_PRESENT if self.geometry.has_parent => Block::Parent,
            state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED | state::UNMAPPED_V095 => {
                Block::Zero
            }
            other => {
                let problem =
                    format!("state {other}: something else changed the table while the image was written");
                let structure = format!("VHDX BAT entry of block {number}");
                return Err(Error::corrupt(structure, Place::Byte(self.table), problem));
            }
        })
    }

    /// Changes where a block is.
    pub(super) fn set_block(&mut self, number: u64, block: Block) -> Result<()> {
        let (state, at) = match block {
            Block::Zero => (state::ZERO, 0),
            Block::Parent => (state::NOT_PRESENT, 0),
            Block::Full(at) => (state::FULLY_PRESENT, at),
            Block::Partial(at) => (state::PARTIALLY_PRESENT, at),
        };
        self.set_entry(self.geometry.payload_index(number), BatEntry::new(state, at))
    }

    fn entry(&self, index: u64) -> Result<BatEntry> {
        let (page, within) = self.entry_place(index);
        let bytes = |page: &Page| page.as_chunks::<8>().0[within / 8];
        let value = self.pages.with(&*self.file, page, bytes)?;
        Ok(BatEntry(u64::from_le_bytes(value).into()))
    }

    pub(super) fn set_entry(&mut self, index: u64, entry: BatEntry) -> Result<()> {
        let (page, within) = self.entry_place(index);
        let bytes = entry.0.get().to_le_bytes();
        self.pages.stage(&*self.file, page)?[within..within + bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }

    /// The page of an entry.
    pub(super) fn entry_page(&self, index: u64) -> u64 {
        self.entry_place(index).0
    }

    /// The page of an entry, and the entry's place in it.
    pub(super) fn entry_place(&self, index: u64) -> (u64, usize) {
        let at = self.table + index * ENTRY;
        (at / PAGE * PAGE, usize::try_from(at % PAGE).expect("inside a page"))
    }

    /// The pages with the bits of these sectors of a block, each with the range of bits in it; the bitmap block is made if `make` is set and
    /// there is none.
    fn bits(&mut self, number: u64, sectors: Range<u64>) -> Result<Vec<(u64, Range<u64>)>> {
        let ratio = self.geometry.chunk_ratio();
        let index = self.geometry.bitmap_index(number / ratio);
        let entry = self.entry(index)?;
        let at = if self.at_end {
            self.fresh_bitmap(number / ratio, entry)?
        } else if entry.state() == SB_BLOCK_PRESENT {
            entry.file_offset()
        } else {
            let at = self.allocate_zeros(BITMAP_BLOCK)?;
            self.set_entry(index, BatEntry::new(SB_BLOCK_PRESENT, at))?;
            at
        };
        Ok(self.bits_at(at, number, sectors))
    }

    fn bits_at(&self, bitmap: u64, number: u64, sectors: Range<u64>) -> Vec<(u64, Range<u64>)> {
        let first = number % self.geometry.chunk_ratio() * self.sectors_per_block();
        let (mut from, to) = (first + sectors.start, first + sectors.end);
        let mut pages = Vec::new();
        while from < to {
            let end = (from / PAGE_SECTORS + 1) * PAGE_SECTORS;
            let start = from / PAGE_SECTORS * PAGE_SECTORS;
            pages.push((bitmap + start / 8, from - start..to.min(end) - start));
            from = end;
        }
        pages
    }

    /// Says that these sectors of a block are in this file, or that they are the parent's.
    pub(super) fn set_bits(&mut self, number: u64, sectors: Range<u64>, present: bool) -> Result<()> {
        for (page, bits) in self.bits(number, sectors)? {
            let is_so = |page: &Page| run(page, bits.start, bits.end) == (present, bits.end - bits.start);
            if !self.pages.with(&*self.file, page, is_so)? {
                fill(self.pages.stage(&*self.file, page)?, bits, present);
            }
        }
        Ok(())
    }

    /// Whether a sector of a partially present block is in this file, and how many from there on, before `end`, are the same.
    pub(super) fn presence(&self, number: u64, sector: u64, end: u64) -> Result<(bool, u64)> {
        let entry = self.entry(self.geometry.bitmap_index(number / self.geometry.chunk_ratio()))?;
        let pages = self.bits_at(entry.file_offset(), number, sector..end);
        let (page, bits) = pages.into_iter().next().expect("at least one sector");
        self.pages.with(&*self.file, page, |page| run(page, bits.start, bits.end))
    }

    /// The number of sectors in a block.
    pub(super) fn sectors_per_block(&self) -> u64 {
        self.geometry.block_size / u64::from(self.geometry.logical_sector_size)
    }
}

/// Sets bits of a page, lowest first.
fn fill(page: &mut Page, bits: Range<u64>, value: bool) {
    let byte = |bit: u64| usize::try_from(bit / 8).expect("inside a page");
    let mut at = bits.start;
    while at < bits.end {
        if at.is_multiple_of(8) && bits.end - at >= 8 {
            let end = bits.end / 8 * 8;
            page[byte(at)..byte(end)].fill(if value { 0xff } else { 0 });
            at = end;
        } else {
            let mask = 1 << (at % 8);
            if value {
                page[byte(at)] |= mask
            } else {
                page[byte(at)] &= !mask
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_filled_exactly() {
        for (start, end) in [(0, 1), (3, 4), (3, 8), (8, 16), (5, 30), (0, 32768), (32767, 32768), (7, 7)] {
            for value in [true, false] {
                let mut page = [if value { 0 } else { 0xff }; 4096];
                fill(&mut page, start..end, value);
                for bit in 0..32768_u64 {
                    let set = page[usize::try_from(bit / 8).unwrap()] >> (bit % 8) & 1 != 0;
                    assert_eq!(set == value, (start..end).contains(&bit), "{bit} of {start}..{end}");
                }
            }
        }
    }
}
