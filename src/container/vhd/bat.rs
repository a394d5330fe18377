//! The block allocation table: one 32-bit sector number per block. Its pages are loaded on demand, so opening costs no
//! read of the table; entries are validated when they are used, so a bad one damages only its own block.

use std::sync::{Arc, OnceLock};

use super::format::BAT_UNUSED;
use crate::{Error, Place, Result, bytes::ByteSource};

/// Entries per page: 16 KiB of table, 8 GiB of disk with blocks of 2 MiB.
const PAGE: usize = 4096;

/// Most entries, for 64 MiB of memory. The largest disk (2040 GiB) needs a sixteenth of that with the usual blocks of 2
/// MiB.
pub(super) const MAX_ENTRIES: u64 = 1 << 24;

pub(super) struct Bat {
    offset: u64,
    /// Entries that the disk needs and the table has.
    entries: u64,
    pages: Box<[OnceLock<Box<[u32]>>]>,
}

impl Bat {
    /// A table at byte `offset` of which `entries` are in use.
    pub(super) fn new(offset: u64, entries: u64) -> Result<Self> {
        if entries > MAX_ENTRIES {
            let text = format!("VHD with {entries} blocks: this program reads up to {MAX_ENTRIES}");
            return Err(Error::unsupported(text));
        }
        let pages = usize::try_from(entries).expect("at most MAX_ENTRIES").div_ceil(PAGE);
        Ok(Self { offset, entries, pages: (0..pages).map(|_| OnceLock::new()).collect() })
    }

    /// Entries in use.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Byte offset of the table.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The sector number of a block's bitmap in the file; `None` for a block that is not allocated.
    pub(super) fn get(&self, source: &Arc<dyn ByteSource>, block: u64) -> Result<Option<u32>> {
        let (page, index) = self.page(source, block)?;
        Ok(Some(page[index]).filter(|entry| *entry != BAT_UNUSED))
    }

    /// The number of consecutive unallocated blocks from `block` on; stops at `limit` and at the end of a page.
    pub(super) fn unused_run(&self, source: &Arc<dyn ByteSource>, block: u64, limit: usize) -> Result<u64> {
        let (page, index) = self.page(source, block)?;
        let run = page[index..].iter().take(limit).take_while(|entry| **entry == BAT_UNUSED);
        Ok(run.count() as u64)
    }

    /// The page that holds the entry of `block`, and the entry's index in it.
    fn page(&self, source: &Arc<dyn ByteSource>, block: u64) -> Result<(&[u32], usize)> {
        let missing = || {
            let problem = format!("has {} entries, none for block {block}", self.entries);
            Error::corrupt("VHD block allocation table", Place::Byte(self.offset), problem)
        };
        if block >= self.entries {
            return Err(missing());
        }
        let block = usize::try_from(block).map_err(|_| missing())?;
        let slot = &self.pages[block / PAGE];
        let page = match slot.get() {
            Some(page) => page,
            None => {
                // Two readers may both load the page; the first one's is kept.
                let loaded = self.load(source, block / PAGE)?;
                slot.get_or_init(|| loaded)
            }
        };
        Ok((page, block % PAGE))
    }

    fn load(&self, source: &Arc<dyn ByteSource>, page: usize) -> Result<Box<[u32]>> {
        let first = page * PAGE;
        let count = usize::try_from(self.entries).map_or(PAGE, |entries| (entries - first).min(PAGE));
        let at = self.offset.saturating_add(first as u64 * 4);
        // Asked again for each of its blocks, a page that is cut off must cost no read.
        if at.saturating_add(count as u64 * 4) > source.size() {
            let problem = "lies beyond the end of the file";
            return Err(Error::corrupt("VHD block allocation table", Place::Byte(at), problem));
        }
        let mut bytes = vec![0; count * 4];
        source.read_exact_at(at, &mut bytes)?;
        let entry = |raw: &[u8]| u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]);
        Ok(bytes.chunks_exact(4).map(entry).collect())
    }
}
