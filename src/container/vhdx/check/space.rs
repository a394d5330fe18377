//! A map of the MiB of a file that are in use, one bit each: blocks are aligned to 1 MiB and nothing smaller is
//! allocated.

use std::{collections::BTreeMap, ops::Range};

use super::super::format::MIB;

/// Most MiB tracked: files of 256 TiB, four times the largest disk, in 32 MiB of memory.
pub(super) const MAX_TRACKED: u64 = 1 << 28;
/// MiB before the first block that may be free for its alignment: QEMU begins at 8 MiB, or at a multiple of the block
/// size.
const ALIGNMENT: u64 = 8;
/// Most contested MiB kept for the second pass, which names their blocks.
const MAX_CONTESTED: usize = 1000;

/// The map of a file.
pub(super) struct Space {
    words: Vec<u64>,
    /// MiB in the file; the last one may be partial.
    total: u64,
    /// The lowest MiB that a block claims.
    first_block: u64,
    /// MiB claimed more than once, with the table entry that claims each first, which only the second pass fills in.
    pub(super) contested: BTreeMap<u64, Option<u64>>,
    /// Number of contested MiB that were not kept.
    pub(super) forgotten: u64,
}

impl Space {
    /// The map of a file of `size` bytes, all free.
    pub(super) fn new(size: u64) -> Self {
        let total = size.div_ceil(MIB);
        let words = total.min(MAX_TRACKED).div_ceil(64);
        let words = vec![0; usize::try_from(words).expect("MAX_TRACKED is small")];
        Self { words, total, first_block: u64::MAX, contested: BTreeMap::new(), forgotten: 0 }
    }

    /// True when the file is too long to be tracked to its end.
    pub(super) fn is_partial(&self) -> bool {
        self.total > MAX_TRACKED
    }

    /// Marks the MiB of a structure as in use, whether or not they are already.
    pub(super) fn reserve(&mut self, bytes: &Range<u64>) {
        for unit in mib(bytes) {
            self.set(unit);
        }
    }

    /// Marks the MiB of a block as in use; one that is already in use becomes contested.
    pub(super) fn claim(&mut self, bytes: &Range<u64>) {
        self.first_block = self.first_block.min(bytes.start / MIB);
        for unit in mib(bytes) {
            if self.set(unit) && !self.contested.contains_key(&unit) {
                if self.contested.len() < MAX_CONTESTED {
                    self.contested.insert(unit, None);
                } else {
                    self.forgotten += 1;
                }
            }
        }
    }

    /// The number of free MiB in the file, and how many of them lie at its end. Those that only align the first block do
    /// not count; a block has `block_size` bytes.
    pub(super) fn free(&self, block_size: u64) -> (u64, u64) {
        let tracked = self.total.min(MAX_TRACKED);
        let used: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        let last = self.words.iter().enumerate().rev().find(|(_, word)| **word != 0);
        let end = last.map_or(0, |(index, word)| index as u64 * 64 + u64::from(word.ilog2()) + 1);
        let before = (0..self.first_block.min(tracked)).filter(|unit| !self.is_set(*unit));
        // Counting stops above the limit.
        let most = ALIGNMENT.max(block_size / MIB);
        let before = before.zip(0..=most).count() as u64;
        let aligning = if before <= most { before } else { 0 };
        let at_end = if self.first_block == u64::MAX { 0 } else { tracked.saturating_sub(end) };
        (tracked.saturating_sub(used).saturating_sub(aligning), at_end)
    }

    /// The number of MiB in use here and free in `other`, a map of the same file.
    pub(super) fn outside(&self, other: &Self) -> u64 {
        self.words.iter().zip(&other.words).map(|(one, other)| u64::from((one & !other).count_ones())).sum()
    }

    fn is_set(&self, unit: u64) -> bool {
        let word = usize::try_from(unit / 64).ok().and_then(|index| self.words.get(index));
        word.is_some_and(|word| word & (1 << (unit % 64)) != 0)
    }

    /// Sets a bit; returns true when it was already set. MiB beyond the tracked ones count as free.
    fn set(&mut self, unit: u64) -> bool {
        let word = usize::try_from(unit / 64).ok().and_then(|index| self.words.get_mut(index));
        let Some(word) = word.filter(|_| unit < self.total) else { return false };
        let (bit, before) = (1 << (unit % 64), *word);
        *word |= bit;
        before & bit != 0
    }
}

/// The MiB that a range touches, up to the last tracked one; none where it begins behind that.
pub(super) fn mib(bytes: &Range<u64>) -> Range<u64> {
    let start = bytes.start / MIB;
    let end = if bytes.is_empty() { start } else { bytes.end.div_ceil(MIB).min(MAX_TRACKED) };
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_and_contested_units_are_counted() {
        let mut space = Space::new(100 * MIB + 1);
        space.reserve(&(0..MIB));
        assert_eq!(space.free(MIB), (100, 0));
        space.claim(&(2 * MIB..4 * MIB));
        space.claim(&(70 * MIB..71 * MIB));
        // One MiB aligns the first block.
        assert_eq!(space.free(MIB), (96, 30));
        assert!(space.contested.is_empty());
        space.claim(&(3 * MIB..5 * MIB));
        assert_eq!(space.contested.keys().collect::<Vec<_>>(), [&3]);
        assert_eq!(space.free(MIB), (95, 30));
    }

    #[test]
    fn a_file_of_any_length_takes_bounded_memory() {
        let mut space = Space::new(u64::MAX);
        assert!(space.is_partial());
        space.claim(&(u64::MAX - 1..u64::MAX));
        assert_eq!(space.free(MIB), (MAX_TRACKED, MAX_TRACKED));
        assert!(space.contested.range(mib(&(u64::MAX - MIB..u64::MAX))).next().is_none());
        space.reserve(&(0..5000 * MIB));
        (0..5000).for_each(|unit| space.claim(&(unit * MIB..(unit + 1) * MIB)));
        assert_eq!((space.contested.len(), space.forgotten), (1000, 4000));
    }
}
