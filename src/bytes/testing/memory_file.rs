//! A file in memory that is read and written, for tests of writers. It may be terabytes long.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard},
};

use super::Sparse;
use crate::{
    Result,
    bytes::{Backing, ByteSink, ByteSource, Extent},
};

/// A [`Backing`] that stores only the pages that were written.
#[derive(Default)]
pub struct MemoryFile(Mutex<Sparse>);

impl MemoryFile {
    /// A file with this content.
    pub fn new(content: Sparse) -> Self {
        Self(Mutex::new(content))
    }

    /// What it holds now; it shares its pages with the file until one of them changes.
    pub fn content(&self) -> Sparse {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Sparse> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

impl ByteSource for MemoryFile {
    fn size(&self) -> u64 {
        self.lock().size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.lock().read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.lock().extent_at(offset)
    }
}

impl ByteSink for MemoryFile {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.lock().write(offset, bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.lock().truncate(len);
        Ok(())
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        let mut content = self.lock();
        let len = content.size().max(range.end);
        content.truncate(len);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl Backing for MemoryFile {
    fn release(&self, range: Range<u64>) -> Result<()> {
        self.punch_hole(range)
    }
}
