//! The walk over all directories that finds what is deleted. A deleted directory is entered when its first cluster is
//! still free and begins with its own `.` entry; it goes on in the next cluster as long as that is free, too, and looks
//! like a directory.

use std::{collections::HashSet, ops::ControlFlow, sync::Arc};

use zerocopy::FromBytes;

use super::{
    super::{
        Fat,
        chain::Chain,
        directory::{MAX_DIRECTORY_SIZE, Slot, Slots},
        format::{LongEntry, ShortEntry, attr, slot},
        name::{self, Assembler, MAX_PIECES, is_legal, push_short},
    },
    Directory, Index, Lost,
};
use crate::{
    Result,
    bytes::{ExtentKind, MemorySource, read_vec},
    fs::{deleted::FreeClusters, runs::RunList},
};

/// Memory for names and entries: half a million deleted files with names of usual length.
const MEMORY_BUDGET: usize = 64 << 20;
/// Stretches of the disk that are asked for one file.
const MAX_EXTENTS: usize = 1 << 14;

/// A directory still to be gone through.
struct Pending {
    place: usize,
    /// `None`: the root.
    first: Option<u32>,
    /// All that is in it is deleted with it.
    deleted: bool,
}

struct Walk<'a> {
    fat: &'a Fat,
    index: Index,
    pending: Vec<Pending>,
    /// First clusters of the directories found.
    seen: HashSet<u32>,
    /// Slots that may still be looked at: hostile directories could share their clusters.
    slots: u64,
    memory: usize,
}

/// Finds everything that is deleted.
pub(super) fn walk(fat: &Fat) -> Result<Index> {
    let root = Directory { name: Box::default(), parent: 0 };
    let index =
        Index { files: Vec::new(), directories: vec![root], free: free_clusters(fat)?, incomplete: None };
    let slots = fat.geometry.size / u64::from(slot::SIZE);
    let mut walk = Walk { fat, index, pending: Vec::new(), seen: HashSet::new(), slots, memory: 0 };
    walk.pending.push(Pending { place: 0, first: None, deleted: false });
    while let Some(next) = walk.pending.pop() {
        if let Err(error) = walk.directory(&next) {
            log::warn!("looking for deleted files in a damaged FAT directory: {error}");
        }
        if walk.slots == 0 || walk.memory > MEMORY_BUDGET {
            walk.index.incomplete = Some("more deleted files than can be told".into());
            break;
        }
    }
    let mut index = walk.index;
    index.files.sort_unstable_by_key(|lost| lost.node);
    // Hostile chains may share clusters.
    index.files.dedup_by_key(|lost| lost.node);
    Ok(index)
}

/// The table as one bit per cluster, at most 32 MiB; the clusters' numbers begin at 2.
fn free_clusters(fat: &Fat) -> Result<FreeClusters> {
    let end = u64::from(fat.geometry.clusters) + 2;
    let mut used = vec![0xff_u8; usize::try_from(end.div_ceil(8)).expect("at most 32 MiB")];
    fat.chains.table().scan_free(&**fat.pages.volume(), &mut |range| {
        for cluster in range {
            let at = usize::try_from(cluster / 8).expect("below the length");
            used[at] &= !(1 << (cluster % 8));
        }
        ControlFlow::Continue(())
    })?;
    Ok(FreeClusters::new(Arc::new(MemorySource(used)), end))
}

impl Walk<'_> {
    fn directory(&mut self, from: &Pending) -> Result<()> {
        let fat = self.fat;
        // Only now, as chains may be long, and many may be pending.
        let chain = match from.first {
            None => fat.root_directory()?,
            Some(first) if from.deleted => Arc::new(self.deleted_directory(first).unwrap_or_default()),
            Some(first) => fat.directory_at(first)?,
        };
        self.slots = self.slots.saturating_sub(chain.clusters.into());
        let mut slots = Slots::new(&chain, &fat.pages, 0);
        let (mut long, mut name) = (Assembler::new(), Vec::new());
        let mut pieces: Vec<LongEntry> = Vec::new();
        let mut dots: u32 = if from.place == 0 { 0 } else { 2 };
        while self.slots > 0
            && self.memory <= MEMORY_BUDGET
            && let Some((slot, position)) = slots.next()?
        {
            self.slots -= 1;
            match slot {
                Slot::Deleted(bytes) => {
                    long.clear();
                    let short = ShortEntry::read_from_bytes(&bytes).expect("as long as a slot");
                    if short.attr & attr::LONG_NAME_MASK == attr::LONG_NAME {
                        pieces.push(LongEntry::read_from_bytes(&bytes).expect("as long as a slot"));
                        // No name has more; an endless row of them must not be kept.
                        pieces.drain(..pieces.len().saturating_sub(MAX_PIECES));
                        continue;
                    }
                    // `.` and `..` of a directory that was emptied.
                    let is_dot = dots > 0 && matches!(&short.name[1..], b"          " | b".         ");
                    if !is_dot && self.is_plausible(&short) {
                        self.lost(from, position, short, name::deleted(&short, &pieces, &fat.decoder));
                    }
                }
                Slot::Long(piece) => long.add(&piece),
                Slot::Entry(short) => {
                    name.clear();
                    match long.finish(&short) {
                        Some(units) => name.extend_from_slice(units),
                        None => push_short(&short, &fat.decoder, true, &mut name),
                    }
                    long.clear();
                    match from.deleted {
                        true if self.is_plausible(&short) => self.lost(from, position, short, name.clone()),
                        true => {}
                        false => self.live(from, &short, &name),
                    }
                }
                _ => long.clear(),
            }
            pieces.clear();
            dots = dots.saturating_sub(1);
        }
        Ok(())
    }

    /// A directory in use: there may be something deleted in it.
    fn live(&mut self, from: &Pending, short: &ShortEntry, name: &[u16]) {
        let first = self.fat.first_cluster(short);
        if short.attr & attr::DIRECTORY == 0 || !self.seen.insert(first) {
            return;
        }
        let place = self.place(from, name);
        self.pending.push(Pending { place, first: Some(first), deleted: false });
    }

    fn lost(&mut self, from: &Pending, position: u64, short: ShortEntry, name: Vec<u16>) {
        let first = self.fat.first_cluster(&short);
        if short.attr & attr::DIRECTORY != 0
            && !self.seen.contains(&first)
            && self.deleted_directory(first).is_some()
        {
            self.seen.insert(first);
            let place = self.place(from, &name);
            self.pending.push(Pending { place, first: Some(first), deleted: true });
        }
        self.memory += size_of::<Lost>() + 2 * name.len();
        let node = position / u64::from(slot::SIZE);
        self.index.files.push(Lost { node, short, name: name.into(), directory: from.place });
    }

    fn place(&mut self, from: &Pending, name: &[u16]) -> usize {
        self.memory += size_of::<Directory>() + size_of::<Pending>() + 2 * name.len();
        self.index.directories.push(Directory { name: name.into(), parent: from.place });
        self.index.directories.len() - 1
    }

    /// A deleted slot can hold anything: only what could have been an entry is one.
    fn is_plausible(&self, short: &ShortEntry) -> bool {
        let first = self.fat.first_cluster(short);
        short.attr & (attr::VOLUME_ID | 0xc0) == 0
            && short.name[1..].iter().all(|byte| is_legal(*byte))
            && u64::from(short.file_size.get()) <= self.fat.geometry.size
            && (first == 0 || self.fat.geometry.is_data_cluster(first))
    }

    /// The clusters of a deleted directory, as far as they can be told.
    fn deleted_directory(&self, first: u32) -> Option<Chain> {
        let fat = self.fat;
        if !fat.geometry.is_data_cluster(first) {
            return None;
        }
        let size = fat.geometry.cluster_size;
        let max = u32::try_from(MAX_DIRECTORY_SIZE).expect("8 MiB") / size;
        let (mut runs, mut clusters) = (RunList::new(), 0);
        for cluster in first..first.saturating_add(max) {
            let free = self.index.free.all(cluster.into()..u64::from(cluster) + 1).unwrap_or(false);
            let slots = if free { self.cluster(cluster) } else { None };
            let Some(bytes) = slots else { break };
            let (slots, _) = bytes.as_chunks();
            let looks = match clusters {
                0 => self.begins(first, slots),
                _ => slots.iter().all(|bytes| self.could_be(bytes)),
            };
            if !looks {
                break;
            }
            runs.push(size.into(), Some(fat.geometry.cluster_offset(cluster))).ok()?;
            clusters += 1;
            if slots.iter().any(|bytes| bytes[0] == slot::END) {
                break;
            }
        }
        (clusters > 0).then(|| Chain { runs: Arc::new(runs), clusters, damage: None })
    }

    fn cluster(&self, cluster: u32) -> Option<Vec<u8>> {
        let size = usize::try_from(self.fat.geometry.cluster_size).ok()?;
        read_vec(&**self.fat.pages.volume(), self.fat.geometry.cluster_offset(cluster), size).ok()
    }

    /// True when the first slot is the `.` of the directory that begins at cluster `first`, and `..` follows.
    fn begins(&self, first: u32, slots: &[[u8; slot::SIZE as usize]]) -> bool {
        let entry = |at: usize, rest: &[u8; 10]| {
            let short = ShortEntry::read_from_bytes(slots.get(at)?).ok()?;
            let named = matches!(short.name[0], b'.' | slot::DELETED) && short.name[1..] == *rest;
            (named && short.attr & attr::DIRECTORY != 0).then_some(short)
        };
        entry(0, b"          ").is_some_and(|dot| self.fat.first_cluster(&dot) == first)
            && entry(1, b".         ").is_some()
    }

    /// True for what may be in a directory after its beginning.
    fn could_be(&self, bytes: &[u8; slot::SIZE as usize]) -> bool {
        let short = ShortEntry::read_from_bytes(bytes).expect("as long as a slot");
        match bytes[0] {
            slot::END => bytes.iter().all(|byte| *byte == 0),
            _ if short.attr & attr::LONG_NAME_MASK == attr::LONG_NAME => short.fst_clus_lo.get() == 0,
            b'.' => false,
            _ => self.is_plausible(&short) && short.attr & !0x3f == 0,
        }
    }
}

/// Of `clusters` clusters from `first` on, without a gap, those for which the disk stores nothing.
pub(super) fn unstored(fat: &Fat, first: u64, clusters: u64) -> Result<u64> {
    let size = u64::from(fat.geometry.cluster_size);
    let first = u32::try_from(first).expect("FAT has fewer clusters");
    let (mut at, mut holes) = (fat.geometry.cluster_offset(first), 0);
    let end = at + clusters * size;
    for _ in 0..MAX_EXTENTS {
        if at >= end {
            break;
        }
        let extent = fat.pages.volume().extent_at(at)?;
        let take = extent.len.min(end - at);
        if take == 0 {
            break;
        }
        if extent.kind == ExtentKind::Hole {
            holes += take;
        }
        at += take;
    }
    Ok(holes / size)
}
