//! Facts about each record, for the comparison of records with directories: 24 bytes for each record of a pass. Names are
//! not kept: a sum of their hashes shows whether those in the directories are the same, seeded so that no image can be built
//! whose differences cancel each other out.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    rc::Rc,
};

use crate::fs::ntfs::{attributes::reference::FileReference, records::each::Layout};

/// `Facts::flags`.
pub(super) mod flag {
    /// In use.
    pub(in super::super) const USED: u16 = 1;
    /// An extension record of another one.
    pub(in super::super) const EXTENSION: u16 = 2;
    /// Has a name index.
    pub(in super::super) const DIRECTORY: u16 = 4;
    /// Has a view index.
    pub(in super::super) const VIEW: u16 = 8;
    /// Unreadable, in whole or in part; consequences of that are not reported again.
    pub(in super::super) const DAMAGED: u16 = 16;
    /// Its index is not readable as a whole.
    pub(in super::super) const INDEX_DAMAGED: u16 = 32;
}

/// The facts about a record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) sequence: u16,
    pub(super) flags: u16,
    /// Number of names, as stated in its header.
    pub(super) links: u16,
    /// Number of its name attributes.
    pub(super) names: u16,
    /// Number of directory entries that lead to it.
    pub(super) entries: u16,
    /// Sum of the hashes of its names, minus those of the entries.
    pub(super) name_sum: u32,
    /// Sum of the hashes of the extension records that it lists, minus those of the records that name it as their base.
    pub(super) extension_sum: u32,
    /// For a file with one name, the hash of the sizes that its entry repeats; 0: not compared.
    pub(super) sizes: u32,
}

impl Facts {
    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// The records of one pass: a part of the stored ones.
pub(super) struct Window {
    layout: Rc<Layout>,
    /// Number of stored records before this pass.
    first: u64,
    facts: Vec<Facts>,
    seed: RandomState,
}

impl Window {
    /// Pass number `index`, of `size` records each.
    pub(super) fn new(index: u64, layout: Rc<Layout>, size: u64) -> Self {
        let records = layout.records();
        let first = index.saturating_mul(size).min(records);
        let count = usize::try_from((records - first).min(size)).expect("a million and a half");
        Self { layout, first, facts: vec![Facts::default(); count], seed: RandomState::new() }
    }

    /// The facts about a record of this pass.
    pub(super) fn get(&mut self, number: u64) -> Option<&mut Facts> {
        let index = self.layout.index(number)?.checked_sub(self.first)?;
        self.facts.get_mut(usize::try_from(index).ok()?)
    }

    /// True for a record of another pass.
    pub(super) fn is_elsewhere(&self, number: u64) -> bool {
        let index = self.layout.index(number);
        index.is_some_and(|index| !(self.first..self.first + self.facts.len() as u64).contains(&index))
    }

    /// The records of this pass: the layout, the index of the first one among the stored records, and their number.
    pub(super) fn numbers(&self) -> (Rc<Layout>, u64, usize) {
        (self.layout.clone(), self.first, self.facts.len())
    }

    /// The hash of a name in the directory `parent`.
    pub(super) fn name_hash(&self, parent: u64, name: impl Iterator<Item = u16>) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(parent);
        name.for_each(|unit| hasher.write_u16(unit));
        low(hasher.finish())
    }

    /// The hash of a file's sizes; never 0. `allocated` is `None` if only the length is compared.
    pub(super) fn size_hash(&self, size: u64, allocated: Option<u64>) -> u32 {
        low(self.seed.hash_one((size, allocated))).max(1)
    }

    /// The hash of an extension record with its base.
    pub(super) fn extension_hash(&self, base: FileReference, extension: FileReference) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(base.0);
        hasher.write_u64(extension.0);
        low(hasher.finish())
    }
}

fn low(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).expect("32 bits")
}
