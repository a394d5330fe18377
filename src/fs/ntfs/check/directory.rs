//! The check of directories and other indexes: the order of their keys, their blocks, and the target of each entry.

use std::cmp::Ordering;

use super::{
    Check,
    facts::flag,
    tree::{Event, Tree},
};
use crate::{
    Result,
    check::Severity,
    fs::{
        Name,
        findings::Kind,
        ntfs::{
            attributes::{
                I30, code,
                file_name::{FileName, MAX_NAME},
                reference::FileReference,
            },
            index::IndexEntry,
            records::file::File,
        },
    },
};

const INDEX: Kind = Kind {
    severity: Severity::Error,
    name: "damaged directories",
    meaning: "Names in that part of the directory are not listed, though what they name may be sound: `ls --orphans` lists it. \
              chkdsk /f rebuilds the directory from the records.",
};
const VIEW: Kind = Kind {
    severity: Severity::Warning,
    name: "damaged indexes",
    meaning: "Files and their content are not affected; what the index states of them (security, object ids, quotas, \
              links) may be missing. chkdsk /f rebuilds it.",
};
const ORDER: Kind = Kind {
    severity: Severity::Error,
    name: "directory entries out of order",
    meaning: "Names there are listed, but may not be found when they are asked for. chkdsk /f rebuilds the directory.",
};
const DUPLICATE: Kind = Kind {
    severity: Severity::Error,
    name: "names that occur twice in a directory",
    meaning: "Only one of them can be reached by this name. chkdsk /f repairs the directory.",
};
const DANGLING: Kind = Kind {
    severity: Severity::Error,
    name: "directory entries without an MFT record",
    meaning: "The name is listed, but what it names is lost: it was deleted, or never written. Restore it from a backup.",
};
const STALE: Kind = Kind {
    severity: Severity::Error,
    name: "directory entries that lead to another file",
    meaning: "What had this name is lost, its record was given to another file or directory, which is not shown in its place. \
              Restore it from a backup.",
};
const PARENT: Kind = Kind {
    severity: Severity::Warning,
    name: "directory entries of another directory",
    meaning: "What it names is found and read; the entry may have been written to the wrong directory.",
};
const UNMARKED: Kind = Kind {
    severity: Severity::Error,
    name: "index blocks marked as free",
    meaning: "Names in them are found, but not listed, and the next name that Windows adds may overwrite them. chkdsk \
              /f repairs the directory.",
};
const STRAY: Kind = Kind {
    severity: Severity::Warning,
    name: "index blocks without a way to them",
    meaning: "Names in them are listed, but not found when they are asked for. chkdsk /f repairs the directory.",
};

const OUTDATED: Kind = Kind {
    severity: Severity::Note,
    name: "sizes in directories that are not those of the files",
    meaning: "Listings of Windows show that size until the file is opened there again; here the size and the content are those of the \
              file's own record. Nothing is lost.",
};

/// Collation rules of view indexes whose keys are sequences of 32-bit numbers.
const COLLATION_ULONG: u32 = 0x10;
const COLLATION_ULONGS: u32 = 0x13;

impl Check<'_, '_> {
    /// Checks the name index of a directory.
    pub(super) fn directory(&mut self, number: u64) {
        // Damage of the record is reported with the record, and makes the targets of its entries uncertain.
        if self.window.get(number).is_some_and(|facts| facts.has(flag::DAMAGED)) {
            return self.index_damaged(number);
        }
        let opened = File::open(&self.ntfs.mft, number)
            .and_then(|file| Ok((file.base.header.sequence_number, self.open_tree(&file, I30)?)));
        let (sequence, tree) = match opened {
            Err(error) => {
                self.report_of(&INDEX, number, || error.to_string());
                return self.index_damaged(number);
            }
            Ok((_, None)) => {
                self.report_of(&INDEX, number, || "a directory without an index".into());
                return self.index_damaged(number);
            }
            Ok((sequence, Some(tree))) => (sequence, tree),
        };
        let own = FileReference(number | u64::from(sequence) << 48);
        let mut previous = Vec::new();
        self.walk(tree, |check, event| match event {
            Event::Entry(entry) => match entry.file_name() {
                Ok(name) => check.entry(own, entry, &name, &mut previous),
                Err(error) => {
                    check.report_of(&INDEX, number, || error.to_string());
                    check.index_damaged(number);
                }
            },
            Event::Damage(error) => {
                check.report_of(&INDEX, number, || error.to_string());
                check.index_damaged(number);
            }
            Event::Unmarked(blocks) => {
                check.report_of(&UNMARKED, number, || format!("{blocks} index blocks"))
            }
            Event::Stray(blocks) => check.report_of(&STRAY, number, || format!("{blocks} index blocks")),
        });
    }

    /// As [`Self::directory`], for a record of another pass: checked only if it is a directory.
    pub(super) fn directory_elsewhere(&mut self, number: u64) {
        let is_directory = self.ntfs.mft.record(number).is_ok_and(|record| {
            let mut attributes = record.attributes().flatten();
            record.header.base.0 == 0
                && (record.header.directory
                    || attributes.any(|found| found.type_code == code::INDEX_ROOT && found.is_named(I30)))
        });
        if is_directory {
            self.directory(number);
        }
    }

    /// Checks the other indexes of a file.
    pub(super) fn views(&mut self, number: u64) {
        let Ok(file) = File::open(&self.ntfs.mft, number) else { return };
        let mut names = Vec::new();
        let _ = file.visit(Some(code::INDEX_ROOT), &mut |attribute| {
            names.push(attribute.name_units());
            Ok(std::ops::ControlFlow::Continue(()))
        });
        for name in names.into_iter().filter(|name| name != I30) {
            let what = Name(&name).to_string();
            let tree = match self.open_tree(&file, &name) {
                Ok(Some(tree)) => tree,
                Ok(None) => continue,
                Err(error) => {
                    self.report_of(&VIEW, number, || format!("index {what}: {error}"));
                    continue;
                }
            };
            let ordered = matches!(tree.collation_rule(), COLLATION_ULONG | COLLATION_ULONGS);
            let mut previous: Vec<u32> = Vec::new();
            self.walk(tree, |check, event| {
                let problem = match event {
                    Event::Entry(entry) => {
                        let key =
                            entry.key.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
                        let before = std::mem::replace(&mut previous, key);
                        if !ordered || before.is_empty() || before < previous {
                            return;
                        }
                        "keys out of order".into()
                    }
                    Event::Damage(error) => error.to_string(),
                    Event::Unmarked(blocks) => format!("{blocks} blocks marked as free"),
                    Event::Stray(blocks) => format!("{blocks} blocks without a way to them"),
                };
                check.report_of(&VIEW, number, || format!("index {what}: {problem}"));
            });
        }
    }

    fn open_tree(&self, file: &File<'_>, name: &[u16]) -> Result<Option<Tree>> {
        Tree::open(file, &self.ntfs.mft.boot, &self.ntfs.mft.volume, name)
    }

    fn walk(&mut self, mut tree: Tree, mut sink: impl FnMut(&mut Self, Event<'_>)) {
        let mut left = self.blocks_left;
        tree.walk(&mut left, &mut |event| sink(self, event));
        self.blocks_left = left;
    }

    fn index_damaged(&mut self, number: u64) {
        if let Some(facts) = self.window.get(number) {
            facts.flags |= flag::INDEX_DAMAGED;
        }
    }

    /// Checks one entry of directory `own`; `previous` is the name before it.
    fn entry(
        &mut self,
        own: FileReference,
        entry: &IndexEntry<'_>,
        name: &FileName<'_>,
        previous: &mut Vec<u16>,
    ) {
        let mut buf = [0; MAX_NAME];
        let units = name.name(&mut buf);
        let directory = own.record();
        if self.first {
            // Names that differ only in case may be in any order.
            match self.ntfs.upcase.compare(previous, units) {
                Ordering::Greater => self.report_of(&ORDER, directory, || {
                    format!("{:?} comes after {:?}", shown(units), shown(previous))
                }),
                Ordering::Equal if previous == units && !units.is_empty() => {
                    self.report_of(&DUPLICATE, directory, || format!("{:?}", shown(units)));
                }
                _ => {}
            }
            previous.clear();
            previous.extend_from_slice(units);
            let parent = name.parent();
            if parent.record() != directory || ![0, own.sequence()].contains(&parent.sequence()) {
                self.report_of(&PARENT, directory, || {
                    format!("{:?} says to lie in MFT record {}", shown(units), parent.record())
                });
            }
        }
        self.follow(directory, entry.file_reference, name, units);
    }

    /// Checks the target of an entry.
    fn follow(&mut self, directory: u64, reference: FileReference, name: &FileName<'_>, units: &[u16]) {
        let number = reference.record();
        let hash = self.window.name_hash(directory, units.iter().copied());
        let dangling = |check: &mut Self, why: &str| {
            if check.findings.counted(&DANGLING) {
                let problem = format!("{} leads to MFT record {number}, {why}", named(name, units));
                let problem = check.with_path(directory, &problem);
                check.findings.report(&DANGLING, format!("MFT record {directory}"), problem);
            }
        };
        if number >= self.ntfs.mft.records() {
            if self.first {
                dangling(self, "which does not exist");
            }
            return;
        }
        let Some(facts) = self.window.get(number) else {
            let hole = !self.window.is_elsewhere(number) && !self.layout.is_lost(number);
            if self.first && hole {
                dangling(self, "which is not in use");
            }
            return;
        };
        if facts.has(flag::DAMAGED) && !facts.has(flag::USED) {
            facts.entries = facts.entries.saturating_add(1);
        } else if !facts.has(flag::USED) {
            dangling(self, "which is not in use");
        } else if facts.has(flag::EXTENSION) {
            dangling(self, "which is a part of another file");
        } else if ![0, facts.sequence].contains(&reference.sequence()) {
            if self.findings.counted(&STALE) {
                let problem = format!("{} led to MFT record {number}", named(name, units));
                let problem = self.with_path(directory, &problem);
                self.findings.report(&STALE, format!("MFT record {directory}"), problem);
            }
        } else {
            facts.entries = facts.entries.saturating_add(1);
            facts.name_sum = facts.name_sum.wrapping_sub(hash);
            let sizes = facts.sizes;
            self.compare_sizes_of(directory, number, name, sizes);
        }
    }

    /// True below `$Extend`: Windows keeps its own files there open while it runs, and never updates their entries.
    fn is_in_extend(&mut self, directory: u64) -> bool {
        if self.extend_asked.is_none_or(|(asked, _)| asked != directory) {
            let below = self.path(directory).is_some_and(|path| path.starts_with("/$Extend"));
            self.extend_asked = Some((directory, below));
        }
        self.extend_asked.is_some_and(|(_, below)| below)
    }

    /// Compares the sizes in an entry with those of its file, of which `sizes` is the hash.
    fn compare_sizes_of(&mut self, directory: u64, number: u64, name: &FileName<'_>, sizes: u32) {
        let (size, allocated) = (name.data_size(), name.allocated_size());
        let same = |allocated| self.window.size_hash(size, allocated) == sizes;
        if sizes == 0
            || same(None)
            || same(Some(allocated))
            || self.is_in_extend(directory)
            || !self.findings.counted(&OUTDATED)
        {
            return;
        }
        let own = self.ntfs.mft.record(number).ok().and_then(|record| {
            let mut attributes = record.attributes().flatten();
            let data = attributes.find(|found| found.type_code == code::DATA && found.name.is_empty())?;
            Some(format!("its record {} and {}", data.size(), data.allocated()))
        });
        let own = own.unwrap_or_else(|| "its record other sizes".into());
        let problem = format!("the entry states {size} bytes and {allocated} allocated, {own}");
        let problem = self.with_path(number, &problem);
        self.findings.report(&OUTDATED, format!("MFT record {directory}"), problem);
    }
}

/// The object of an entry, from the entry itself: `file "a.txt"`.
fn named(name: &FileName<'_>, units: &[u16]) -> String {
    let kind = if name.is_directory() { "directory" } else { "file" };
    format!("{kind} {:?}", shown(units))
}

fn shown(units: &[u16]) -> String {
    Name(units).to_string()
}
