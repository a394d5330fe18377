//! What else the host should have ready: files that are read one after the other mostly lie near each other, so a read
//! asks for what follows it, as long as that proves right. The kernel's own read-ahead is off meanwhile: it takes such a
//! reader for a sequential one and reads whole megabytes of what nobody wants (on one disk with a read-ahead of 8 MiB three
//! times of what was asked for).
//!
//! Guards: no lock, a fixed table, and readers at random positions soon cost nothing but the look at it.

use std::{
    ops::Range,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

/// Unit of what is asked for: some twenty small files.
const CHUNK: u64 = 1 << 20;
/// Chunks that are remembered: as many places can be read in turns.
const SLOTS: usize = 64;
/// Index blocks and single records, which lie anywhere: who reads many of them asks for them by itself.
const SMALL: u64 = 4096;
/// Less is not worth a call.
const MIN_ASKED: u64 = 16 << 10;
/// What a chunk that was come back to counts, against one for each new chunk: one in five must be.
const HIT: i32 = 4;
/// Where trust begins and ends: a few new chunks without a return are no proof.
const TRUST: Range<i32> = -16..64;
const FIRST_TRUST: i32 = 32;

/// Remembers where was read lately.
pub(super) struct HostPrefetch {
    /// Twice the chunk's number from 1 on, and 1 when it was come back to. Whoever loses a race costs a hint.
    slots: [AtomicU64; SLOTS],
    trust: AtomicI32,
}

impl Default for HostPrefetch {
    fn default() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS], trust: AtomicI32::new(FIRST_TRUST) }
    }
}

impl HostPrefetch {
    /// Takes note of a read, and returns what should be asked of the host.
    pub(super) fn note(&self, offset: u64, len: u64) -> Option<Range<u64>> {
        let end = offset.checked_add(len).filter(|_| len > SMALL)?;
        let (first, last) = (offset / CHUNK, (end - 1) / CHUNK);
        let known = self.visit(first);
        if last != first {
            self.visit(last);
        }
        let behind = match known {
            false => end..(last + 1).saturating_mul(CHUNK),
            // Near its end the next one's turn comes.
            true if end % CHUNK >= CHUNK / 2 && !self.visit(last + 1) => {
                (last + 1).saturating_mul(CHUNK)..(last + 2).saturating_mul(CHUNK)
            }
            true => return None,
        };
        let asks = self.trust.load(Ordering::Relaxed) > 0 && behind.end - behind.start >= MIN_ASKED;
        asks.then_some(behind)
    }

    /// Remembers a chunk; true if it was remembered.
    fn visit(&self, chunk: u64) -> bool {
        let slot = &self.slots[usize::try_from(chunk % SLOTS as u64).expect("below SLOTS")];
        let (new, seen) = (2 * (chunk + 1), slot.load(Ordering::Relaxed));
        if seen & !1 != new {
            slot.store(new, Ordering::Relaxed);
            self.count(-1);
            return false;
        }
        if seen == new {
            slot.store(new | 1, Ordering::Relaxed);
            self.count(HIT);
        }
        true
    }

    fn count(&self, change: i32) {
        let trust = self.trust.load(Ordering::Relaxed);
        let changed = (trust + change).clamp(TRUST.start, TRUST.end);
        if changed != trust {
            self.trust.store(changed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of what these reads want was asked for before, and how much was asked for in all, in bytes.
    fn play(reads: impl IntoIterator<Item = (u64, u64)>) -> (u64, u64, u64) {
        let prefetch = HostPrefetch::default();
        let mut asked: Vec<Range<u64>> = Vec::new();
        let (mut wanted, mut found) = (0, 0);
        for (offset, len) in reads {
            wanted += len;
            if asked.iter().any(|range| range.start <= offset && offset + len <= range.end) {
                found += len;
            }
            asked.extend(prefetch.note(offset, len));
        }
        (wanted, found, asked.iter().map(|range| range.end - range.start).sum())
    }

    #[test]
    fn small_files_in_their_order_are_asked_for() {
        // With a look at their records, far away, in between.
        let reads = (0..5000_u64).flat_map(|file| [(1 << 40 | file << 10, 8192), (file * 40_000, 30_000)]);
        let (wanted, found, asked) = play(reads);
        assert!(found > wanted / 10 * 8, "{found} of {wanted}");
        assert!(asked < wanted * 2, "{asked} for {wanted}");
    }

    #[test]
    fn sequential_readers_are_served() {
        let (wanted, found, asked) = play((0..10_000_u64).map(|at| (at * 10_000, 10_000)));
        assert!(found > wanted / 10 * 9 && asked < wanted + (2 << 20), "{found} and {asked} of {wanted}");
    }

    #[test]
    fn random_readers_are_left_alone() {
        let (_, _, asked) = play((0..100_000_u64).map(|at| (at * 7_654_321_987 % (1 << 34), 8192)));
        assert!(asked < 64 << 20, "{asked}");
        // And trusted again when they come to their senses.
        let random = (0..100_000_u64).map(|at| (at * 7_654_321_987 % (1 << 34), 8192));
        let (wanted, found, _) = play(random.chain((0..100_000_u64).map(|at| (at * 8192, 8192))));
        assert!(found > wanted / 3, "{found} of {wanted}");
    }

    #[test]
    fn any_range_is_taken() {
        let prefetch = HostPrefetch::default();
        for offset in [0, 1, CHUNK - 1, CHUNK, u64::MAX / 2, i64::MAX.cast_unsigned()] {
            for len in [0, 1, CHUNK, 100 * CHUNK] {
                let asked = prefetch.note(offset, len);
                assert!(asked.is_none_or(|range| range.start >= offset && range.start < range.end));
            }
        }
        // Twice, as the second read of a chunk asks for the one behind it, of which there is none.
        for _ in 0..2 {
            let asked = prefetch.note(u64::MAX - 2 * SMALL, 2 * SMALL);
            assert!(asked.is_none_or(|range| range.start < range.end));
        }
        assert_eq!(prefetch.note(u64::MAX - SMALL, 2 * SMALL), None, "it ends beyond all bytes");
    }
}
