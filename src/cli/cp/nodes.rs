//! A compact set of nodes: record numbers lie close together, so pages of bits hold millions of them.

use std::collections::BTreeMap;

const WORDS: usize = 64;
const PAGE: u64 = WORDS as u64 * 64;
/// Memory for pages in bytes, enough for 500 million neighbouring numbers.
const BUDGET: usize = 64 << 20;
const MAX_PAGES: usize = BUDGET / (WORDS * 8);

/// A set of visited nodes.
#[derive(Default)]
pub(super) struct NodeSet {
    pages: BTreeMap<u64, Box<[u64; WORDS]>>,
}

impl NodeSet {
    /// Adds a number; returns false when it was already present. Over the budget numbers are no longer kept, and the
    /// result is true.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let (page, bit) = (number / PAGE, number % PAGE);
        if self.pages.len() >= MAX_PAGES && !self.pages.contains_key(&page) {
            return true;
        }
        let words = self.pages.entry(page).or_insert_with(|| Box::new([0; WORDS]));
        let word = &mut words[usize::try_from(bit / 64).expect("below WORDS")];
        let mask = 1 << (bit % 64);
        let new = *word & mask == 0;
        *word |= mask;
        new
    }

    /// True when the number is present.
    pub(super) fn contains(&self, number: u64) -> bool {
        let words = self.pages.get(&(number / PAGE));
        let word = |words: &[u64; WORDS]| words[usize::try_from(number % PAGE / 64).expect("below WORDS")];
        words.is_some_and(|words| word(words) >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once() {
        let mut set = NodeSet::default();
        for number in [0, 1, 63, 64, PAGE - 1, PAGE, u64::MAX] {
            assert!(!set.contains(number) && set.insert(number) && !set.insert(number), "{number}");
            assert!(set.contains(number));
        }
        assert!(!set.contains(2));
    }
}
