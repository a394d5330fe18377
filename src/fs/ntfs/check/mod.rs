//! The check of an NTFS volume: boot sector, `$MFT` record by record, the clusters that records claim, the index trees of
//! directories, and the consistency of all of these.
//!
//! A pass reads `$MFT` from end to end and then the indexes. Memory for the comparisons is bounded by 64 MiB: 1.25 million
//! stored records and 2^28 clusters at a time. A larger volume takes several passes; findings on single structures are
//! reported in the first. If clusters are claimed wrongly, one more pass searches for their owners.

mod bits;
mod boot;
mod clusters;
mod directory;
mod facts;
mod listed;
mod owners;
mod record;
mod secure;
mod state;
mod tree;
mod verdict;

use std::{collections::BTreeSet, rc::Rc};

use self::{
    bits::Bits,
    clusters::Segment,
    facts::{Window, flag},
};
use super::{
    Ntfs,
    attributes::{
        Form, code,
        file_name::{FileName, MAX_NAME, Namespace},
    },
    nodes::node::Summary,
    records::{
        each::{Layout, each_record},
        file::File,
        number,
    },
};
use crate::{
    Result,
    check::FindingSink,
    fs::{Name, NodeKind, findings::Findings},
    printable::printable,
};

/// Limits of one pass: 24 bytes for each record and a bit for each cluster, 62 MiB in all.
#[derive(Clone, Copy)]
struct Bounds {
    records: u64,
    clusters: u64,
}

/// 1.25 million records; 1 TiB in clusters of 4 KiB.
const BOUNDS: Bounds = Bounds { records: 5 << 18, clusters: 1 << 28 };

/// Maximum number of directories above a file that findings name.
const MAX_PATH: usize = 64;
/// Number of records between two progress reports.
const STEP: u64 = 4096;

/// A check in progress.
struct Check<'a, 'r> {
    ntfs: &'a Ntfs,
    findings: Findings<'r>,
    /// True in the first pass, which reports damage of single structures.
    first: bool,
    bounds: Bounds,
    layout: Rc<Layout>,
    window: Window,
    segment: Segment,
    /// `$MFT`'s bitmap of records in use.
    table_bits: Option<Bits>,
    /// The ids in `$Secure`; `None` if it is unreadable, or absent (version 1.2).
    security_ids: Option<BTreeSet<u32>>,
    /// Bytes of attribute lists that may still be read.
    lists_left: u64,
    /// Bytes of index blocks that may still be read.
    blocks_left: u64,
    /// True if something could not be read: clusters may lack their owners.
    incomplete: bool,
    suspects: owners::Suspects,
    /// Number of files that lack a directory entry because their directory is damaged.
    unnamed: u64,
    /// The latest directory that was tested for being below `$Extend`, and the result.
    extend_asked: Option<(u64, bool)>,
    /// Records that are marked as used but not in use: their number, and the first.
    reserved: (u64, u64),
}

/// Checks a volume. See [`crate::fs::FileSystem::check`].
pub(super) fn volume(ntfs: &Ntfs, report: &mut dyn FindingSink) -> Result<()> {
    examine(ntfs, report, BOUNDS);
    Ok(())
}

fn examine(ntfs: &Ntfs, report: &mut dyn FindingSink, bounds: Bounds) {
    let (layout, clusters) = (Rc::new(Layout::of(&ntfs.mft)), ntfs.mft.boot.clusters);
    let records = layout.records();
    let mut check = Check {
        ntfs,
        findings: Findings::new(report),
        first: true,
        bounds,
        window: Window::new(0, layout.clone(), bounds.records),
        layout,
        segment: Segment::new(0, 0, bounds.clusters),
        table_bits: None,
        security_ids: None,
        lists_left: 0,
        blocks_left: 0,
        incomplete: false,
        suspects: owners::Suspects::default(),
        unnamed: 0,
        extend_asked: None,
        reserved: (0, 0),
    };
    check.boot_sectors();
    check.state();
    check.security_ids = check.secure();
    let passes = records.div_ceil(bounds.records).max(clusters.div_ceil(bounds.clusters));
    for pass in 0..passes {
        check.pass(pass);
    }
    check.sums();
    check.owners();
    check.findings.finish();
}

impl Check<'_, '_> {
    fn pass(&mut self, pass: u64) {
        let mft = &self.ntfs.mft;
        self.first = pass == 0;
        self.window = Window::new(pass, self.layout.clone(), self.bounds.records);
        self.segment = Segment::new(pass, mft.boot.clusters, self.bounds.clusters);
        self.table_bits = self.table_bits();
        // Each list names attributes that are in records, and each index is in clusters: both are bounded by the volume.
        self.lists_left = mft.data().runs().allocated().saturating_mul(2) + (1 << 20);
        self.blocks_left = bits::stored(&*mft.volume).min(mft.boot.size());
        each_record(mft, &self.layout.clone(), &mut |number, slot| {
            if number.is_multiple_of(STEP) {
                self.findings.progress("MFT records", number, mft.records());
            }
            self.slot(number, slot);
        });
        self.compare_clusters();
        self.directories();
        self.verdicts();
    }

    fn table_bits(&self) -> Option<Bits> {
        let file = File::open(&self.ntfs.mft, number::MFT).ok()?;
        file.source(code::BITMAP, &[]).ok()?.map(Bits::new)
    }

    /// Checks every directory and every other index.
    fn directories(&mut self) {
        let records = self.ntfs.mft.records();
        for number in self.layout.clone().numbers(0).take_while(|number| *number < records) {
            if number.is_multiple_of(STEP) {
                self.findings.progress("directories", number, records);
            }
            // Facts about records of another pass are unknown: those records are read.
            match self.window.get(number).map(|facts| *facts) {
                Some(facts) => {
                    if facts.has(flag::DIRECTORY) {
                        self.directory(number);
                    }
                    if facts.has(flag::VIEW) && self.first {
                        self.views(number);
                    }
                }
                None => self.directory_elsewhere(number),
            }
        }
        self.findings.progress("directories", records, records);
    }

    /// A record in the words of findings: its number, and its path if known.
    fn who(&self, number: u64) -> String {
        match self.object_with_path(number) {
            Some(object) => format!("MFT record {number} ({object})"),
            None => format!("MFT record {number}"),
        }
    }

    /// A problem of a record, with the object that the record is of.
    fn with_path(&self, number: u64, problem: &str) -> String {
        match self.object_with_path(number) {
            Some(object) => format!("{object}: {problem}"),
            None => problem.to_owned(),
        }
    }

    /// `file /a/b.txt`; `None` if the record cannot be read.
    fn object_with_path(&self, number: u64) -> Option<String> {
        let object = self.object(number)?;
        Some(self.path(number).map_or_else(|| object.to_owned(), |path| format!("{object} {path}")))
    }

    /// The kind of object that a record is of.
    fn object(&self, number: u64) -> Option<&'static str> {
        let file = File::open(&self.ntfs.mft, number).ok()?;
        let kind = Summary::of(&file).ok().and_then(|summary| summary.kind);
        Some(match kind {
            _ if number < number::FIRST_USER && number != number::ROOT => "metadata file",
            Some(NodeKind::Symlink) => "link",
            _ if file.base.header.directory => "directory",
            Some(NodeKind::File) | None => "file",
            Some(_) => "special file",
        })
    }

    fn path(&self, mut number: u64) -> Option<String> {
        let mut path = String::new();
        for _ in 0..MAX_PATH {
            if number == number::ROOT {
                return Some(if path.is_empty() { "/".into() } else { path });
            }
            let file = File::open(&self.ntfs.mft, number).ok();
            let found = file.as_ref().and_then(best_name);
            let Some((parent, name)) = found else { break };
            path = format!("/{name}{path}");
            number = parent;
        }
        (!path.is_empty()).then(|| format!("…{path}"))
    }
}

/// The name of a file, preferably a long one, and its directory.
fn best_name(file: &File<'_>) -> Option<(u64, String)> {
    let mut best: Option<(bool, u64, String)> = None;
    let _ = file.visit(Some(code::FILE_NAME), &mut |attribute| {
        if let Form::Resident(value) = attribute.form
            && let Ok(name) = FileName::parse(value)
        {
            let short = name.namespace() == Namespace::Dos;
            if best.as_ref().is_none_or(|(worse, ..)| *worse && !short) {
                let text = Name(name.name(&mut [0; MAX_NAME])).to_string();
                best = Some((short, name.parent().record(), printable(&text).into_owned()));
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    });
    best.map(|(_, parent, name)| (parent, name))
}

#[cfg(test)]
mod tests;
