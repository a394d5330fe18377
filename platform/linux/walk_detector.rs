//! Recognizes a program that lists directories and then reads their files (`tar`, `cp -r`, `grep -r`), and predicts which
//! files it reads next, so that [`Prefill`](super::prefill::Prefill) can store them in the page cache.
//!
//! The kernel sends no request for reads from its cache. So now and then a directory is not stored, as a sample of
//! whether the program still reads, and in a large directory a file is skipped: a READ of it continues the storing.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

/// The largest file that is stored, in bytes. The kernel reads larger ones in large requests anyway.
pub(super) const MAX_FILE: u64 = 256 << 10;

/// Most files stored in one go, while the reader waits.
const MAX_FILES: usize = 32;
const MAX_BYTES: u64 = 1 << 20;

/// Sibling directories prepared ahead of the one that is listed. With 2 a cold `tar` is as fast as with 24.
const AHEAD: usize = 4;

/// Directories kept in memory: the path down to the program's position, and as many that it has left.
const MAX_DIRECTORIES: usize = 32;

/// Entries kept in all these directories together: 16 bytes each here, and about 48 in the map.
const MAX_REMEMBERED: usize = 32 << 10;

/// Directories that must have been read after their listing before anything is stored, and the most that are counted, so
/// that storing stops soon after the program does.
const ENOUGH: u8 = 4;
const MAX_TRUST: u8 = 8;

/// Directories stored per sample directory, and how many directories an unread sample takes from the count.
const BETWEEN_SAMPLES: u32 = 16;
const SAMPLE_WEIGHT: u8 = 4;

/// A file as its directory lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    pub(super) node: u64,
    /// Size in bytes.
    pub(super) size: u64,
}

/// The entries of a listing, in its order, without empty files.
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

/// The reaction to a program's progress.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files that the program reads next, to be stored now.
    pub(super) store: Vec<File>,
    /// What to read ahead after these.
    pub(super) prepare: Prepare,
}

/// Files and directories to be read ahead and stored later.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prepare {
    pub(super) files: Vec<File>,
    /// Directories whose [`first_batch`] will be stored when they are listed.
    pub(super) directories: Vec<u64>,
}

/// A recently listed directory.
#[derive(Debug, Default)]
struct Directory {
    node: u64,
    /// The sequence number of its listing.
    number: u64,
    /// The sequence number of the latest listing of it or of one of its subdirectories.
    used: u64,
    entries: Entries,
    /// Index into its files: those before it were stored, or read.
    next: usize,
    /// The index of a file before `next` that was skipped: a READ of it triggers the next batch.
    mark: Option<usize>,
    /// Index into its subdirectories: those before it were prepared, or listed.
    prepared: usize,
    is_read: bool,
    is_stored: bool,
    is_sample: bool,
}

/// The directory and the index of an entry.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// [`Directory::number`].
    directory: u64,
    index: usize,
}

/// Recent listings, and how many of them were followed by reads.
#[derive(Debug, Default)]
pub(super) struct WalkDetector {
    directories: Vec<Directory>,
    listings: u64,
    /// Files not yet read and directories not yet listed, by node.
    places: HashMap<u64, Place>,
    trust: u8,
    until_sample: u32,
}

impl WalkDetector {
    /// Notes that a listing begins, or continues.
    pub(super) fn listed(&mut self, node: u64, from_start: bool, entries: &Entries) -> Prepare {
        let prepare = if from_start { self.begun(node) } else { Prepare::default() };
        // Counts the entries, not the map: a crafted directory may list one file any number of times.
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

    /// The directories to prepare as the listing of this one begins: its next siblings.
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

    /// Notes that a listing has reached its end.
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

    /// Notes that a file is read from its start.
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
    /// The files from `next` on that form one batch.
    fn batch(&self) -> &[File] {
        let rest = &self.entries.files[self.next..];
        let mut bytes = 0;
        let fits = |file: &&File| {
            bytes += if file.is_small() { file.size } else { 0 };
            bytes <= MAX_BYTES
        };
        &rest[..rest.iter().take(MAX_FILES).take_while(fits).count()]
    }

    /// Takes the next files to store, and those after them to prepare.
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

    /// The directories from `index` on that are due to be prepared and were not yet.
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

/// Number of non-empty files from a directory's start that [`first_batch`] considers.
pub(super) const FIRST: usize = MAX_FILES + 1;

/// The files of a directory that are stored when its listing ends.
pub(super) fn first_batch(files: Vec<File>) -> Vec<File> {
    let entries = Entries { files, directories: Vec::new() };
    Directory { entries, ..Directory::default() }.take().store
}
