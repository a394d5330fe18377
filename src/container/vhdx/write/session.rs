//! A session of writing: from the first change, which renews the identities and begins a log, over log entries and flushes to the end, when
//! the log is empty and the file is no longer than it has to be.
//!
//! The order of everything: data, flush, the log entry that makes it visible, flush, its pages in their places, flush, and only then is the
//! entry forgotten.

use super::{
    Writer,
    headers::Change,
    open::clear,
    pages::{PAGE, Page},
};
use crate::{Error, Result, container::vhdx::format::MIB, guid::Guid};

/// Pages that a change to one block may stage: of the table, of the bitmap, and of the block's own some that are held.
pub(super) const BLOCK_PAGES: usize = 24;
/// The file grows by an eighth of its length, within these bounds.
const GROWTH: std::ops::RangeInclusive<u64> = 64 * MIB..=1024 * MIB;

impl Writer {
    /// Before the first change: new identities, and a log whose first entry is durable before a header names it.
    pub(super) fn start(&mut self) -> Result<()> {
        self.changed = true;
        if self.started {
            return Ok(());
        }
        // A file may end behind the last byte of the disk, inside its last block.
        if self.space.end() > self.file.size() {
            self.file.set_len(self.space.end())?;
        }
        if self.at_end {
            let change = Change { file_write_guid: Some(Guid::random()), ..Change::default() };
            self.headers.update(&*self.file, change)?;
            self.started = true;
            return Ok(());
        }
        self.append()?;
        self.sync()?;
        let change = Change {
            file_write_guid: Some(Guid::random()),
            data_write_guid: Some(Guid::random()),
            log_guid: Some(self.log.guid),
        };
        self.headers.update(&*self.file, change)?;
        self.started = true;
        Ok(())
    }

    /// Takes `len` bytes of the file for a block. The second value is true where nothing was ever written, so that it reads as zeros.
    pub(super) fn allocate(&mut self, len: u64) -> Result<(u64, bool)> {
        let at = self.space.allocate(len)?;
        let end = at + len;
        if end > self.file.size() {
            let step = (end / 8).clamp(*GROWTH.start(), *GROWTH.end());
            self.file.set_len((end + step) / MIB * MIB)?;
        }
        let is_unwritten = at >= self.unwritten;
        self.unwritten = self.unwritten.max(end);
        Ok((at, is_unwritten))
    }

    /// As [`Self::allocate`], but what it reads as is zeros in any case.
    pub(super) fn allocate_zeros(&mut self, len: u64) -> Result<u64> {
        let (at, is_unwritten) = self.allocate(len)?;
        if !is_unwritten {
            clear(&*self.file, at, at + len)?;
            self.data_first = true;
        }
        Ok(at)
    }

    /// Writes what is staged as one log entry, with the data that it makes visible before it. Durable after the next [`Self::sync`].
    pub(super) fn append(&mut self) -> Result<()> {
        let pages = self.pages.staged.len();
        if pages > self.log.capacity() {
            let (most, limit) = (self.log.capacity(), "the log takes");
            return Err(Error::unsupported(format!("{pages} pages in one step; {limit} {most}")));
        }
        if !self.log.has_room(pages) {
            self.empty_log()?;
        }
        if self.data_first {
            self.sync()?;
        }
        let number = self.log.append(&*self.file, &self.pages.staged, self.flushed_len)?;
        self.pages.logged(number);
        self.space.logged(number);
        self.unpublished.clear();
        Ok(())
    }

    /// Flushes the file, and forgets the log entries that no replay needs any more.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.flush()?;
        self.flushed_len = self.file.size();
        self.data_first = false;
        let first = self.log.flushed();
        self.pages.forgotten(first);
        let free = self.space.forgotten(first);
        self.give_back(&free)
    }

    /// Gives places inside the file that no block has any more back to the host.
    fn give_back(&self, free: &[std::ops::Range<u64>]) -> Result<()> {
        let len = self.file.size();
        let inside = free.iter().filter(|place| place.end <= len);
        inside.cloned().try_for_each(|place| self.file.release(place))
    }

    /// Everything so far survives when this returns.
    pub(super) fn flush_all(&mut self) -> Result<()> {
        if self.at_end {
            return Ok(());
        }
        if !self.pages.staged.is_empty() {
            self.append()?;
        }
        if self.changed || self.log.has_unflushed() {
            self.sync()?;
            self.place()?;
            self.changed = false;
            if self.log.is_half_full() {
                // With everything in place the tail moves with the next entry.
                self.sync()?;
            }
        }
        Ok(())
    }

    /// Makes all of the log but one entry free, and no page held but those that are staged.
    fn empty_log(&mut self) -> Result<()> {
        self.sync()?;
        self.place()?;
        self.sync()?;
        let nothing = std::collections::BTreeMap::new();
        self.log.append(&*self.file, &nothing, self.flushed_len)?;
        self.sync()
    }

    /// Lets go of every held page: what follows may write in place.
    pub(super) fn release_pages(&mut self) -> Result<()> {
        self.flush_all()?;
        self.changed = true;
        self.empty_log()
    }

    /// Everything that the log has goes to its place; the log is durable.
    pub(super) fn place(&mut self) -> Result<()> {
        self.pages.place(&*self.file)?;
        self.log.placed();
        Ok(())
    }

    /// Makes room for what one block may stage, so that it never has to be divided.
    pub(super) fn make_room(&mut self) -> Result<()> {
        if self.pages.staged.len() + BLOCK_PAGES > self.log.capacity() {
            self.append()?;
        }
        Ok(())
    }

    /// The end: the log is empty, then the rest of the file is given back.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.flush_all()?;
        if !self.started {
            return Ok(());
        }
        if self.at_end {
            self.publish_session()?;
        }
        self.sync()?;
        self.headers.update(&*self.file, Change { log_guid: Some(Guid::ZERO), ..Change::default() })?;
        self.started = false;
        let mut free = self.space.forgotten(u64::MAX);
        free.retain(|place| place.start < self.space.end());
        self.give_back(&free)?;
        if self.space.end() < self.file.size() {
            self.file.set_len(self.space.end())?;
            self.file.flush()?;
        }
        Ok(())
    }

    /// Writes to the file at `at`: in place, but for pages that are held.
    pub(super) fn write_in_place(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let held = self.pages.held(at..at + bytes.len() as u64);
        if held > 4 {
            self.release_pages()?;
        } else if held > 0 {
            return pieces(at, bytes, |at, piece| match self.pages.is_held(at / PAGE * PAGE) {
                true => self.write_page(at, piece),
                false => self.file.write_all_at(at, piece),
            });
        }
        self.file.write_all_at(at, bytes)
    }

    /// Changes the file at `at` through the log.
    pub(super) fn write_logged(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        pieces(at, bytes, |at, piece| self.write_page(at, piece))
    }

    /// `piece` lies inside one page.
    fn write_page(&mut self, at: u64, piece: &[u8]) -> Result<()> {
        let page = at / PAGE * PAGE;
        match <&Page>::try_from(piece) {
            Ok(whole) => self.pages.replace(page, whole),
            Err(_) => {
                let from = usize::try_from(at - page).expect("inside a page");
                self.pages.stage(&*self.file, page)?[from..from + piece.len()].copy_from_slice(piece);
            }
        }
        Ok(())
    }
}

/// Divides bytes at the ends of pages.
fn pieces(mut at: u64, mut bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    while !bytes.is_empty() {
        let len = usize::try_from(PAGE - at % PAGE).expect("at most a page").min(bytes.len());
        let (piece, rest) = bytes.split_at(len);
        each(at, piece)?;
        (at, bytes) = (at + len as u64, rest);
    }
    Ok(())
}
