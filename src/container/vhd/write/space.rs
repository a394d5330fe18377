//! Where new blocks go: freed slots first, then the end of the file. The footer moves ahead of them.
//!
//! **Footer.** A larger file gets a second footer at its new end, which is flushed before a block may overwrite the first one. So
//! at every moment the file ends with a footer, and the copy at byte 0 never changes.

use std::collections::BTreeSet;

use super::super::format::{FOOTER_SIZE, SECTOR};
use crate::{Error, Result, bytes::Backing};

/// Payloads begin at multiples of this.
const ALIGNMENT: u64 = 4096;
/// The file grows by a sixteenth of its length, at most this.
const MAX_STEP: u64 = 64 << 20;

/// The places of blocks in the file.
pub(super) struct Space {
    /// The sector bitmap and the payload, in bytes.
    pub(super) bitmap: u64,
    pub(super) block: u64,
    pub(super) footer: [u8; FOOTER_SIZE],
    /// Where the footer is.
    pub(super) footer_at: u64,
    /// The end of what is in use.
    pub(super) end: u64,
    /// What lies from here to the footer reads as zeros.
    pub(super) zeros_from: u64,
    /// Slots before `end` that nothing uses.
    pub(super) free: BTreeSet<u64>,
    /// Slots that the table on the disk may still name.
    pub(super) freed: Vec<u64>,
}

impl Space {
    fn length(&self) -> u64 {
        self.bitmap + self.block
    }

    /// A slot that reads as zeros.
    pub(super) fn allocate(&mut self, file: &dyn Backing) -> Result<u64> {
        if let Some(slot) = self.free.pop_first() {
            file.punch_hole(slot..slot + self.length())?;
            return Ok(slot);
        }
        let slot = (self.end + self.bitmap).next_multiple_of(ALIGNMENT) - self.bitmap;
        let end = slot + self.length();
        if end / SECTOR >= u64::from(u32::MAX) {
            return Err(Error::io(
                "the file would be longer than 2 TiB, beyond which a VHD cannot point",
                std::io::ErrorKind::FileTooLarge.into(),
            ));
        }
        if end > self.footer_at {
            self.grow(file, end)?;
        }
        let used_before = slot..end.min(self.zeros_from);
        if !used_before.is_empty() {
            file.punch_hole(used_before)?;
        }
        self.end = end;
        Ok(slot)
    }

    fn grow(&mut self, file: &dyn Backing, least: u64) -> Result<()> {
        let step = (file.size() / 16).min(MAX_STEP) / self.length() * self.length();
        let before = file.size();
        let at = (least + step).next_multiple_of(SECTOR);
        file.write_all_at(at, &self.footer)?;
        if let Err(error) = file.reserve(before..at) {
            // The old footer is still there.
            file.set_len(before)?;
            return Err(error);
        }
        file.flush()?;
        self.zeros_from = self.zeros_from.max(before);
        self.footer_at = at;
        Ok(())
    }

    /// Nothing on the disk names these slots any more. Their space goes back to the host.
    pub(super) fn published(&mut self, file: &dyn Backing) -> Result<()> {
        for slot in std::mem::take(&mut self.freed) {
            file.punch_hole(slot..slot + self.length())?;
            self.free.insert(slot);
        }
        Ok(())
    }

    /// Moves the footer to the end of what is in use, and cuts off the rest. `least`: the end of the format's own structures.
    pub(super) fn shrink(&mut self, file: &dyn Backing, least: u64, used: &BTreeSet<u64>) -> Result<()> {
        let end =
            used.last().map_or(least, |slot| (slot + self.length()).max(least)).next_multiple_of(SECTOR);
        if end < self.footer_at {
            file.write_all_at(end, &self.footer)?;
            file.flush()?;
            file.set_len(end + FOOTER_SIZE as u64)?;
            file.flush()?;
            self.footer_at = end;
            self.zeros_from = self.zeros_from.min(end + FOOTER_SIZE as u64);
        }
        self.end = end;
        self.free.retain(|slot| *slot < end);
        Ok(())
    }
}
