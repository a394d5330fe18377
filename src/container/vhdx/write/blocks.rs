//! Writing to blocks: into those that are there, into fresh ones, and into fresh ones in place of those that are there.
//!
//! What nobody sees yet, a fresh block or sectors without their bits, is written directly and flushed before the log entry that makes it
//! visible; that is what `data_first` notes.

use super::{Writer, table::Block};
use crate::Result;

/// Pages of a new block that are rather logged than flushed.
const FEW_PAGES: usize = 32;
/// Bytes that are copied at once.
const COPIED: u64 = 1 << 20;

/// How visible bytes are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// In place: each sector becomes new at some time before the next flush.
    InPlace,
    /// Through the log, with everything else that is staged.
    Logged,
    /// In a copy of the block, which replaces the block through the log.
    Switched,
}

/// A part of one block: its number, the first byte in it.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) number: u64,
    pub(super) within: u64,
}

impl Writer {
    /// Writes bytes of the disk, block by block.
    pub(super) fn write_disk(&mut self, mut offset: u64, mut bytes: &[u8], how: How) -> Result<()> {
        let size = self.geometry.block_size;
        while !bytes.is_empty() {
            let at = At { number: offset / size, within: offset % size };
            let len = usize::try_from(size - at.within).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            let (here, rest) = bytes.split_at(len);
            self.prepare_block(at.number, how)?;
            self.write_block(at, here, how)?;
            (offset, bytes) = (offset + len as u64, rest);
        }
        Ok(())
    }

    /// Before a block is changed: room for what that stages.
    fn prepare_block(&mut self, number: u64, how: How) -> Result<()> {
        if self.at_end {
            self.reserve_entries(number)?;
            return self.limit_bitmap_pages();
        }
        if how == How::InPlace { self.make_room() } else { Ok(()) }
    }

    fn write_block(&mut self, at: At, bytes: &[u8], how: How) -> Result<()> {
        let block = self.block(at.number)?;
        match block {
            Block::Zero if is_zero(bytes) => return Ok(()),
            Block::Parent if self.is_whole(at, bytes.len()) && is_zero(bytes) => {
                self.start()?;
                return self.set_block(at.number, Block::Zero);
            }
            Block::Zero | Block::Parent => {
                self.start()?;
                return self.write_fresh(at, bytes, block == Block::Parent, how);
            }
            Block::Full(_) | Block::Partial(_) => self.start()?,
        }
        if self.at_end && self.is_whole(at, bytes.len()) {
            let place = self.replaced(at.number, block)?;
            self.file.write_all_at(place, bytes)?;
            return self.set_block(at.number, Block::Full(place));
        }
        let block = if how == How::Switched { self.switched(at.number, block)? } else { block };
        let (place, is_partial) = match block {
            Block::Full(place) => (place, false),
            Block::Partial(place) => (place, true),
            Block::Zero | Block::Parent => unreachable!("it was there"),
        };
        match how {
            How::InPlace => self.write_in_place(place + at.within, bytes)?,
            How::Logged => self.write_logged(place + at.within, bytes)?,
            How::Switched => {
                self.file.write_all_at(place + at.within, bytes)?;
                self.data_first = true;
            }
        }
        if is_partial { self.present(at, bytes.len(), place, how) } else { Ok(()) }
    }

    /// Sectors of a partially present block are in this file now.
    fn present(&mut self, at: At, len: usize, place: u64, how: How) -> Result<()> {
        let sector = u64::from(self.geometry.logical_sector_size);
        let (first, end) = (at.within / sector, (at.within + len as u64) / sector);
        if self.is_whole(at, len) {
            self.set_block(at.number, Block::Full(place))?;
        } else {
            let (present, sectors) = self.presence(at.number, first, end)?;
            if present && sectors == end - first {
                return Ok(());
            }
            self.set_bits(at.number, first..end, true)?;
        }
        self.data_first |= how == How::InPlace;
        Ok(())
    }

    /// True when the bytes are all that the disk has of the block.
    fn is_whole(&self, at: At, len: usize) -> bool {
        let size = self.geometry.block_size;
        let has = size.min(self.geometry.virtual_size - at.number * size);
        at.within == 0 && len as u64 == has
    }

    /// Writes to a block that is nowhere yet.
    fn write_fresh(&mut self, at: At, bytes: &[u8], over_parent: bool, how: How) -> Result<()> {
        let size = self.geometry.block_size;
        let whole = self.is_whole(at, bytes.len());
        let partial = over_parent && !whole;
        let place = match whole || partial {
            true => self.allocate(size)?.0,
            false => self.allocate_zeros(size)?,
        };
        self.unpublished.insert(at.number);
        let pages = bytes.len().div_ceil(4096);
        if how == How::Logged && !self.data_first && pages < FEW_PAGES {
            self.write_logged(place + at.within, bytes)?;
        } else {
            self.file.write_all_at(place + at.within, bytes)?;
            self.data_first = true;
        }
        if !partial {
            return self.set_block(at.number, Block::Full(place));
        }
        let sector = u64::from(self.geometry.logical_sector_size);
        let (first, end) = (at.within / sector, (at.within + bytes.len() as u64) / sector);
        // Bits of a block that was never here may be anything.
        self.set_bits(at.number, 0..self.sectors_per_block(), false)?;
        self.set_bits(at.number, first..end, true)?;
        self.set_block(at.number, Block::Partial(place))
    }

    /// The block in a fresh place, with everything that it has here; as it is if no power cut can show its place.
    fn switched(&mut self, number: u64, block: Block) -> Result<Block> {
        if self.unpublished.contains(&number) {
            return Ok(block);
        }
        let size = self.geometry.block_size;
        let (Block::Full(old) | Block::Partial(old)) = block else { return Ok(block) };
        let new = match block {
            Block::Full(_) => self.allocate_zeros(size)?,
            _ => self.allocate(size)?.0,
        };
        let has = size.min(self.geometry.virtual_size - number * size);
        let sector = u64::from(self.geometry.logical_sector_size);
        let (mut within, mut buf) = (0, Vec::new());
        while within < has {
            let mut len = COPIED.min(has - within);
            let mut is_here = true;
            if matches!(block, Block::Partial(_)) {
                let (present, sectors) =
                    self.presence(number, within / sector, (within + len).div_ceil(sector))?;
                (is_here, len) = (present, len.min(sectors * sector));
            }
            if is_here {
                buf.resize(usize::try_from(len).expect("at most COPIED"), 0);
                self.read_file(old + within, &mut buf)?;
                // Between a disk's data there are zeros, which the place has already.
                if matches!(block, Block::Partial(_)) || !is_zero(&buf) {
                    self.file.write_all_at(new + within, &buf)?;
                }
            }
            within += len;
        }
        self.data_first = true;
        self.space.give_up(old..old + size);
        self.unpublished.insert(number);
        let block = if matches!(block, Block::Full(_)) { Block::Full(new) } else { Block::Partial(new) };
        self.set_block(number, block)?;
        Ok(block)
    }

    /// Makes a range of the disk read as zeros.
    pub(super) fn discard_disk(&mut self, mut offset: u64, len: u64, how: How) -> Result<()> {
        let (size, end) = (self.geometry.block_size, offset + len);
        while offset < end {
            let at = At { number: offset / size, within: offset % size };
            if at.within == 0 {
                let untouched = self.untouched(offset, end)?;
                if untouched > 0 {
                    offset += untouched;
                    continue;
                }
            }
            let len = (size - at.within).min(end - offset);
            self.prepare_block(at.number, how)?;
            self.discard_block(at, len, how)?;
            offset += len;
        }
        Ok(())
    }

    fn discard_block(&mut self, at: At, len: u64, how: How) -> Result<()> {
        let size = self.geometry.block_size;
        let has = size.min(self.geometry.virtual_size - at.number * size);
        let block = self.block(at.number)?;
        match block {
            Block::Zero => return Ok(()),
            Block::Parent if self.is_zero_below(at.number * size + at.within, len)? => return Ok(()),
            _ if len < has || self.is_fixed => return self.write_zeros(at, len, how),
            Block::Parent => self.start()?,
            Block::Full(place) | Block::Partial(place) => {
                self.start()?;
                self.give_up(at.number, place)?;
            }
        }
        // Never as the parent's: its data would come back.
        self.set_block(at.number, Block::Zero)?;
        self.unpublished.remove(&at.number);
        Ok(())
    }

    /// Writes zeros to a part of a block, where it has others.
    fn write_zeros(&mut self, at: At, len: u64, how: How) -> Result<()> {
        let start = at.number * self.geometry.block_size + at.within;
        let mut buf = Vec::new();
        let mut done = 0;
        while done < len {
            let now = COPIED.min(len - done);
            buf.resize(usize::try_from(now).expect("at most COPIED"), 0);
            self.read_disk(start + done, &mut buf)?;
            if !is_zero(&buf) {
                buf.fill(0);
                self.prepare_block(at.number, how)?;
                self.write_block(At { within: at.within + done, ..at }, &buf, how)?;
            }
            done += now;
        }
        Ok(())
    }
}

/// True when all bytes are zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
