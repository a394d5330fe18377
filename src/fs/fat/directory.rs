//! Directories: a sequence of 32-byte slots in the root region or in a cluster chain.

use std::hash::{BuildHasher, Hasher, RandomState};

use zerocopy::FromBytes;

use super::{
    chain::Chain,
    codepage::Decoder,
    format::{LongEntry, ShortEntry, attr, slot},
    name::{Assembler, equal_folded, fold, push_short},
    pages::{Pages, Reader},
};
use crate::{Error, Result};

/// The specification's limit is 65,536 slots, 2 MiB; some drivers exceed it. Four times that is still a small index.
pub(super) const MAX_DIRECTORY_SIZE: u64 = 8 << 20;

/// A file or directory, as named by its directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryEntry {
    pub(super) short: ShortEntry,
    /// Byte position of the short entry in the volume.
    pub(super) position: u64,
    /// Number of the slot after it.
    pub(super) next: u32,
}

/// The parsed content of one slot.
pub(super) enum Slot {
    End,
    Deleted([u8; slot::SIZE as usize]),
    Long(LongEntry),
    Label(ShortEntry),
    Dot(ShortEntry),
    DotDot(ShortEntry),
    Entry(ShortEntry),
}

impl Slot {
    pub(super) fn parse(bytes: &[u8; slot::SIZE as usize]) -> Self {
        let short = ShortEntry::read_from_bytes(bytes).expect("as long as a slot");
        match short.name[0] {
            slot::END => Self::End,
            slot::DELETED => Self::Deleted(*bytes),
            _ if short.attr & attr::LONG_NAME_MASK == attr::LONG_NAME => {
                Self::Long(LongEntry::read_from_bytes(bytes).expect("as long as a slot"))
            }
            _ if short.attr & attr::VOLUME_ID != 0 => Self::Label(short),
            _ if &short.name == b".          " => Self::Dot(short),
            _ if &short.name == b"..         " => Self::DotDot(short),
            _ => Self::Entry(short),
        }
    }
}

/// Iterates over the slots of a directory.
pub(super) struct Slots<'a> {
    directory: &'a Chain,
    reader: Reader<'a>,
    at: u32,
}

impl<'a> Slots<'a> {
    pub(super) fn new(directory: &'a Chain, pages: &'a Pages, from: u32) -> Self {
        Self { directory, reader: pages.reader(), at: from }
    }

    fn begins_cluster(&self, offset: u64) -> bool {
        let size = u64::from(self.directory.cluster_size);
        size > 0 && offset.is_multiple_of(size)
    }

    /// The next slot and its position in the volume; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Slot, u64)>> {
        let offset = u64::from(self.at) * u64::from(slot::SIZE);
        let damaged = |problem: String| {
            Error::corrupt("FAT directory", None, format!("{problem}, at {offset:#x} of the directory"))
        };
        let Some((position, len)) = self.directory.runs.find(offset) else {
            return self.directory.damage.clone().map_or(Ok(None), |damage| Err(damaged(damage)));
        };
        let (Some(position), true) = (position, len >= slot::SIZE.into()) else {
            return Err(damaged("cut short".into()));
        };
        let mut bytes = [0; slot::SIZE as usize];
        self.reader.read(position, &mut bytes)?;
        let slot = Slot::parse(&bytes);
        match slot {
            Slot::End => return Ok(None),
            // A `..` as the second slot of a later cluster: another directory begins there. Each slot belongs to one
            // directory, so that all directories together are no longer than the stored data.
            Slot::DotDot(_) if self.at >= 2 && self.begins_cluster(offset - u64::from(slot::SIZE)) => {
                return Err(damaged("it runs into another directory".into()));
            }
            _ => {}
        }
        self.at += 1;
        Ok(Some((slot, position)))
    }

    /// The next file or directory; `name` is replaced by its name (the long one if it has one).
    pub(super) fn next_entry(
        &mut self,
        decoder: &Decoder,
        name: &mut Vec<u16>,
    ) -> Result<Option<DirectoryEntry>> {
        let mut long = Assembler::new();
        while let Some((slot, position)) = self.next()? {
            match slot {
                Slot::Long(piece) => long.add(&piece),
                Slot::Entry(short) => {
                    name.clear();
                    match long.finish(&short) {
                        Some(units) => name.extend_from_slice(units),
                        None => push_short(&short, decoder, true, name),
                    }
                    if !name.is_empty() {
                        return Ok(Some(DirectoryEntry { short, position, next: self.at }));
                    }
                    long.clear();
                }
                _ => long.clear(),
            }
        }
        Ok(None)
    }
}

/// A hash index of a directory's names: hashes of all folded names, long and short, with the slots where their entries
/// begin. 8 bytes each.
#[derive(Debug)]
pub(super) struct Index {
    hashes: Vec<(u32, u32)>,
    /// First cluster of each subdirectory, with the slot after its entry.
    directories: Vec<(u32, u32)>,
    /// Seeded, so that no image can be built whose names all collide.
    seed: RandomState,
    /// The error that ended the scan: a name that is not in the index may exist nevertheless.
    damage: Option<Error>,
}

impl Index {
    pub(super) fn build(
        directory: &Chain,
        pages: &Pages,
        decoder: &Decoder,
        first_cluster: impl Fn(&ShortEntry) -> u32,
    ) -> Self {
        let mut slots = Slots::new(directory, pages, 0);
        let seed = RandomState::new();
        let (mut hashes, mut directories) = (Vec::new(), Vec::new());
        let (mut name, mut alias) = (Vec::new(), Vec::new());
        let damage = loop {
            let start = slots.at;
            match slots.next_entry(decoder, &mut name) {
                Ok(Some(entry)) => {
                    hashes.push((hash(&seed, &name), start));
                    if entry.short.attr & attr::DIRECTORY != 0 {
                        directories.push((first_cluster(&entry.short), entry.next));
                    }
                    alias.clear();
                    push_short(&entry.short, decoder, false, &mut alias);
                    if !equal_folded(&name, &alias) {
                        hashes.push((hash(&seed, &alias), start));
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        hashes.sort_unstable();
        hashes.shrink_to_fit();
        directories.sort_unstable();
        directories.shrink_to_fit();
        Self { hashes, directories, seed, damage }
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + (self.hashes.capacity() + self.directories.capacity()) * size_of::<(u32, u32)>()
    }

    /// True if the entry that ends at slot `next` is the first that leads to the directory at this cluster.
    pub(super) fn is_first(&self, cluster: u32, next: u32) -> bool {
        let at = self.directories.partition_point(|(first, _)| *first < cluster);
        self.directories.get(at) == Some(&(cluster, next))
    }

    /// The entry with this name. An exact match takes precedence over one that differs in case, the long name over the short
    /// alias.
    pub(super) fn find(
        &self,
        directory: &Chain,
        pages: &Pages,
        decoder: &Decoder,
        wanted: &[u16],
    ) -> Result<Option<DirectoryEntry>> {
        let wanted_hash = hash(&self.seed, wanted);
        let from = self.hashes.partition_point(|(hash, _)| *hash < wanted_hash);
        let (mut name, mut alias) = (Vec::new(), Vec::new());
        let mut best: Option<(u8, DirectoryEntry)> = None;
        for (_, start) in self.hashes[from..].iter().take_while(|(hash, _)| *hash == wanted_hash) {
            let mut slots = Slots::new(directory, pages, *start);
            let Some(entry) = slots.next_entry(decoder, &mut name)? else { continue };
            alias.clear();
            push_short(&entry.short, decoder, false, &mut alias);
            let rank = match () {
                () if name == wanted => return Ok(Some(entry)),
                () if equal_folded(&name, wanted) => 0,
                () if equal_folded(&alias, wanted) => 1,
                () => continue,
            };
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, entry));
            }
        }
        match (best, &self.damage) {
            (Some((_, entry)), _) => Ok(Some(entry)),
            (None, Some(damage)) => Err(again(damage)),
            (None, None) => Ok(None),
        }
    }
}

/// Copies an error as far as possible: `io::Error` cannot be cloned, its text can.
fn again(error: &Error) -> Error {
    match error {
        Error::Corrupt(corrupt) => Error::Corrupt(corrupt.clone()),
        error => Error::corrupt("FAT directory", None, error.to_string()),
    }
}

/// A hash of the folded units; collisions cost a comparison.
fn hash(seed: &RandomState, name: &[u16]) -> u32 {
    let mut hasher = seed.build_hasher();
    name.iter().for_each(|unit| hasher.write_u16(fold(*unit)));
    u32::try_from(hasher.finish() >> 32).expect("32 bits are left")
}
