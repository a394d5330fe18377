//! Counts the library's consumption: memory of this thread, reads and bytes of a source.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, Extent},
};

/// The system's allocator, with counters per thread: other tests run in the same process at the same time.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn grow(by: usize) {
    let live = LIVE.get().saturating_add(by);
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn shrink(by: usize) {
    // Memory that another thread allocated may be freed here.
    LIVE.set(LIVE.get().saturating_sub(by));
}

// SAFETY: every call is passed on to the system's allocator unchanged. The counters are plain cells without
// destructors, initialised in constant time, so touching them neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise on `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise on `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: `pointer` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both allocations exist while the bytes are copied.
        grow(size);
        shrink(layout.size());
        // SAFETY: `pointer` came from `System` with this layout, as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work` on this thread; also returns its peak memory in bytes.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get().saturating_sub(before))
}

/// Counts reads, and fails all of them once the budget is spent, so that a loop ends.
pub(crate) struct Metered {
    inner: Arc<dyn ByteSource>,
    reads: AtomicU64,
    bytes: AtomicU64,
    max_reads: u64,
    max_bytes: u64,
}

impl Metered {
    pub(crate) fn new(inner: Arc<dyn ByteSource>, max_reads: u64, max_bytes: u64) -> Self {
        Self { inner, reads: AtomicU64::new(0), bytes: AtomicU64::new(0), max_reads, max_bytes }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.reads() > self.max_reads || self.bytes() > self.max_bytes
    }

    fn count(&self, bytes: usize) -> Result<()> {
        self.reads.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let spent = || std::io::Error::other("more work than the image can justify");
        if self.exhausted() { Err(Error::io("metered image", spent())) } else { Ok(()) }
    }
}

impl ByteSource for Metered {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.count(buf.len())?;
        self.inner.read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.count(0)?;
        self.inner.extent_at(offset)
    }
}

#[test]
fn memory_of_this_thread_is_counted() {
    let (len, peak) = peak_of(|| {
        let first = vec![1_u8; 3 << 20];
        drop(first);
        vec![2_u8; 2 << 20].len()
    });
    assert_eq!(len, 2 << 20);
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
}

#[test]
fn a_spent_budget_ends_every_loop() {
    let metered = Metered::new(Arc::new(vhdmount::bytes::MemorySource(vec![0; 16])), 10, 1000);
    let reads = (0..).take_while(|_| metered.read_exact_at(0, &mut [0; 4]).is_ok()).count();
    assert_eq!(reads, 10);
    assert!(metered.exhausted());
}
