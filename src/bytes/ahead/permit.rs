//! Permits: how many pieces may be in memory is counted, and a piece holds one for as long as it may take memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The right to keep one piece in memory. Dropped, it is given back.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// One of those that `given` counts already.
    pub(super) fn taken(given: &Arc<AtomicUsize>) -> Self {
        Self(given.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
