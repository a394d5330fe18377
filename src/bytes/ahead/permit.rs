//! Permits: the count of pieces in memory. A piece holds one permit for as long as it may take memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The right to keep one piece in memory; returned on drop.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// A permit that `given` counts already.
    pub(super) fn taken(given: &Arc<AtomicUsize>) -> Self {
        Self(given.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
