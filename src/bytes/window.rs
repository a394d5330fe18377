//! A part of a source as a source of its own: a partition of a disk.

use std::sync::Arc;

use super::{ByteSource, Extent, InFile, Wrapper, check_range};
use crate::Result;

/// Bytes `start .. start + size` of another source.
#[derive(Clone)]
pub struct Window {
    inner: Arc<dyn ByteSource>,
    start: u64,
    size: u64,
}

impl Window {
    /// The part of `inner` from `start`, cut off at the end of `inner`: a window never reads past its disk.
    pub fn new(inner: Arc<dyn ByteSource>, start: u64, size: u64) -> Self {
        let size = size.min(inner.size().saturating_sub(start));
        Self { inner, start, size }
    }

    /// Byte offset of the window in the source below.
    pub fn start(&self) -> u64 {
        self.start
    }
}

impl Wrapper for Window {
    fn below(&self) -> &dyn ByteSource {
        &*self.inner
    }

    fn start_below(&self) -> Option<u64> {
        Some(self.start)
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.inner.read_exact_at(self.start + offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Ok(Extent { kind: super::ExtentKind::Hole, len: 0 });
        }
        let extent = self.inner.extent_at(self.start + offset)?;
        Ok(Extent { len: extent.len.min(self.size - offset), ..extent })
    }

    fn stored_at(&self, offset: u64) -> Option<InFile<'_>> {
        let rest = self.size.checked_sub(offset)?;
        self.inner.in_file(self.start + offset)?.at_most(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    #[test]
    fn window_is_cut_at_the_end_of_its_disk() {
        let disk = Arc::new(MemorySource((0..100).collect()));
        let window = Window::new(disk.clone(), 90, 50);
        assert_eq!(window.size(), 10);
        let mut buf = [0; 10];
        window.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf[..3], [90, 91, 92]);
        assert!(window.read_exact_at(1, &mut buf).is_err());
        assert_eq!(Window::new(disk, u64::MAX, 5).size(), 0);
    }
}
