//! Which MiB of the file are in use, one bit each: blocks are whole MiB and nothing smaller is allocated. Space that a block gave up
//! is not used again before the log has forgotten it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::super::format::MIB;
use crate::{Error, Result};

/// Most MiB of a file: 256 TiB, four times the largest disk, in 32 MiB of memory.
const MAX_UNITS: u64 = 1 << 28;

/// The space of a file. All positions are bytes, and multiples of a MiB.
#[derive(Default)]
pub(super) struct Space {
    words: Vec<u64>,
    /// By length, where the search for so much free space begins.
    search: BTreeMap<u64, u64>,
    /// Given up since the last log entry.
    given_up: Vec<Range<u64>>,
    /// Given up by the log entry of this number.
    waiting: VecDeque<(u64, Range<u64>)>,
}

impl Space {
    /// Marks bytes as in use. Returns false when a part of them was in use already.
    ///
    /// # Errors
    /// [`Error::Unsupported`] beyond 256 TiB.
    pub(super) fn claim(&mut self, bytes: &Range<u64>) -> Result<bool> {
        let units = units(bytes);
        if units.end > MAX_UNITS {
            return Err(Error::unsupported("writing into a VHDX file of more than 256 TiB"));
        }
        let mut free = true;
        for unit in units {
            free &= !self.is_used(unit);
            self.set(unit, true);
        }
        Ok(free)
    }

    /// Takes the first free stretch of `len` bytes, which may lie beyond the end of the file.
    pub(super) fn allocate(&mut self, len: u64) -> Result<u64> {
        let wanted = len.div_ceil(MIB);
        let mut start = self.search.get(&wanted).copied().unwrap_or_default();
        let mut unit = start;
        // Beyond the last bit everything is free, so the search ends there.
        while unit - start < wanted && unit < self.words.len() as u64 * 64 {
            if self.words[index(unit)] == u64::MAX {
                unit = (unit / 64 + 1) * 64;
                start = unit;
            } else {
                unit += 1;
                if self.is_used(unit - 1) {
                    start = unit;
                }
            }
        }
        self.search.insert(wanted, start + wanted);
        self.claim(&(start * MIB..(start + wanted) * MIB))?;
        Ok(start * MIB)
    }

    /// Notes that a block gave up its place; it stays in use until [`Self::forgotten`].
    pub(super) fn give_up(&mut self, bytes: Range<u64>) {
        self.given_up.push(bytes);
    }

    /// Frees a place that nothing on the host's disk leads to.
    pub(super) fn release(&mut self, bytes: &Range<u64>) {
        for unit in units(bytes) {
            self.set(unit, false);
        }
        let first = bytes.start / MIB;
        self.search.values_mut().for_each(|start| *start = (*start).min(first.saturating_sub(256)));
    }

    /// What was given up so far is given up by the log entry of this number.
    pub(super) fn logged(&mut self, number: u64) {
        self.waiting.extend(self.given_up.drain(..).map(|bytes| (number, bytes)));
    }

    /// The log has no entry below this number any more: what these gave up is free, and is returned.
    pub(super) fn forgotten(&mut self, before: u64) -> Vec<Range<u64>> {
        let mut free = Vec::new();
        while self.waiting.front().is_some_and(|(number, _)| *number < before) {
            let Some((_, bytes)) = self.waiting.pop_front() else { break };
            self.release(&bytes);
            free.push(bytes);
        }
        free
    }

    /// The end of what is in use.
    pub(super) fn end(&self) -> u64 {
        let last = self.words.iter().rposition(|word| *word != 0);
        let units =
            last.map_or(0, |last| last as u64 * 64 + 64 - u64::from(self.words[last].leading_zeros()));
        units * MIB
    }

    fn is_used(&self, unit: u64) -> bool {
        self.words.get(index(unit)).is_some_and(|word| word >> (unit % 64) & 1 != 0)
    }

    fn set(&mut self, unit: u64, used: bool) {
        let index = index(unit);
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (unit % 64);
        if used { self.words[index] |= bit } else { self.words[index] &= !bit }
    }
}

fn index(unit: u64) -> usize {
    usize::try_from(unit / 64).unwrap_or(usize::MAX)
}

fn units(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / MIB..bytes.end.div_ceil(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stretch_that_is_long_enough_is_taken() {
        let mut space = Space::default();
        assert!(space.claim(&(0..4 * MIB)).unwrap());
        assert!(space.claim(&(5 * MIB..6 * MIB)).unwrap());
        assert!(space.claim(&(8 * MIB..100 * MIB)).unwrap());
        assert!(!space.claim(&(7 * MIB..9 * MIB)).unwrap());
        assert_eq!(space.allocate(2 * MIB).unwrap(), 100 * MIB);
        assert_eq!(space.allocate(MIB).unwrap(), 4 * MIB);
        assert_eq!(space.allocate(MIB).unwrap(), 6 * MIB);
        assert_eq!(space.allocate(MIB).unwrap(), 102 * MIB);
        assert_eq!(space.end(), 103 * MIB);
        assert!(space.claim(&(0..MAX_UNITS * MIB + 1)).is_err());
    }

    #[test]
    fn space_is_free_again_when_the_log_has_forgotten_the_entry_that_gave_it_up() {
        let mut space = Space::default();
        let places: Vec<u64> = (0..300).map(|_| space.allocate(2 * MIB).unwrap()).collect();
        space.give_up(places[3]..places[3] + 2 * MIB);
        space.forgotten(u64::MAX);
        assert_eq!(space.allocate(2 * MIB).unwrap(), 600 * MIB);
        space.logged(7);
        space.give_up(places[5]..places[5] + 2 * MIB);
        space.logged(8);
        space.forgotten(7);
        assert_eq!(space.allocate(2 * MIB).unwrap(), 602 * MIB);
        space.forgotten(8);
        assert_eq!(space.allocate(2 * MIB).unwrap(), 6 * MIB);
        assert_eq!(space.allocate(2 * MIB).unwrap(), 604 * MIB);
        space.forgotten(9);
        assert_eq!(space.allocate(2 * MIB).unwrap(), 10 * MIB);
    }
}
