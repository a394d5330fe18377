//! Sources around one other source. The one implementation of [`ByteSource`] here forwards everything but reads (hints,
//! memory, missing ranges) to the source below, so that no wrapping source can omit any of it.

use super::{ByteSource, Extent, InFile};
use crate::Result;

/// A source whose bytes come from one other source, as they are or decoded. Implementing it implements [`ByteSource`].
pub trait Wrapper: Send + Sync {
    /// The source below.
    fn below(&self) -> &dyn ByteSource;

    /// Position of the first byte in the source below, if the bytes follow there one for one; `None` for one that decodes.
    fn start_below(&self) -> Option<u64>;

    /// Implements [`ByteSource::size`].
    fn length(&self) -> u64;

    /// Implements [`ByteSource::read_exact_at`].
    ///
    /// # Errors
    /// As [`ByteSource::read_exact_at`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Implements [`ByteSource::extent_at`].
    ///
    /// # Errors
    /// As [`ByteSource::extent_at`].
    fn extent(&self, offset: u64) -> Result<Extent>;

    /// Implements [`ByteSource::in_file`].
    fn stored_at(&self, _offset: u64) -> Option<InFile<'_>> {
        None
    }

    /// Memory that this source takes besides the one below.
    fn own_memory(&self) -> usize {
        0
    }
}

impl<W: Wrapper> ByteSource for W {
    fn size(&self) -> u64 {
        self.length()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.extent(offset)
    }

    fn missing_from(&self) -> Option<u64> {
        let missing = self.below().missing_from()?.saturating_sub(self.start_below()?);
        Some(missing).filter(|missing| *missing < self.length())
    }

    fn will_need(&self, offset: u64, len: u64) {
        let Some(start) = self.start_below().and_then(|start| start.checked_add(offset)) else { return };
        let len =
            len.min(self.length().saturating_sub(offset)).min(self.below().size().saturating_sub(start));
        if len > 0 {
            self.below().will_need(start, len);
        }
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        self.stored_at(offset)
    }

    fn memory(&self) -> usize {
        self.below().memory().saturating_add(self.own_memory())
    }

    fn position(&self) -> Option<u64> {
        self.below().position()?.checked_add(self.start_below().unwrap_or(0))
    }
}

/// Tests that every wrapping source runs.
#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A source with memory, a position and a missing end, which records the hints that it gets.
    pub(crate) struct Below {
        bytes: Vec<u8>,
        hints: Mutex<Vec<(u64, u64)>>,
    }

    impl Below {
        const MEMORY: usize = 1234;
        const POSITION: u64 = 1 << 40;

        pub(crate) fn new(bytes: Vec<u8>) -> Arc<Self> {
            Arc::new(Self { bytes, hints: Mutex::default() })
        }
    }

    impl ByteSource for Below {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            crate::bytes::check_range(self.size(), offset, buf.len())?;
            let start = usize::try_from(offset).expect("inside a buffer");
            buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
            Ok(())
        }

        fn missing_from(&self) -> Option<u64> {
            Some(self.size() - 1)
        }

        fn will_need(&self, offset: u64, len: u64) {
            self.hints.lock().unwrap().push((offset, len));
        }

        fn memory(&self) -> usize {
            Self::MEMORY
        }

        fn position(&self) -> Option<u64> {
            Some(Self::POSITION)
        }
    }

    /// Checks that `source`, which wraps `below` from byte `start` on (`None`: decodes it), forwards everything.
    pub(crate) fn check_hints(below: &Below, source: &dyn ByteSource, start: Option<u64>) {
        assert!(source.memory() >= Below::MEMORY, "{} bytes of memory", source.memory());
        assert_eq!(source.position(), Some(Below::POSITION + start.unwrap_or(0)));
        below.hints.lock().unwrap().clear();
        source.will_need(1, 2);
        let hints = below.hints.lock().unwrap().clone();
        assert_eq!(hints, start.map(|start| (start + 1, 2)).into_iter().collect::<Vec<_>>());
        let missing = start.map(|start| below.size() - 1 - start).filter(|at| *at < source.size());
        assert_eq!(source.missing_from(), missing);
    }

    #[test]
    fn sources_around_another_pass_everything_on() {
        use crate::bytes::{
            DecodeAhead, Decoders, Overlay, ReadAhead, Window,
            testing::{Counted, Faulty},
        };
        let below = Below::new((0..=255).cycle().take(4 << 20).collect());
        check_hints(&below, &Window::new(below.clone(), 100, 1 << 20), Some(100));
        check_hints(&below, &Window::new(below.clone(), 100, u64::MAX), Some(100));
        check_hints(&below, &Overlay::new(below.clone(), 8 << 20), Some(0));
        check_hints(&below, &Faulty::new(below.clone(), Vec::new()), Some(0));
        check_hints(&below, &Counted::new(below.clone()), Some(0));
        check_hints(&below, &*ReadAhead::over(below.clone()), Some(0));
        let ahead = DecodeAhead::over(below.clone(), 4096, 64 << 10, &Arc::new(Decoders::new(2)));
        check_hints(&below, &*ahead, Some(0));
        let inside = Window::new(Arc::new(Window::new(below.clone(), 100, 1 << 20)), 10, 1 << 10);
        check_hints(&below, &inside, Some(110));
    }
}
