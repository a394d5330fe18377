//! Reusable buffers of one size: a cache loads into the buffers that it evicts. Allocated and freed by many threads, such
//! buffers would scatter over the allocator's arenas, and the process would hold several times what the cache counts.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// Idle buffers that are kept: about as many as there are concurrent readers.
const MAX_IDLE: usize = 16;

/// A pool of buffers.
pub struct BufferPool {
    size: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

/// A byte buffer; on drop its memory returns to the pool that it came from, if any.
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    pool: Option<Arc<BufferPool>>,
}

impl BufferPool {
    /// A pool of buffers of `size` bytes; longer ones are allocated each time.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, idle: Mutex::default() })
    }

    /// A buffer of `len` bytes with undefined content (that of its last use). The caller bounds `len`.
    pub fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if len > self.size {
            return Buffer::from(vec![0; len]);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = idle.unwrap_or_else(|| vec![0; self.size]);
        Buffer { bytes, len, pool: Some(self.clone()) }
    }
}

impl Buffer {
    /// Memory of the buffer, for cache budgets: the pool's buffer size, however little of it is used.
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes, pool: None }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(pool) = &self.pool else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let pool = BufferPool::new(8);
        let mut first = pool.take(8);
        assert_eq!(*first, [0; 8]);
        first[7] = 77;
        let place = first.as_ptr();
        drop(first);
        let second = pool.take(3);
        assert_eq!((second.len(), second.memory(), second.as_ptr()), (3, 8, place));
        drop(second);
        assert_eq!(pool.take(8)[7], 77);
    }

    #[test]
    fn only_some_of_its_own_are_kept() {
        let pool = BufferPool::new(8);
        drop((pool.take(9), Buffer::from(vec![1; 8])));
        assert_eq!(pool.idle.lock().unwrap().len(), 0);
        drop((0..100).map(|_| pool.take(8)).collect::<Vec<_>>());
        assert_eq!(pool.idle.lock().unwrap().len(), MAX_IDLE);
    }
}
