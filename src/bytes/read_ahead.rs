//! Read-ahead for a sequential reader: hints the next bytes to the host before they are read. The kernel reads ahead of the
//! mounted file in requests of at most 128 KiB unless root raises that, and each of them would wait for the image.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    ByteSource, Extent, Wrapper,
    sequence::{self, LARGE_READ},
};
use crate::Result;

/// Length of the read-ahead in bytes: some milliseconds of work for a fast disk.
const LEAD: u64 = 4 << 20;

/// A source that hints the bytes behind its sequential readers.
pub struct ReadAhead {
    inner: Arc<dyn ByteSource>,
    /// End of the furthest read of the sequence.
    next: AtomicU64,
    /// End of the range that is hinted so far.
    asked: AtomicU64,
}

impl ReadAhead {
    /// Wraps `inner`; a source too small for read-ahead is returned as it is.
    pub fn over(inner: Arc<dyn ByteSource>) -> Arc<dyn ByteSource> {
        if inner.size() < 2 * LARGE_READ {
            return inner;
        }
        Arc::new(Self { inner, next: AtomicU64::new(0), asked: AtomicU64::new(0) })
    }

    /// Records a read and hints the bytes that follow it. A race of parallel readers costs a hint too many or too few.
    fn note(&self, offset: u64, len: u64) {
        let (end, next) = (offset.saturating_add(len), self.next.load(Ordering::Relaxed));
        // A read at offset 0 starts no sequence: many readers read only a file's first bytes.
        let goes_on = offset > 0 && sequence::continues(next, offset, len);
        if !goes_on {
            self.next.store(end, Ordering::Relaxed);
            self.asked.store(end, Ordering::Relaxed);
            return;
        }
        let end = end.max(next);
        self.next.store(end, Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed).max(end);
        let goal = end.saturating_add(LEAD).min(self.inner.size());
        // In few large hints.
        if asked < goal && asked - end <= LEAD / 2 {
            self.asked.store(goal, Ordering::Relaxed);
            self.inner.will_need(asked, goal - asked);
        }
    }
}

impl Wrapper for ReadAhead {
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
        self.note(offset, buf.len() as u64);
        self.inner.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Asked(Mutex<Vec<(u64, u64)>>);

    impl ByteSource for Asked {
        fn size(&self) -> u64 {
            20 << 20
        }

        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Ok(())
        }

        fn will_need(&self, offset: u64, len: u64) {
            self.0.lock().unwrap().push((offset, len));
        }
    }

    /// The hints that these reads cause.
    fn asked(reads: impl IntoIterator<Item = (u64, usize)>) -> Vec<(u64, u64)> {
        let inner = Arc::new(Asked::default());
        let source = ReadAhead::over(inner.clone());
        for (offset, len) in reads {
            source.read_exact_at(offset, &mut vec![0; len]).unwrap();
        }
        inner.0.lock().unwrap().clone()
    }

    #[test]
    fn what_comes_next_is_asked_for_once() {
        const REQUEST: u64 = 128 << 10;
        let reads = (0..(20 << 20) / REQUEST).map(|at| (at * REQUEST, 128 << 10));
        let asked = asked(reads);
        let mut next = 2 * REQUEST;
        for (offset, len) in &asked {
            assert_eq!(*offset, next);
            next += len;
        }
        assert!(next == 20 << 20 && asked.len() < 12, "{asked:?}");
    }

    #[test]
    fn random_readers_and_those_of_the_beginning_ask_for_nothing() {
        assert_eq!(asked([(0, 1 << 20)]), []);
        assert_eq!(asked((0..100).map(|at| (at * 7_654_321 % (19 << 20), 4096))), []);
    }

    #[test]
    fn requests_in_any_order_are_a_sequence() {
        let reads = [(1 << 20, 1 << 20), (0, 1 << 20), (3 << 20, 1 << 20), (2 << 20, 1 << 20)];
        let asked = asked(reads);
        assert_eq!(asked.first().map(|(offset, _)| *offset), Some(2 << 20), "{asked:?}");
    }
}
