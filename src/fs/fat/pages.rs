//! Cached reads of small pieces of the volume: table entries and directory slots.

use std::sync::Arc;

use crate::{
    Result,
    bytes::{ByteSource, check_range, read_vec},
    cache::Cache,
};

/// Large enough that a walk over a chain of contiguous clusters takes few reads, small enough that one `stat` reads little.
const PAGE_SIZE: u64 = 16 << 10;

/// Cache budget: the table of a 2 GiB volume of 4 KiB clusters and its directories.
const CACHE_BUDGET: usize = 4 << 20;

/// The volume's metadata in pages, with a bounded cache.
pub(super) struct Pages {
    volume: Arc<dyn ByteSource>,
    cache: Cache<u64, Arc<[u8]>>,
}

impl Pages {
    pub(super) fn new(volume: Arc<dyn ByteSource>) -> Self {
        Self { volume, cache: Cache::new(CACHE_BUDGET) }
    }

    pub(super) fn volume(&self) -> &Arc<dyn ByteSource> {
        &self.volume
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { pages: self, number: u64::MAX, page: None }
    }

    fn load(&self, number: u64) -> Result<Arc<[u8]>> {
        self.cache.get_or_load(number, || {
            let offset = number * PAGE_SIZE;
            let len = PAGE_SIZE.min(self.volume.size().saturating_sub(offset));
            let len = usize::try_from(len).expect("at most PAGE_SIZE");
            let page: Arc<[u8]> = read_vec(&*self.volume, offset, len)?.into();
            Ok((page, len))
        })
    }
}

/// A reader that holds the last page, so that reads within it need no cache look-up.
pub(super) struct Reader<'a> {
    pages: &'a Pages,
    number: u64,
    /// `None` if the page is not readable as a whole.
    page: Option<Arc<[u8]>>,
}

impl Reader<'_> {
    /// Fills `buf` from byte `offset` of the volume.
    pub(super) fn read(&mut self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.pages.volume.size(), offset, buf.len())?;
        while !buf.is_empty() {
            let number = offset / PAGE_SIZE;
            let within = usize::try_from(offset % PAGE_SIZE).expect("below PAGE_SIZE");
            if number != self.number {
                self.page = self.pages.load(number).ok();
                self.number = number;
            }
            let take = buf.len().min(usize::try_from(PAGE_SIZE).expect("16 KiB") - within);
            let (now, rest) = buf.split_at_mut(take);
            match &self.page {
                Some(page) => now.copy_from_slice(&page[within..within + take]),
                // One bad sector must not make the rest of the page unreadable.
                None => self.pages.volume.read_exact_at(offset, now)?,
            }
            offset += take as u64;
            buf = rest;
        }
        Ok(())
    }
}
