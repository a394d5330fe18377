//! A source whose reads fail now and then, whatever they read: a loose cable, a share that is gone for a moment.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// Forwards reads, and fails about one in `cases` of them, the same ones for the same seed.
pub struct Flaky {
    inner: Arc<dyn ByteSource>,
    cases: u64,
    seed: u64,
    reads: AtomicU64,
}

impl Flaky {
    /// Fails about one read in `cases`.
    pub fn new(inner: Arc<dyn ByteSource>, cases: u64, seed: u64) -> Self {
        Self { inner, cases: cases.max(1), seed, reads: AtomicU64::new(0) }
    }
}

impl Wrapper for Flaky {
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
        let number = self.reads.fetch_add(1, Relaxed) ^ self.seed;
        if (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(self.cases) {
            let source = std::io::Error::other("read failed (injected)");
            return Err(Error::io(format!("{} bytes at {offset:#x}", buf.len()), source));
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}
