//! Bounded caches with a byte budget, sharded so that parallel readers rarely contend for a lock.

mod pages;

use std::{
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::{DefaultHasher, LruCache};

pub use pages::Pages;

const SHARDS: usize = 16;

/// An LRU cache of cheaply cloned values (`Arc`s), bounded in bytes. A lock is held for the look-up alone, never across I/O:
/// two readers that miss at once both load, and one result is kept.
pub struct Cache<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    shard_budget: usize,
    hasher: DefaultHasher,
}

struct Shard<K, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// A cache that holds at most `budget` bytes of values. A value larger than a sixteenth of it is not kept.
    pub fn new(budget: usize) -> Self {
        Self::with_shards(SHARDS, budget)
    }

    /// A cache with one lock, for a few large values: one that takes all of the budget is kept.
    pub fn of_large_values(budget: usize) -> Self {
        Self::with_shards(1, budget)
    }

    /// `count` is a power of two.
    fn with_shards(count: usize, budget: usize) -> Self {
        let shard = || Mutex::new(Shard { entries: LruCache::unbounded(), bytes: 0 });
        Self {
            shards: (0..count).map(|_| shard()).collect(),
            shard_budget: budget / count,
            hasher: DefaultHasher::default(),
        }
    }

    /// The cached value, marked as used.
    pub fn get(&self, key: &K) -> Option<V> {
        self.shard(key).entries.get(key).map(|(value, _)| value.clone())
    }

    /// Keeps a value of `bytes` bytes, and evicts the least recently used ones beyond the budget.
    pub fn put(&self, key: K, value: V, bytes: usize) {
        if bytes > self.shard_budget {
            return;
        }
        let mut shard = self.shard(&key);
        if let Some((_, (_, old))) = shard.entries.push(key, (value, bytes)) {
            shard.bytes -= old;
        }
        shard.bytes += bytes;
        while shard.bytes > self.shard_budget {
            let Some((_, (_, old))) = shard.entries.pop_lru() else { break };
            shard.bytes -= old;
        }
    }

    /// The cached value, or else the one that `load` returns with its size in bytes, which is then kept.
    ///
    /// # Errors
    /// Those of `load`; failures are not cached.
    pub fn get_or_load<E>(&self, key: K, load: impl FnOnce() -> Result<(V, usize), E>) -> Result<V, E> {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let (value, bytes) = load()?;
        self.put(key, value.clone(), bytes);
        Ok(value)
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let index = self.hasher.hash_one(key) & (self.shards.len() as u64 - 1);
        let shard = &self.shards[usize::try_from(index).expect("below the number of shards")];
        // A panic while the lock was held can only lose an entry, never leave a wrong one.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_budget() {
        let cache = Cache::new(16 * 100);
        (0..10_000_u32).for_each(|key| cache.put(key, key, 10));
        let held = (0..10_000).filter(|key| cache.get(key).is_some()).count();
        assert!((100..=160).contains(&held), "{held}");
        assert!(cache.get(&9_999).is_some());
        cache.put(1, 1, 101);
        assert_eq!(cache.get(&1), None);
        let large = Cache::of_large_values(100);
        large.put(1, 1, 100);
        assert_eq!(large.get(&1), Some(1));
    }
}
