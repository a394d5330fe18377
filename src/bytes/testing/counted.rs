//! A source that counts its reads and extent queries: for tests that bound work, which a clock cannot.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// Forwards every call and counts it.
pub struct Counted {
    inner: Arc<dyn ByteSource>,
    operations: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    /// Wraps `inner` with all counts at 0.
    pub fn new(inner: Arc<dyn ByteSource>) -> Self {
        Self { inner, operations: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Returns the number of reads and extent queries since the last call, and the bytes read.
    pub fn take(&self) -> (u64, u64) {
        (self.operations.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

impl Wrapper for Counted {
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
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.inner.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.inner.extent_at(offset)
    }
}
