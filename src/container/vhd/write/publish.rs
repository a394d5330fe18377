//! The order of a flush: what nothing leads to yet, flush, what leads to it, flush.

use super::{ENTRIES, SECTOR, VhdWriter, bitmaps::Bitmaps};
use crate::Result;

impl VhdWriter {
    /// A sector of the table as it is now, and its place.
    pub(super) fn table_sector(&self, sector: u64) -> Result<(u64, [u8; 512])> {
        let at = self.table_at + sector * SECTOR;
        let mut bytes = [0; 512];
        // Entries beyond the disk's end stay as they are.
        self.file.read_exact_at(at, &mut bytes)?;
        let first = usize::try_from(sector * ENTRIES).expect("below the number of entries");
        for (raw, entry) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&self.table[first..]) {
            *raw = entry.to_be_bytes();
        }
        Ok((at, bytes))
    }

    /// Writes the changed bitmaps of new blocks, and returns those of blocks that the table on the disk names.
    pub(super) fn write_fresh_bitmaps(&mut self) -> Result<Vec<(u64, [u8; 512])>> {
        let changed = self.bitmaps.as_mut().map(Bitmaps::take_changed).unwrap_or_default();
        let mut later = Vec::new();
        for (at, bits) in changed {
            let slot = self.fresh.range(..=at).next_back();
            if slot.is_some_and(|slot| at < slot + self.space.bitmap) {
                self.file.write_all_at(at, &bits)?;
            } else {
                later.push((at, bits));
            }
        }
        Ok(later)
    }

    /// Makes everything so far visible and durable, in the order that the module states.
    pub(super) fn publish(&mut self) -> Result<()> {
        let bitmaps = self.write_fresh_bitmaps()?;
        self.file.flush()?;
        if !bitmaps.is_empty() || !self.changed.is_empty() {
            for (at, bits) in bitmaps {
                self.file.write_all_at(at, &bits)?;
            }
            for sector in std::mem::take(&mut self.changed) {
                let (at, bytes) = self.table_sector(sector)?;
                self.file.write_all_at(at, &bytes)?;
            }
            self.file.flush()?;
        }
        self.fresh.clear();
        self.space.published(&*self.file)
    }
}
