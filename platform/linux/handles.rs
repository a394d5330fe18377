//! The table of open files: a number for the kernel, a source for us. Sharded, so that parallel reads do not meet.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use vhdmount::bytes::ByteSource;

/// A power of two, well above the number of workers.
const SHARDS: usize = 16;

/// Open files per shard. An open file holds its decoded runs, so that a program that leaks descriptors must not be
/// able to fill the memory; Linux's own limit per process is far lower.
const MAX_OPEN_PER_SHARD: usize = 4096;

#[derive(Default)]
struct Shard {
    slots: Vec<Option<Arc<dyn ByteSource>>>,
    free: Vec<usize>,
}

/// Open files by handle.
#[derive(Default)]
pub(super) struct Handles {
    shards: [RwLock<Shard>; SHARDS],
    next: AtomicUsize,
}

impl Handles {
    /// A handle for `source`; `None` when too many files are open.
    pub(super) fn insert(&self, source: Arc<dyn ByteSource>) -> Option<u64> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = self.shards[at].write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let slot = match shard.free.pop() {
            Some(slot) => slot,
            None if shard.slots.len() < MAX_OPEN_PER_SHARD => {
                shard.slots.push(None);
                shard.slots.len() - 1
            }
            None => return None,
        };
        shard.slots[slot] = Some(source);
        Some((slot * SHARDS + at) as u64)
    }

    /// The source of an open handle.
    pub(super) fn get(&self, handle: u64) -> Option<Arc<dyn ByteSource>> {
        let (at, slot) = split(handle)?;
        let shard = self.shards[at].read().unwrap_or_else(|poisoned| poisoned.into_inner());
        shard.slots.get(slot)?.clone()
    }

    /// Closes a handle. The source is dropped after the lock.
    pub(super) fn remove(&self, handle: u64) -> Option<Arc<dyn ByteSource>> {
        let (at, slot) = split(handle)?;
        let mut shard = self.shards[at].write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let source = shard.slots.get_mut(slot)?.take()?;
        shard.free.push(slot);
        Some(source)
    }
}

fn split(handle: u64) -> Option<(usize, usize)> {
    let handle = usize::try_from(handle).ok()?;
    Some((handle % SHARDS, handle / SHARDS))
}

#[cfg(test)]
mod tests {
    use vhdmount::bytes::MemorySource;

    use super::*;

    fn source(len: usize) -> Arc<dyn ByteSource> {
        Arc::new(MemorySource(vec![0; len]))
    }

    #[test]
    fn each_handle_names_its_own_source_until_it_is_closed() {
        let handles = Handles::default();
        let opened: Vec<u64> = (0..100).map(|len| handles.insert(source(len)).unwrap()).collect();
        for (len, handle) in opened.iter().enumerate() {
            assert_eq!(handles.get(*handle).unwrap().size(), len as u64);
        }
        assert!(handles.remove(opened[7]).is_some());
        assert!(handles.get(opened[7]).is_none() && handles.remove(opened[7]).is_none());
        assert!(handles.get(u64::MAX).is_none());
        assert_eq!(handles.get(opened[8]).unwrap().size(), 8);
    }

    #[test]
    fn the_table_is_bounded_and_reuses_closed_slots() {
        let handles = Handles::default();
        let all: Vec<u64> =
            (0..SHARDS * MAX_OPEN_PER_SHARD).map(|_| handles.insert(source(0)).unwrap()).collect();
        assert!(handles.insert(source(0)).is_none());
        all.iter().for_each(|handle| drop(handles.remove(*handle)));
        assert!(handles.insert(source(0)).is_some());
    }
}
