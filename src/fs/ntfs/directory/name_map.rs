//! The names of a damaged directory by hash, from one walk over its readable blocks: a lookup whose descent fails asks the
//! map, so that entering each of its names reads the index twice, not once per name. Guards: names per map, memory of all
//! maps; the hashes have a random key, so that no image can choose names with the same one.

use std::{
    hash::{BuildHasher, RandomState},
    ops::ControlFlow,
    sync::Arc,
};

use super::{Block, Directory, Hit, OFFSET_BITS, READ_AHEAD};
use crate::{
    Error, Result, error,
    fs::{
        DirCursor,
        ntfs::{Ntfs, attributes::file_name::MAX_NAME, volume::upcase::UpCase},
    },
};

/// Cache budget for the maps of a volume: 2.8 million names. A map takes 12 bytes per name, for which the index stores at
/// least 84; up to three times as much while it is built.
pub(in super::super) const NAME_MAP_BUDGET: usize = 32 << 20;
/// Maximum number of blocks that a lookup reads: one, unless hashes of different names are equal.
const MAX_CANDIDATES: usize = 64;

/// Where a name lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    /// Hash of the upcased name.
    folded: u32,
    /// Hash of the name.
    exact: u32,
    /// 0 for the root, or 1 + the block number.
    block: u32,
}

/// The readable names of one directory.
pub(in super::super) struct NameMap {
    keys: RandomState,
    /// Ordered by the hash of the upcased name. Of names that differ only in case, the first listed one stands first, and the
    /// others are in the order of their own hash.
    slots: Box<[Slot]>,
    /// Why names may be missing.
    damage: Option<String>,
}

/// The low half: 32 bits suffice, as the name itself is compared in the end.
fn hash(keys: &RandomState, name: &[u16]) -> u32 {
    u32::try_from(keys.hash_one(name) & u64::from(u32::MAX)).expect("32 bits")
}

fn folded_hash(keys: &RandomState, upcase: &UpCase, name: &[u16]) -> u32 {
    let mut upper = [0; MAX_NAME];
    let upper = &mut upper[..name.len().min(MAX_NAME)];
    upper.iter_mut().zip(name).for_each(|(to, unit)| *to = upcase.upper(*unit));
    hash(keys, upper)
}

impl NameMap {
    /// Reads every readable block once. A map of more than `max` names has the first ones listed.
    pub(in super::super) fn build(directory: &Directory, ntfs: &Ntfs, max: usize) -> Self {
        let keys = RandomState::new();
        let mut slots = Vec::new();
        let mut too_many = false;
        let walked = directory.walk(ntfs, DirCursor(0), &mut |entry, next| {
            let mut buf = [0; MAX_NAME];
            let name = entry.file_name()?;
            let name = name.name(&mut buf);
            let block = u32::try_from(next.0 >> OFFSET_BITS).ok().filter(|_| slots.len() < max);
            let Some(block) = block else {
                too_many = true;
                return Ok(ControlFlow::Break(()));
            };
            slots.push(Slot {
                folded: folded_hash(&keys, &ntfs.upcase, name),
                exact: hash(&keys, name),
                block,
            });
            Ok(ControlFlow::Continue(()))
        });
        let mut damage = walked.err().map(|error| error.to_string());
        if too_many {
            damage =
                Some(format!("only the first {} names of a damaged index can be looked up", slots.len()));
        }
        slots.sort_unstable();
        slots.dedup();
        for same in slots.chunk_by_mut(|a, b| a.folded == b.folded) {
            let first = (0..same.len()).min_by_key(|at| same[*at].block).unwrap_or(0);
            same[..=first].rotate_right(1);
        }
        Self { keys, slots: slots.into(), damage }
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.slots) + self.damage.as_ref().map_or(0, String::len)
    }

    /// The blocks that may have the name, and those that may have one that differs only in case; the first listed one comes
    /// first.
    fn candidates(
        &self,
        upcase: &UpCase,
        name: &[u16],
    ) -> (impl Iterator<Item = u32>, impl Iterator<Item = u32>) {
        let (folded, exact) = (folded_hash(&self.keys, upcase, name), hash(&self.keys, name));
        let from = self.slots.partition_point(|slot| slot.folded < folded);
        let len = self.slots[from..].partition_point(|slot| slot.folded == folded);
        let same = &self.slots[from..from + len];
        let (first, others) = same.split_at(len.min(1));
        let others = &others[others.partition_point(|slot| slot.exact < exact)..];
        let exactly = first.iter().chain(others.iter().take_while(move |slot| slot.exact == exact));
        let exactly = exactly.filter(move |slot| slot.exact == exact);
        (exactly.map(|slot| slot.block), same.iter().map(|slot| slot.block))
    }

    /// The exact name.
    pub(in super::super) fn exact(
        &self,
        directory: &Directory,
        ntfs: &Ntfs,
        name: &[u16],
    ) -> Result<Option<Hit>> {
        let (exactly, _) = self.candidates(&ntfs.upcase, name);
        first_in(directory, ntfs, exactly, &|units| units == name)
    }

    /// The first listed name that differs at most in case.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is none, and names may be missing.
    pub(in super::super) fn similar(
        &self,
        directory: &Directory,
        ntfs: &Ntfs,
        name: &[u16],
    ) -> Result<Option<Hit>> {
        let (_, similar) = self.candidates(&ntfs.upcase, name);
        let hit = first_in(directory, ntfs, similar, &|units| ntfs.upcase.eq(units, name))?;
        match &self.damage {
            Some(damage) if hit.is_none() => {
                let problem = format!("the name may be in a part that cannot be read ({damage})");
                Err(Error::corrupt("index", error::Place::Record(directory.record), problem))
            }
            _ => Ok(hit),
        }
    }
}

/// The first entry in these blocks whose name is wanted.
fn first_in(
    directory: &Directory,
    ntfs: &Ntfs,
    blocks: impl Iterator<Item = u32>,
    wanted: &dyn Fn(&[u16]) -> bool,
) -> Result<Option<Hit>> {
    for block in blocks.take(MAX_CANDIDATES) {
        let block = match block.checked_sub(1) {
            None => Block::Root,
            Some(index) => Block::Index(directory.block(ntfs, index.into(), READ_AHEAD)?),
        };
        // What lies behind damage in the block is not in the map either.
        for entry in block.entries(directory, 0)?.map_while(Result::ok).filter(|entry| !entry.last) {
            let Ok(name) = entry.file_name() else { continue };
            let mut buf = [0; MAX_NAME];
            let units = name.name(&mut buf);
            if wanted(units) {
                return Ok(Some(Hit::new(entry.file_reference, units, &name)));
            }
        }
    }
    Ok(None)
}

impl Directory {
    /// The map of the directory's names, cached.
    pub(super) fn name_map(&self, ntfs: &Ntfs) -> Arc<NameMap> {
        let max = ntfs.context.share(NAME_MAP_BUDGET) / size_of::<Slot>() - 64;
        let loaded = ntfs.name_maps.get_or_load(self.record, || {
            let map = NameMap::build(self, ntfs, max);
            let memory = map.memory();
            Ok::<_, std::convert::Infallible>((Arc::new(map), memory))
        });
        loaded.unwrap_or_else(|never| match never {})
    }
}
