//! Counts the library's memory, of this thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
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
