//! A source that fails where it is told to: for tests of whatever reads sources.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent},
};

/// Passes reads on, except those that touch one of the bad ranges, which fail like a bad sector.
pub struct Faulty {
    inner: Arc<dyn ByteSource>,
    bad: Vec<Range<u64>>,
}

impl Faulty {
    /// `inner` with unreadable byte ranges.
    pub fn new(inner: Arc<dyn ByteSource>, bad: Vec<Range<u64>>) -> Self {
        Self { inner, bad }
    }
}

impl ByteSource for Faulty {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
            let source = std::io::Error::other("bad sector (injected)");
            return Err(Error::io(format!("{} bytes at {offset:#x}", buf.len()), source));
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}
