//! Stretches of the disk that nothing was ever written to: a discard passes over them, so that it costs what is stored and not what the
//! disk could hold.

use super::{Writer, pages::PAGE, table::ENTRY};
use crate::{Result, bytes::ExtentKind};

impl Writer {
    /// Bytes from `offset` on, the beginning of a block, to at most `end`, in whole blocks that have no entry in the table and read as
    /// zeros. 0 where the first block has one, and where its page of the table has another one.
    pub(super) fn untouched(&self, offset: u64, end: u64) -> Result<u64> {
        let size = self.geometry.block_size;
        let blocks = self.blocks_without_entry(offset / size)?;
        let mut stop = offset.saturating_add(blocks.saturating_mul(size)).min(end);
        if let Some(parent) = &self.parent {
            let has = stop.min(parent.size());
            let mut at = offset;
            while at < has {
                let extent = parent.extent_at(at)?;
                if extent.kind == ExtentKind::Data {
                    stop = at;
                    break;
                }
                at = at.saturating_add(extent.len.max(1));
            }
        }
        if stop < self.geometry.virtual_size {
            stop = stop / size * size;
        }
        Ok(stop.saturating_sub(offset))
    }

    /// Blocks from this one on whose entries are zeros, as far as that is seen from one page and the holes of the file behind it.
    fn blocks_without_entry(&self, number: u64) -> Result<u64> {
        let (page, within) = self.entry_place(self.geometry.payload_index(number));
        let are_zeros =
            self.pages.with(&*self.file, page, |page| page[within..].iter().all(|byte| *byte == 0))?;
        if !are_zeros {
            return Ok(0);
        }
        let table_end = self.table + self.geometry.entries() * ENTRY;
        let mut end = page + PAGE;
        if end < table_end && !self.pages.is_held(end) {
            let extent = self.file.extent_at(end)?;
            if extent.kind == ExtentKind::Hole {
                let hole_end = end + extent.len / PAGE * PAGE;
                end = self.pages.first_held(end).map_or(hole_end, |held| held.min(hole_end));
            }
        }
        let entries = (end.min(table_end) - self.table) / ENTRY;
        // Without those of bitmaps.
        let blocks = entries - entries / (self.geometry.chunk_ratio() + 1);
        Ok(blocks.saturating_sub(number))
    }

    /// True when the parent has zeros in this range of the disk, and knows it without reading.
    pub(super) fn is_zero_below(&self, offset: u64, len: u64) -> Result<bool> {
        let Some(parent) = &self.parent else { return Ok(true) };
        let (mut at, end) = (offset, (offset + len).min(parent.size()));
        while at < end {
            let extent = parent.extent_at(at)?;
            if extent.kind == ExtentKind::Data {
                return Ok(false);
            }
            at = at.saturating_add(extent.len.max(1));
        }
        Ok(true)
    }
}
