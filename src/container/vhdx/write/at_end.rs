//! Sessions that become visible at their end alone. Nothing that the image's table leads to is written in place: a block, or a bitmap, is
//! copied to a fresh place first. The table's changed pages stay in memory, and go into the file with one log entry, which counts from the
//! moment at which a header names its log.

use super::{
    Writer,
    headers::Change,
    table::{Block, PAGE_SECTORS},
};
use crate::{
    Error, Result,
    container::vhdx::format::{BITMAP_BLOCK, BatEntry, SB_BLOCK_PRESENT},
    guid::Guid,
};

/// Pages of bitmaps that wait in memory: 4 MiB, the bits of 16 GiB.
const MAX_BITMAP_PAGES: usize = 1024;
/// Bytes that are copied at once.
const COPIED: usize = 256 << 10;

impl Writer {
    /// Refuses a change to a block where the entry that publishes the session could not have its pages any more.
    pub(super) fn reserve_entries(&self, number: u64) -> Result<()> {
        let bitmap = self.geometry.bitmap_index(number / self.geometry.chunk_ratio());
        let bitmap = self.geometry.has_parent.then_some(bitmap);
        let entries = std::iter::once(self.geometry.payload_index(number)).chain(bitmap);
        let mut pages: Vec<u64> = entries.map(|index| self.entry_page(index)).collect();
        pages.dedup();
        pages.retain(|page| !self.pages.staged.contains_key(page));
        let has = self.pages.staged.range(self.table..self.table_end()).count();
        let most = self.log.capacity_at_end(!self.geometry.has_parent);
        if has + pages.len() <= most {
            return Ok(());
        }
        let why = match self.geometry.has_parent {
            true => "the log has no room for more",
            false => "qemu reads no more from one entry of a log",
        };
        Err(Error::invalid(format!(
            "too much of the disk was changed to be published in one step: {most} pages of the block table, and {why}. Publish now, or write with --publish=sync"
        )))
    }

    /// The end of the block table, in the file.
    fn table_end(&self) -> u64 {
        self.table + self.geometry.entries() * super::table::ENTRY
    }

    /// The bitmap of a chunk in a place that the image on the host does not lead to. `entry`: where it is now.
    pub(super) fn fresh_bitmap(&mut self, chunk: u64, entry: BatEntry) -> Result<u64> {
        let is_there = entry.state() == SB_BLOCK_PRESENT;
        if is_there && self.fresh_bitmaps.contains(&chunk) {
            return Ok(entry.file_offset());
        }
        let at = self.allocate_zeros(BITMAP_BLOCK)?;
        if is_there {
            let old = entry.file_offset();
            let mut bytes = vec![0; COPIED];
            for from in (0..BITMAP_BLOCK).step_by(COPIED) {
                self.read_file(old + from, &mut bytes)?;
                if !super::blocks::is_zero(&bytes) {
                    self.file.write_all_at(at + from, &bytes)?;
                }
            }
            self.space.give_up(old..old + BITMAP_BLOCK);
        }
        self.fresh_bitmaps.insert(chunk);
        self.set_entry(self.geometry.bitmap_index(chunk), BatEntry::new(SB_BLOCK_PRESENT, at))?;
        Ok(at)
    }

    /// A place that a block gave up: free at once where no power cut can show it.
    pub(super) fn give_up(&mut self, number: u64, place: u64) -> Result<()> {
        let place = place..place + self.geometry.block_size;
        if self.at_end && self.unpublished.contains(&number) {
            self.space.release(&place);
            return self.file.release(place);
        }
        self.space.give_up(place);
        Ok(())
    }

    /// The place for new content of a whole block, of which nothing is copied.
    pub(super) fn replaced(&mut self, number: u64, block: Block) -> Result<u64> {
        let (Block::Full(old) | Block::Partial(old)) = block else {
            unreachable!("only a block that is there is replaced");
        };
        if self.unpublished.contains(&number) {
            return Ok(old);
        }
        let new = self.allocate(self.geometry.block_size)?.0;
        self.give_up(number, old)?;
        self.unpublished.insert(number);
        Ok(new)
    }

    /// Writes pages of bitmaps to their fresh places when many of them wait.
    pub(super) fn limit_bitmap_pages(&mut self) -> Result<()> {
        let table = self.pages.staged.range(self.table..self.table_end()).count();
        if self.pages.staged.len() - table > MAX_BITMAP_PAGES { self.write_bitmap_pages() } else { Ok(()) }
    }

    fn write_bitmap_pages(&mut self) -> Result<()> {
        let table = self.table..self.table_end();
        self.pages.write_through(&*self.file, |at| !table.contains(&at))
    }

    /// Makes the session visible, all of it at once. The pages of the table are in their places when this returns.
    pub(super) fn publish_session(&mut self) -> Result<()> {
        self.write_bitmap_pages()?;
        self.sync()?;
        if self.pages.staged.is_empty() {
            return Ok(());
        }
        let number = self.log.append(&*self.file, &self.pages.staged, self.flushed_len)?;
        self.pages.logged(number);
        self.space.logged(number);
        self.unpublished.clear();
        self.fresh_bitmaps.clear();
        self.sync()?;
        let change = Change {
            data_write_guid: Some(Guid::random()),
            log_guid: Some(self.log.guid),
            ..Change::default()
        };
        self.headers.update(&*self.file, change)?;
        self.place()
    }
}

/// The bits of one page of a bitmap describe this much of a disk with sectors of 512 bytes: what [`MAX_BITMAP_PAGES`] is about.
const _: () = assert!(PAGE_SECTORS * 512 == 16 << 20);
