//! The directory walk that finds deleted files. A deleted directory is entered if its first cluster is still free and begins
//! with its own `.` entry; it continues in the next cluster as long as that is free, too, and contains valid slots. If
//! several entries name one deleted directory, its `..` decides; directories without any entry are found by reading the
//! start of every free cluster.

use std::{collections::HashSet, ops::ControlFlow, sync::Arc};

use zerocopy::FromBytes;

use super::{
    super::{
        Fat,
        chain::Chain,
        directory::{MAX_DIRECTORY_SIZE, Slot, Slots},
        format::{LongEntry, ShortEntry, attr, slot},
        name::{self, Assembler, MAX_PIECES, is_legal, push_short},
        starts::START,
    },
    DeletedEntry, Directory, Index,
};
use crate::{
    Result,
    bytes::{ExtentKind, MemorySource, read_vec},
    fs::{deleted::FreeClusters, runs::RunList},
};

/// Memory budget for names and entries: half a million deleted files with names of usual length.
const MEMORY_BUDGET: usize = 64 << 20;
/// Maximum number of deleted directories without an entry; each takes a cluster.
const MAX_ORPHANS: usize = 1 << 20;
/// Maximum number of extent queries for one file.
const MAX_EXTENTS: usize = 1 << 14;

/// A directory to walk.
struct Pending {
    place: usize,
    /// First cluster; `None`: the root.
    first: Option<u32>,
    /// The directory is deleted, and so is everything in it.
    deleted: bool,
}

struct Walk<'a> {
    fat: &'a Fat,
    index: Index,
    pending: Vec<Pending>,
    /// First clusters of the directories that are queued or walked.
    seen: HashSet<u32>,
    /// Deleted directories whose `..` does not lead to the directory of the entry: first cluster and index. The entry gets
    /// them if no better one is found.
    doubtful: Vec<(u32, usize)>,
    /// Number of slots that may still be read: hostile directories could share their clusters.
    slots: u64,
    memory: usize,
}

/// Finds all deleted files.
pub(super) fn walk(fat: &Fat) -> Index {
    let root = Directory { name: Box::default(), parent: 0, known: true };
    let (free, incomplete) = free_clusters(fat);
    let index = Index { files: Vec::new(), directories: vec![root], free, incomplete };
    let slots = fat.geometry.size / u64::from(slot::SIZE);
    let (pending, seen) = (vec![Pending { place: 0, first: None, deleted: false }], HashSet::new());
    let mut walk = Walk { fat, index, pending, seen, doubtful: Vec::new(), slots, memory: 0 };
    let mut orphans: Option<std::vec::IntoIter<u32>> = None;
    while let Some(next) = walk.next(&mut orphans) {
        if let Err(error) = walk.directory(&next) {
            log::warn!("looking for deleted files in a damaged FAT directory: {error}");
        }
        if walk.slots == 0 || walk.memory > MEMORY_BUDGET {
            walk.index.incomplete = Some("more deleted files than the memory for their list holds".into());
            break;
        }
    }
    let mut index = walk.index;
    index.files.sort_unstable_by_key(|lost| lost.node);
    // Hostile chains may share clusters.
    index.files.dedup_by_key(|lost| lost.node);
    index
}

/// The free clusters as a bitmap of at most 32 MiB; cluster numbers start at 2. If the table cannot be read, the rest counts
/// as used, and the reason is returned.
fn free_clusters(fat: &Fat) -> (FreeClusters, Option<String>) {
    let end = u64::from(fat.geometry.clusters) + 2;
    let mut used = vec![0xff_u8; usize::try_from(end.div_ceil(8)).expect("at most 32 MiB")];
    let scanned = fat.chains.table().scan_free(&**fat.pages.volume(), &mut |range| {
        for cluster in range {
            let at = usize::try_from(cluster / 8).expect("below the length");
            used[at] &= !(1 << (cluster % 8));
        }
        ControlFlow::Continue(())
    });
    let incomplete = scanned.err().map(|error| format!("the table cannot be read whole: {error}"));
    (FreeClusters::new(Arc::new(MemorySource(used)), end), incomplete)
}

impl Walk<'_> {
    /// The next directory to walk: first those that an entry matches, then the doubtful ones, then those without an entry.
    fn next(&mut self, orphans: &mut Option<std::vec::IntoIter<u32>>) -> Option<Pending> {
        if let Some(next) = self.pending.pop() {
            return Some(next);
        }
        while let Some((first, place)) = self.doubtful.pop() {
            if self.seen.insert(first) {
                return Some(Pending { place, first: Some(first), deleted: true });
            }
        }
        let orphans = orphans.get_or_insert_with(|| self.orphans().into_iter());
        let first = orphans.find(|first| self.seen.insert(*first))?;
        let (name, parent) = (Box::default(), 0);
        self.memory += size_of::<Directory>() + size_of::<Pending>();
        self.index.directories.push(Directory { name, parent, known: false });
        Some(Pending { place: self.index.directories.len() - 1, first: Some(first), deleted: true })
    }

    /// First clusters of deleted directories without an entry; those that are in no other of them come first.
    fn orphans(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let listed = self.index.free.each_from(2, &mut |range| {
            let number = |cluster: u64| u32::try_from(cluster).expect("FAT has fewer clusters");
            self.fat.each_start(number(range.start)..number(range.end), &mut |first, bytes| {
                if found.len() < MAX_ORPHANS && !self.seen.contains(&first) {
                    found.extend(self.fat.way_back(first, bytes, true).map(|up| (first, up)));
                }
            });
            if found.len() < MAX_ORPHANS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(error) = listed {
            log::warn!("looking for deleted FAT directories: {error}");
        }
        let all: HashSet<u32> = found.iter().map(|(first, _)| *first).collect();
        found.sort_by_key(|(first, up)| (first != up && all.contains(up), *first));
        found.into_iter().map(|(first, _)| first).collect()
    }

    /// The first cluster that `..` of the deleted directory at `first` names; `None` if no directory begins there.
    fn parent_of(&self, first: u32) -> Option<u32> {
        if !self.fat.geometry.is_data_cluster(first) {
            return None;
        }
        let position = self.fat.geometry.cluster_offset(first);
        let bytes = read_vec(&**self.fat.pages.volume(), position, START).ok()?;
        self.fat.way_back(first, &bytes, true)
    }

    /// Adds a file of which only the long name is left: another file uses its short slot now.
    fn name_alone(&mut self, from: &Pending, position: u64, pieces: &[LongEntry]) {
        let sum = pieces.last().map(|piece| piece.chksum);
        let name = name::of_pieces(pieces, sum);
        if name.is_empty()
            || name.len() > name::MAX_LONG_NAME
            || pieces.iter().any(|piece| Some(piece.chksum) != sum)
        {
            return;
        }
        let short = ShortEntry::read_from_bytes(&[0; slot::SIZE as usize]).expect("as long as a slot");
        self.memory += size_of::<DeletedEntry>() + 2 * name.len();
        let node = position / u64::from(slot::SIZE);
        self.index.files.push(DeletedEntry {
            node,
            short,
            name: name.into(),
            directory: from.place,
            name_alone: true,
        });
    }

    fn directory(&mut self, from: &Pending) -> Result<()> {
        let fat = self.fat;
        // Decoded only now, as chains may be long, and many may be pending.
        let chain = match from.first {
            None => fat.root_directory()?,
            Some(first) if from.deleted => Arc::new(self.deleted_directory(first).unwrap_or_default()),
            Some(first) => fat.directory_at(first)?,
        };
        self.slots = self.slots.saturating_sub(chain.clusters.into());
        let mut slots = Slots::new(&chain, &fat.pages, 0);
        let (mut long, mut name) = (Assembler::new(), Vec::new());
        let mut pieces: Vec<LongEntry> = Vec::new();
        let mut pieces_end = 0;
        // Live slots of a long name: some systems mark only the short slot as deleted.
        let mut live: Vec<LongEntry> = Vec::new();
        let mut dots: u32 = if from.place == 0 { 0 } else { 2 };
        while self.slots > 0
            && self.memory <= MEMORY_BUDGET
            && let Some((slot, position)) = slots.next()?
        {
            self.slots -= 1;
            if !matches!(slot, Slot::Deleted(_)) && !pieces.is_empty() {
                self.name_alone(from, pieces_end, &pieces);
            }
            match slot {
                Slot::Deleted(bytes) => {
                    long.clear();
                    let short = ShortEntry::read_from_bytes(&bytes).expect("as long as a slot");
                    if short.attr & attr::LONG_NAME_MASK == attr::LONG_NAME {
                        pieces.push(LongEntry::read_from_bytes(&bytes).expect("as long as a slot"));
                        // No name has more pieces; an endless sequence of them must not be kept.
                        pieces.drain(..pieces.len().saturating_sub(MAX_PIECES));
                        pieces_end = position;
                        continue;
                    }
                    // `.` and `..` of a directory that was emptied.
                    let is_dot = dots > 0 && matches!(&short.name[1..], b"          " | b".         ");
                    if !is_dot && self.is_plausible(&short) {
                        let pieces = if pieces.is_empty() { &live } else { &pieces };
                        self.lost(from, position, short, name::deleted(&short, pieces, &fat.decoder));
                    }
                }
                Slot::Long(piece) => {
                    long.add(&piece);
                    live.push(piece);
                    live.drain(..live.len().saturating_sub(MAX_PIECES));
                    pieces.clear();
                    dots = dots.saturating_sub(1);
                    continue;
                }
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
            live.clear();
            dots = dots.saturating_sub(1);
        }
        Ok(())
    }

    /// Queues a directory in use: it may contain deleted files.
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
            let place = self.place(from, &name);
            match self.parent_of(first) == Some(from.first.unwrap_or(0)) {
                true => {
                    self.seen.insert(first);
                    self.pending.push(Pending { place, first: Some(first), deleted: true });
                }
                false => self.doubtful.push((first, place)),
            }
        }
        self.memory += size_of::<DeletedEntry>() + 2 * name.len();
        let node = position / u64::from(slot::SIZE);
        self.index.files.push(DeletedEntry {
            node,
            short,
            name: name.into(),
            directory: from.place,
            name_alone: false,
        });
    }

    fn place(&mut self, from: &Pending, name: &[u16]) -> usize {
        self.memory += size_of::<Directory>() + size_of::<Pending>() + 2 * name.len();
        self.index.directories.push(Directory { name: name.into(), parent: from.place, known: true });
        self.index.directories.len() - 1
    }

    /// True if a deleted slot, which may hold anything, can have been a valid entry.
    fn is_plausible(&self, short: &ShortEntry) -> bool {
        let first = self.fat.first_cluster(short);
        short.attr & (attr::VOLUME_ID | 0xc0) == 0
            && short.name[1..].iter().all(|byte| is_legal(*byte))
            && u64::from(short.file_size.get()) <= self.fat.geometry.size
            && (first == 0 || self.fat.geometry.is_data_cluster(first))
    }

    /// The clusters of a deleted directory, as far as they are free and look like one.
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
                0 => fat.way_back(first, &bytes, true).is_some(),
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
        (clusters > 0).then(|| Chain { runs: Arc::new(runs), clusters, damage: None, cluster_size: 0 })
    }

    fn cluster(&self, cluster: u32) -> Option<Vec<u8>> {
        let size = usize::try_from(self.fat.geometry.cluster_size).ok()?;
        read_vec(&**self.fat.pages.volume(), self.fat.geometry.cluster_offset(cluster), size).ok()
    }

    /// True for a slot that is valid after the first two of a directory.
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

/// Of the `clusters` contiguous clusters from `first` on, the number that the disk image does not store.
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
