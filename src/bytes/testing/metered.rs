//! A source with a budget: code that reads more than its input justifies fails, instead of going on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// Counts reads, and fails all of them once the budget is spent, so that a loop ends.
pub struct Metered {
    inner: Arc<dyn ByteSource>,
    reads: AtomicU64,
    bytes: AtomicU64,
    max_reads: u64,
    max_bytes: u64,
}

impl Metered {
    /// Allows so many reads and extent queries, and bytes.
    pub fn new(inner: Arc<dyn ByteSource>, max_reads: u64, max_bytes: u64) -> Self {
        Self { inner, reads: AtomicU64::new(0), bytes: AtomicU64::new(0), max_reads, max_bytes }
    }

    /// Reads and extent queries so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// True once the budget is spent.
    pub fn exhausted(&self) -> bool {
        self.reads() > self.max_reads || self.bytes() > self.max_bytes
    }

    fn count(&self, bytes: usize) -> Result<()> {
        self.reads.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let spent = || std::io::Error::other("more work than the image can justify");
        if self.exhausted() { Err(Error::io("metered image", spent())) } else { Ok(()) }
    }
}

impl Wrapper for Metered {
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
        self.count(buf.len())?;
        self.inner.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.count(0)?;
        self.inner.extent_at(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    #[test]
    fn a_spent_budget_ends_every_loop() {
        let metered = Metered::new(Arc::new(MemorySource(vec![0; 16])), 10, 1000);
        let reads = (0..).take_while(|_| metered.read_exact_at(0, &mut [0; 4]).is_ok()).count();
        assert_eq!(reads, 10);
        assert!(metered.exhausted());
    }
}
