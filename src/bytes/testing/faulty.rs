//! A source that fails at chosen ranges: for tests of code that reads sources.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// Forwards reads, except those that touch one of the bad ranges: they fail like a bad sector.
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

impl Wrapper for Faulty {
    fn below(&self) -> &dyn ByteSource {
        &*self.inner
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
            let source = std::io::Error::other("bad sector (injected)");
            return Err(Error::io(format!("{} bytes at {offset:#x}", buf.len()), source));
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}
