//! Blocks in fresh places: nothing that the table on the disk leads to is written when what changes must become visible together.

use super::{Part, VhdWriter};
use crate::{
    Error, Result,
    container::redo::{MAX_SECTORS, Sectors},
};

/// What is copied at a time.
const PIECE: u64 = 256 << 10;

impl VhdWriter {
    /// Copies a block to a fresh place.
    pub(super) fn switch(&mut self, block: usize, old: u64) -> Result<u64> {
        let whole = Part { block, within: 0, len: self.space.block };
        let present = self.stretches(Some(old), whole)?;
        let slot = self.allocate(block)?;
        self.space.freed.push(old);
        let payload = self.space.bitmap;
        for (_, stretch) in present.into_iter().filter(|(present, _)| *present) {
            let (mut within, end) = (stretch.within, stretch.within + stretch.len);
            while within < end {
                let len = (end - within).min(PIECE);
                let mut bytes = vec![0; usize::try_from(len).expect("a piece")];
                self.file.read_exact_at(old + payload + within, &mut bytes)?;
                self.file.write_all_at(slot + payload + within, &bytes)?;
                within += len;
            }
            self.mark(slot, stretch.within, stretch.len)?;
        }
        Ok(slot)
    }

    /// The slot of a block that is written now: a new one where there is none, and where the session becomes visible at its end alone, a
    /// copy of one that the table on the disk names.
    pub(super) fn slot_to_write(&mut self, part: Part) -> Result<u64> {
        match self.slot(part.block) {
            None => {
                self.reserve_entry(part.block)?;
                self.allocate(part.block)
            }
            Some(slot) if !self.at_end() || self.fresh.contains(&slot) => Ok(slot),
            Some(old) => {
                self.reserve_entry(part.block)?;
                if self.is_whole(part) {
                    let slot = self.allocate(part.block)?;
                    self.space.freed.push(old);
                    return Ok(slot);
                }
                self.switch(part.block, old)
            }
        }
    }

    /// Refuses a change of the table that the redo file would not take.
    pub(super) fn reserve_entry(&self, block: usize) -> Result<()> {
        let sector = block as u64 / super::ENTRIES;
        if self.at_end() && self.changed.len() >= MAX_SECTORS && !self.changed.contains(&sector) {
            return Err(Error::invalid(
                "too much of the disk was changed to be published in one step: publish now, or write with --publish=sync",
            ));
        }
        Ok(())
    }

    /// Makes the session visible: new blocks first, then the table's sectors through the redo file.
    pub(super) fn publish_session(&mut self) -> Result<()> {
        self.write_bitmaps_of_session()?;
        self.file.flush()?;
        let mut sectors = Sectors::default();
        for sector in std::mem::take(&mut self.changed) {
            let (at, bytes) = self.table_sector(sector)?;
            sectors.write(at, &bytes)?;
        }
        if let Some(redo) = &mut self.redo {
            redo.commit(&*self.file, &sectors)?;
            redo.retire(&*self.file)?;
        }
        self.fresh.clear();
        self.space.published(&*self.file)
    }

    /// Bitmaps of new blocks; no others were changed.
    pub(super) fn write_bitmaps_of_session(&mut self) -> Result<()> {
        let later = self.write_fresh_bitmaps()?;
        debug_assert!(later.is_empty(), "a bitmap that the table on the disk leads to");
        Ok(())
    }
}
