//! The search for orphans: one pass over the table collects facts about every record in use, a second one over all
//! directories collects their entries. Guards: memory is 8 bytes per stored record and 32 per directory; index blocks are
//! read up to the volume's size, however many directories claim them.

use std::collections::BTreeMap;

use crate::fs::{
    DirCursor,
    ntfs::{
        Ntfs,
        attributes::{
            I30, code,
            file_name::{MAX_NAME, Namespace},
            reference::FileReference,
        },
        directory::Directory,
        nodes::home::{self, Home, name_of},
        records::{
            Header,
            each::{Layout, Slot, each_record},
            file::File,
            number,
        },
    },
};

/// Number of records whose facts are allocated together: the smallest stored part of a table has several.
const CHUNK: u64 = CHUNK_LEN as u64;
const CHUNK_LEN: usize = 64;

/// Facts about a record.
#[derive(Debug, Clone, Copy, Default)]
struct Fact {
    sequence: u16,
    used: bool,
    /// A directory lists the record.
    listed: bool,
    /// For a directory its [`Home::name`].
    home: u32,
}

/// A directory in use.
#[derive(Debug, Clone, Copy)]
struct Folder {
    number: u64,
    parent: FileReference,
    way: Way,
}

/// Reachability of a directory from the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Unknown,
    /// In the current search path: a second visit is a cycle.
    Asked,
    Leads,
    Missing,
    /// Unreachable, and the first directory of a cycle of parents.
    Circle,
}

/// All orphans.
#[derive(Debug, Default)]
pub(in super::super) struct Index {
    /// Records that are in no other orphan, ascending.
    pub(super) tops: Vec<u64>,
    /// Orphaned directories, with records that only name them as their parent; ascending.
    pub(super) adopted: Vec<(u64, u64)>,
    /// The reason why the result may have too many or too few orphans.
    pub(super) incomplete: Option<&'static str>,
}

struct Scan<'a> {
    ntfs: &'a Ntfs,
    facts: BTreeMap<u64, Box<[Fact; CHUNK_LEN]>>,
    folders: Vec<Folder>,
}

/// Scans the whole table.
pub(super) fn scan(ntfs: &Ntfs) -> Index {
    let mut scan = Scan { ntfs, facts: BTreeMap::new(), folders: Vec::new() };
    each_record(&ntfs.mft, &Layout::of(&ntfs.mft), &mut |number, slot| {
        if let Slot::InUse(header, bytes) = slot {
            scan.note(number, &header, bytes);
        }
    });
    let mut index = Index::default();
    if !scan.listings() {
        index.incomplete =
            Some("its directories claim more index blocks than the volume has: not all were read");
    }
    scan.ways();
    scan.collect(&mut index);
    index
}

impl Scan<'_> {
    fn fact(&mut self, number: u64) -> &mut Fact {
        let within = usize::try_from(number % CHUNK).expect("below 64");
        &mut self.facts.entry(number / CHUNK).or_insert_with(|| Box::new([Fact::default(); CHUNK_LEN]))
            [within]
    }

    fn known(&self, number: u64) -> Option<&Fact> {
        let within = usize::try_from(number % CHUNK).expect("below 64");
        self.facts.get(&(number / CHUNK)).map(|chunk| &chunk[within]).filter(|fact| fact.used)
    }

    /// Collects the facts about a record in use. Extension records belong to their base, which has the names.
    fn note(&mut self, number: u64, header: &Header, bytes: &[u8]) {
        if header.base.0 != 0 {
            return;
        }
        let has_index = header.directory
            || header
                .attributes(bytes)
                .flatten()
                .any(|attribute| attribute.type_code == code::INDEX_ROOT && attribute.is_named(I30));
        let mut home = None;
        if has_index && let Ok(file) = self.ntfs.file(number) {
            home = Home::of(&file).ok().flatten();
            let parent = home.map_or(FileReference(u64::MAX), |home| home.parent);
            self.folders.push(Folder { number, parent, way: Way::Unknown });
        }
        let sequence = header.sequence_number;
        let home = home.map_or(0, |home| home.name);
        *self.fact(number) = Fact { sequence, used: true, listed: false, home };
    }

    /// Collects the readable entries of every directory. False if the limit of index blocks was reached.
    fn listings(&mut self) -> bool {
        let mut left = self.ntfs.mft.volume.size();
        for at in 0..self.folders.len() {
            let Folder { number, .. } = self.folders[at];
            let opened = self.ntfs.file(number).and_then(|file| Directory::open(&file, self.ntfs));
            let Ok(directory) = opened else { continue };
            match left.checked_sub(directory.allocated()) {
                Some(rest) => left = rest,
                None => return false,
            }
            // Entries after damage are read as in any listing; a damaged part lists nothing.
            let _ = directory.walk(self.ntfs, DirCursor(0), &mut |entry, _| {
                let name = entry.file_name()?;
                let (mut buf, reference) = ([0; MAX_NAME], entry.file_reference);
                let dos = name.namespace() == Namespace::Dos;
                self.listed(&directory, reference, name.name(&mut buf), dos);
                Ok(std::ops::ControlFlow::Continue(()))
            });
        }
        true
    }

    /// Marks the target of a directory entry as listed, unless the reference is outdated or the entry does not lead into the
    /// directory.
    fn listed(&mut self, directory: &Directory, reference: FileReference, name: &[u16], dos: bool) {
        let number = reference.record();
        let Some(fact) = self.known(number).copied() else { return };
        let is_folder = || self.folders.binary_search_by_key(&number, |folder| folder.number);
        let leads = [0, fact.sequence].contains(&reference.sequence())
            && match is_folder() {
                Err(_) => true,
                Ok(at) => {
                    let parent = self.folders[at].parent;
                    parent.record() == directory.record
                        && [0, directory.sequence].contains(&parent.sequence())
                        && number != directory.record
                        && !dos
                        && fact.home == home::hash(name)
                }
            };
        if leads {
            self.fact(number).listed = true;
        }
    }

    /// Index of the directory in use that a reference refers to.
    fn folder(&self, reference: FileReference) -> Option<usize> {
        let number = reference.record();
        let fact = self.known(number)?;
        let answers = [0, fact.sequence].contains(&reference.sequence());
        answers.then(|| self.folders.binary_search_by_key(&number, |folder| folder.number).ok()).flatten()
    }

    /// Determines the reachability of each directory; each is visited once.
    fn ways(&mut self) {
        let mut path = Vec::new();
        for start in 0..self.folders.len() {
            let mut at = Some(start);
            let mut way = Way::Missing;
            while let Some(here) = at {
                let Folder { number, parent, way: known } = self.folders[here];
                match known {
                    Way::Unknown if number == number::ROOT => way = Way::Leads,
                    Way::Unknown => {
                        self.folders[here].way = Way::Asked;
                        path.push(here);
                        at = self.folder(parent);
                        continue;
                    }
                    Way::Asked => {
                        let turn = path.iter().rposition(|of| *of == here).unwrap_or(0);
                        if let Some(first) = path[turn..].iter().min() {
                            self.folders[*first].way = Way::Circle;
                        }
                    }
                    Way::Leads => way = Way::Leads,
                    Way::Missing | Way::Circle => {}
                }
                if number == number::ROOT {
                    self.folders[here].way = way;
                }
                break;
            }
            // From the top down: directories below an unlisted one are unreachable.
            for here in path.drain(..).rev() {
                let Folder { number, way: known, .. } = self.folders[here];
                if way == Way::Leads && !self.known(number).is_some_and(|fact| fact.listed) {
                    way = Way::Missing;
                }
                if known != Way::Circle {
                    self.folders[here].way = way;
                }
            }
        }
    }

    fn collect(&self, index: &mut Index) {
        let shows_system = self.ntfs.options.show_system;
        let first = if shows_system { 0 } else { number::FIRST_USER };
        let facts = self.facts.iter().flat_map(|(chunk, facts)| (chunk * CHUNK..).zip(&facts[..]));
        for (number, fact) in facts.filter(|(number, fact)| fact.used && *number >= first) {
            let folder = self.folders.binary_search_by_key(&number, |folder| folder.number).ok();
            let folder = folder.map(|at| self.folders[at]);
            let lost = match folder {
                Some(Folder { way, .. }) => way != Way::Leads && number != number::ROOT,
                None => !fact.listed,
            };
            if !lost {
                continue;
            }
            let parent = match folder {
                Some(Folder { way: Way::Circle, .. }) => None,
                Some(folder) => self.folder(folder.parent),
                None => self.parent_of(number),
            };
            // A reachable directory shows its children itself; a child that it does not list is an orphan like any other.
            match parent.map(|at| self.folders[at]).filter(|parent| parent.way != Way::Leads) {
                Some(parent) if parent.number != number::ROOT => {
                    if !fact.listed {
                        index.adopted.push((parent.number, number));
                    }
                }
                _ => index.tops.push(number),
            }
        }
        index.adopted.sort_unstable();
        index.tops.shrink_to_fit();
        index.adopted.shrink_to_fit();
    }

    fn parent_of(&self, number: u64) -> Option<usize> {
        let file = File::open(&self.ntfs.mft, number).ok()?;
        let (_, parent) = name_of(&file).ok()??;
        self.folder(parent)
    }
}
