//! A cache of open sources by node: the kernel reads without opening first, so the first read of a node opens it, and it
//! stays until others evict it. Sharded and looked up under a read lock, so that parallel reads do not contend. Limits
//! the number of sources and their memory, as a crafted file may have a run list of 100 MiB.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicU64, Ordering},
};

use vhdmount::{Result, bytes::ByteSource};

/// Number of shards: a power of two, above the number of workers of most machines.
const SHARDS: usize = 16;

/// Sources per shard. All shards together hold more than a program reads at once; an evicted source is opened again.
const PER_SHARD: usize = 8;

/// Memory of all sources in bytes, divided evenly among the shards.
const BUDGET: usize = 16 << 20;

/// Sources larger than a shard's part, of files in very many fragments, that are kept outside the budget: opening one
/// again for each read would take seconds.
const MAX_LARGE: usize = 2;

struct OpenSource {
    node: u64,
    memory: usize,
    source: Arc<dyn ByteSource>,
    /// Time of the last read, counted in reads of its shard.
    used: AtomicU64,
}

struct Shard {
    entries: RwLock<Vec<OpenSource>>,
    reads: AtomicU64,
    max_entries: usize,
    max_memory: usize,
}

/// Recently read sources.
pub(super) struct Sources {
    shards: [Shard; SHARDS],
    large: Shard,
}

impl Default for Sources {
    fn default() -> Self {
        let shard = |max_entries, max_memory| Shard {
            entries: RwLock::default(),
            reads: AtomicU64::new(0),
            max_entries,
            max_memory,
        };
        Self {
            shards: std::array::from_fn(|_| shard(PER_SHARD, BUDGET / SHARDS)),
            large: shard(MAX_LARGE, usize::MAX),
        }
    }
}

impl Sources {
    /// The cached source of a node, or the one that `open` returns. No lock is held during `open`: if two readers open
    /// the node at once, one source is kept.
    pub(super) fn get_or_open(
        &self,
        node: u64,
        open: impl FnOnce() -> Result<Arc<dyn ByteSource>>,
    ) -> Result<Arc<dyn ByteSource>> {
        // Mixes the high bits in: neighbouring records are read together, and their low bits spread them over the shards.
        let index = (node ^ node >> 8) % SHARDS as u64;
        let shard = &self.shards[usize::try_from(index).expect("below SHARDS")];
        if let Some(source) = shard.get(node).or_else(|| self.large.get(node)) {
            return Ok(source);
        }
        let source = open()?;
        let memory = source.memory();
        let shard = if memory > shard.max_memory { &self.large } else { shard };
        shard.put(OpenSource { node, memory, source: source.clone(), used: AtomicU64::new(shard.now()) });
        Ok(source)
    }
}

impl Shard {
    fn now(&self) -> u64 {
        self.reads.fetch_add(1, Ordering::Relaxed)
    }

    fn get(&self, node: u64) -> Option<Arc<dyn ByteSource>> {
        let entries = self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let entry = entries.iter().find(|entry| entry.node == node)?;
        entry.used.store(self.now(), Ordering::Relaxed);
        Some(entry.source.clone())
    }

    /// Inserts a source; evicts another one of the same node, then the least recently read ones.
    fn put(&self, entry: OpenSource) {
        let mut pushed_out = Vec::new();
        let mut entries = self.entries.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(same) = entries.iter().position(|other| other.node == entry.node) {
            pushed_out.push(entries.swap_remove(same));
        }
        let is_full = |entries: &[OpenSource]| {
            let memory: usize = entries.iter().map(|other| other.memory).sum();
            entries.len() >= self.max_entries || memory.saturating_add(entry.memory) > self.max_memory
        };
        while is_full(&entries) {
            let used = |index: &usize| entries[*index].used.load(Ordering::Relaxed);
            let Some(oldest) = (0..entries.len()).min_by_key(used) else { break };
            pushed_out.push(entries.swap_remove(oldest));
        }
        entries.push(entry);
        drop(entries);
        // Freed outside the lock, as a long run list takes time.
        drop(pushed_out);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use vhdmount::{Error, bytes::MemorySource};

    use super::*;

    fn source(len: usize) -> Arc<dyn ByteSource> {
        Arc::new(MemorySource(vec![0; len]))
    }

    #[test]
    fn what_was_read_lately_is_not_opened_again() {
        let (sources, opened) = (Sources::default(), Cell::new(0));
        let read = |node: u64| {
            let open = || {
                opened.set(opened.get() + 1);
                Ok(source(usize::try_from(node).unwrap()))
            };
            assert_eq!(sources.get_or_open(node, open).unwrap().size(), node);
        };
        (0..100).for_each(read);
        (0..100).rev().for_each(read);
        assert_eq!(opened.replace(0), 100);
        // A source that is read in between survives many others.
        for node in 1000..3000 {
            read(7);
            read(node);
        }
        assert!((2000..2010).contains(&opened.get()), "{}", opened.get());
    }

    #[test]
    fn sources_are_bounded_by_number_and_memory() {
        let sources = Sources::default();
        let held =
            |shard: &Shard| shard.entries.read().unwrap().iter().map(|entry| entry.memory).sum::<usize>();
        for node in 0..1000 {
            sources.get_or_open(node, || Ok(source(300 << 10))).unwrap();
        }
        assert!(sources.shards.iter().all(|shard| held(shard) <= BUDGET / 16));
        for node in 0..10 {
            sources.get_or_open(1 << 20 | node, || Ok(source(2 << 20))).unwrap();
        }
        assert_eq!(held(&sources.large), MAX_LARGE * (2 << 20));
        let open = || -> Result<_> { panic!("it is still there") };
        assert_eq!(sources.get_or_open(1 << 20 | 9, open).unwrap().size(), 2 << 20);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let sources = Sources::default();
        assert!(sources.get_or_open(1, || Err(Error::unsupported("a codec"))).is_err());
        assert!(sources.get_or_open(1, || Ok(source(0))).is_ok());
    }
}
