//! Recognizes a program that lists directories and then reads what they have (`tar`, `cp -r`, `grep -r`), and says which
//! files it is about to read, so that [`Prefill`](super::prefill::Prefill) can put them where the kernel finds them.
//!
//! The kernel does not tell of reading what it has in its cache. So now and then a directory is left alone, as a sample of
//! whether anybody still reads, and within a large one a file: a READ of it is the sign to go on.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

/// The largest file that is worth it. Of a larger one the kernel asks for much at a time.
pub(super) const MAX_FILE: u64 = 256 << 10;

/// What is stored at once: the reader waits for it.
const MAX_FILES: usize = 32;
const MAX_BYTES: u64 = 1 << 20;

/// Directories of the same parent that are prepared ahead of the one that is listed. With 2 a cold `tar` is as fast as
/// with 24.
const AHEAD: usize = 4;

/// Directories remembered: the way down to where the program is, and as many that it has left.
const MAX_DIRECTORIES: usize = 32;

/// What they list, together: 16 bytes each here, and about 48 in the map.
const MAX_REMEMBERED: usize = 32 << 10;

/// Directories that must have been read after they were listed before anything is stored, and the most that count, so
/// that it ends soon after the program does.
const ENOUGH: u8 = 4;
const MAX_TRUST: u8 = 8;

/// Directories stored for each one that is a sample; a sample that nobody reads counts as so many others.
const BETWEEN_SAMPLES: u32 = 16;
const SAMPLE_WEIGHT: u8 = 4;

/// A file as it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    pub(super) node: u64,
    /// In bytes.
    pub(super) size: u64,
}

/// What a listing has, in its order. Empty files are of no interest.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) files: Vec<File>,
    pub(super) directories: Vec<u64>,
}

impl Entries {
    fn len(&self) -> usize {
        self.files.len() + self.directories.len()
    }
}

/// What to do when a program has come to a place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files that it reads next.
    pub(super) store: Vec<File>,
    /// What comes after these.
    pub(super) prepare: Prepare,
}

/// What is to be read ahead, to be stored later.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prepare {
    pub(super) files: Vec<File>,
    /// Their [`first_batch`] will be stored when they are listed.
    pub(super) directories: Vec<u64>,
}

/// A directory that was listed lately.
#[derive(Debug, Default)]
struct Directory {
    node: u64,
    /// The number of its listing, counted from the beginning.
    number: u64,
    /// The latest listing of it or of one of its directories.
    used: u64,
    entries: Entries,
    /// Files before this index were stored, or read.
    next: usize,
    /// A file before `next` that was left out: reading it asks for more.
    mark: Option<usize>,
    /// Directories before this index were prepared, or listed.
    prepared: usize,
    is_read: bool,
    is_stored: bool,
    is_sample: bool,
}

/// Where something is listed.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// [`Directory::number`].
    directory: u64,
    index: usize,
}

/// What was listed lately, and whether such is read.
#[derive(Debug, Default)]
pub(super) struct WalkDetector {
    directories: Vec<Directory>,
    listings: u64,
    /// The files not yet read and the directories not yet listed, by node.
    places: HashMap<u64, Place>,
    trust: u8,
    until_sample: u32,
}

impl WalkDetector {
    /// A listing begins, or goes on.
    pub(super) fn listed(&mut self, node: u64, from_start: bool, entries: &Entries) -> Prepare {
        let prepare = if from_start { self.begun(node) } else { Prepare::default() };
        // Not the map's: a crafted directory may list one file as often as it likes.
        let known: usize = self.directories.iter().map(|directory| directory.entries.len()).sum();
        let mut room = MAX_REMEMBERED.saturating_sub(known);
        let Some(directory) = self.directories.iter_mut().rfind(|directory| directory.node == node) else {
            return prepare;
        };
        for file in entries.files.iter().filter(|file| file.size > 0).take(room) {
            let index = directory.entries.files.len();
            self.places.insert(file.node, Place { directory: directory.number, index });
            directory.entries.files.push(*file);
            room -= 1;
        }
        for node in entries.directories.iter().take(room) {
            let index = directory.entries.directories.len();
            self.places.insert(*node, Place { directory: directory.number, index });
            directory.entries.directories.push(*node);
        }
        prepare
    }

    fn begun(&mut self, node: u64) -> Prepare {
        self.listings += 1;
        let number = self.listings;
        let prepare = self.passed(node);
        if self.directories.len() >= MAX_DIRECTORIES {
            self.drop_oldest();
        }
        self.directories.push(Directory { node, number, used: number, ..Directory::default() });
        prepare
    }

    /// What to prepare as the listing of a directory begins: those that follow it.
    fn passed(&mut self, node: u64) -> Prepare {
        let Some(place) = self.places.remove(&node) else { return Prepare::default() };
        let parent = self.directories.iter_mut().find(|parent| parent.number == place.directory);
        let Some(parent) = parent else { return Prepare::default() };
        parent.used = self.listings;
        if self.trust < ENOUGH {
            return Prepare::default();
        }
        Prepare { files: Vec::new(), directories: parent.ahead(place.index + 1) }
    }

    fn drop_oldest(&mut self) {
        let oldest = (0..self.directories.len()).min_by_key(|index| self.directories[*index].used);
        let Some(oldest) = oldest.map(|index| self.directories.swap_remove(index)) else { return };
        let Entries { files, directories } = &oldest.entries;
        for node in files.iter().map(|file| &file.node).chain(directories) {
            if self.places.get(node).is_some_and(|place| place.directory == oldest.number) {
                self.places.remove(node);
            }
        }
        if !oldest.is_read && !oldest.is_stored && !files.is_empty() {
            let weight = if oldest.is_sample { SAMPLE_WEIGHT } else { 1 };
            self.trust = self.trust.saturating_sub(weight);
        }
    }

    /// A listing has come to its end.
    pub(super) fn ended(&mut self, node: u64) -> Plan {
        let Some(directory) = self.directories.iter_mut().rfind(|directory| directory.node == node) else {
            return Plan::default();
        };
        if self.trust < ENOUGH || directory.next > 0 {
            return Plan::default();
        }
        if !directory.entries.files.is_empty() {
            directory.is_sample = self.until_sample == 0;
            if directory.is_sample {
                self.until_sample = BETWEEN_SAMPLES;
                return Plan::default();
            }
            self.until_sample -= 1;
        }
        let mut plan = directory.take();
        plan.prepare.directories = directory.ahead(0);
        plan
    }

    /// A file is read from its start.
    pub(super) fn read(&mut self, node: u64) -> Plan {
        let Some(place) = self.places.remove(&node) else { return Plan::default() };
        let directory = self.directories.iter_mut().find(|one| one.number == place.directory);
        let Some(directory) = directory else { return Plan::default() };
        if !directory.is_read {
            directory.is_read = true;
            self.trust = (self.trust + 1).min(MAX_TRUST);
        }
        let is_in_order = place.index == directory.next || directory.mark == Some(place.index);
        directory.next = directory.next.max(place.index + 1);
        if !is_in_order || directory.is_sample || self.trust < ENOUGH {
            return Plan::default();
        }
        directory.take()
    }
}

impl Directory {
    /// The files from `next` on that are dealt with at once.
    fn batch(&self) -> &[File] {
        let rest = &self.entries.files[self.next..];
        let mut bytes = 0;
        let fits = |file: &&File| {
            bytes += if file.is_small() { file.size } else { 0 };
            bytes <= MAX_BYTES
        };
        &rest[..rest.iter().take(MAX_FILES).take_while(fits).count()]
    }

    /// The next files to store, and those after them to prepare.
    fn take(&mut self) -> Plan {
        let mut store = self.batch().to_vec();
        let middle = store.len() / 2;
        self.mark = None;
        if store.len() < self.entries.files.len() - self.next && store.len() > 1 {
            self.mark = Some(self.next + middle);
        }
        self.next += store.len();
        if self.mark.is_some() {
            store.remove(middle);
        }
        store.retain(File::is_small);
        self.is_stored |= !store.is_empty();
        let mut files = self.batch().to_vec();
        files.retain(File::is_small);
        Plan { store, prepare: Prepare { files, directories: Vec::new() } }
    }

    /// The directories from `index` on that are to be prepared by now and were not.
    fn ahead(&mut self, index: usize) -> Vec<u64> {
        let end = (index + AHEAD).min(self.entries.directories.len());
        let start = self.prepared.max(index).min(end);
        self.prepared = end;
        self.entries.directories[start..end].to_vec()
    }
}

impl File {
    fn is_small(&self) -> bool {
        self.size <= MAX_FILE
    }
}

/// Files with content, from a directory's first on, that [`first_batch`] takes into account.
pub(super) const FIRST: usize = MAX_FILES + 1;

/// What is stored of a directory when its listing ends.
pub(super) fn first_batch(files: Vec<File>) -> Vec<File> {
    let entries = Entries { files, directories: Vec::new() };
    Directory { entries, ..Directory::default() }.take().store
}
