//! A lookup: the descent of the B+tree for one name. Guards: depth and number of blocks are bounded.

use std::{cmp::Ordering, sync::atomic::Ordering::Relaxed};

use super::{Block, Directory, Hit};
use crate::{
    Error, Result, error,
    fs::NodeId,
    fs::ntfs::nodes::node::Node,
    fs::ntfs::{Ntfs, attributes::file_name::MAX_NAME},
};

/// Maximum depth: a B+tree of blocks with at least two entries each would hold 2^32 files in fewer levels.
const MAX_DEPTH: usize = 32;
/// Maximum number of blocks: a descent needs one per level, and a few more where names differ only in case.
const MAX_LOOKUP_BLOCKS: usize = 1024;

impl Directory {
    /// The entry with exactly this name, or else one that differs only in case.
    pub(in super::super) fn lookup(&self, ntfs: &Ntfs, name: &[u16]) -> Result<Option<NodeId>> {
        // The root's entry `.` for itself is in no listing.
        if name == [u16::from(b'.')] {
            return Ok(None);
        }
        let found = self.find(ntfs, name)?;
        let Some(Hit { reference, name, namespace }) = found else { return Ok(None) };
        // The record may belong to another file by now; an unreadable one is returned, and fails when it is used.
        let stat = ntfs.stats.record(reference.record());
        let sequence_number = match stat {
            Some(record) => Ok(record.sequence_number()),
            None => ntfs.mft.record(reference.record()).map(|record| record.header.sequence_number),
        };
        if let Ok(sequence_number) = sequence_number
            && ![0, sequence_number].contains(&reference.sequence())
        {
            let problem = format!("names MFT record {}, which another file has now", reference.record());
            return Err(Error::corrupt("index", error::Place::Record(self.record), problem));
        }
        let node = Node::file(reference.record());
        Ok(node.map(|node| ntfs.entered_from(self, (node, stat), (&name, namespace), true)))
    }

    /// Searches the tree; if that is damaged, all readable names.
    fn find(&self, ntfs: &Ntfs, name: &[u16]) -> Result<Option<Hit>> {
        if self.damaged.load(Relaxed)
            && let Some(exact) = self.name_map(ntfs).exact(self, ntfs, name)?
        {
            return Ok(Some(exact));
        }
        let mut search = Search { directory: self, ntfs, name, similar: None, blocks: 0 };
        match search.descend(&Block::Root, 0) {
            Ok(exact) => Ok(exact.or(search.similar)),
            Err(error) => {
                if !self.damaged.swap(true, Relaxed) {
                    log::debug!(
                        "index of MFT record {}: {error}; names are searched in all blocks",
                        self.record
                    );
                }
                let map = self.name_map(ntfs);
                map.exact(self, ntfs, name)?
                    .map_or_else(|| map.similar(self, ntfs, name), |exact| Ok(Some(exact)))
            }
        }
    }
}

/// The descent for one name. Names that differ only in case are adjacent, but their order is not relied upon: every child
/// that may contain one is visited until the exact name is found.
struct Search<'a> {
    directory: &'a Directory,
    ntfs: &'a Ntfs,
    name: &'a [u16],
    similar: Option<Hit>,
    blocks: usize,
}

impl Search<'_> {
    /// Searches the B+tree below `block` for the exact name; remembers the first entry that differs only in case.
    fn descend(&mut self, block: &Block, depth: usize) -> Result<Option<Hit>> {
        for entry in block.entries(self.directory, 0)? {
            let entry = entry?;
            let order = if entry.last {
                Ordering::Less
            } else {
                let mut buf = [0; MAX_NAME];
                let file_name = entry.file_name()?;
                let units = file_name.name(&mut buf);
                if units == self.name {
                    return Ok(Some(Hit::new(entry.file_reference, units, &file_name)));
                }
                let order = self.ntfs.upcase.compare(self.name, units);
                if order == Ordering::Equal && self.similar.is_none() {
                    self.similar = Some(Hit::new(entry.file_reference, units, &file_name));
                }
                order
            };
            if order == Ordering::Greater {
                continue;
            }
            if let Some(vcn) = entry.child_vcn
                && let Some(exact) = self.child(vcn, depth)?
            {
                return Ok(Some(exact));
            }
            if order == Ordering::Less {
                break;
            }
        }
        Ok(None)
    }

    fn child(&mut self, vcn: u64, depth: usize) -> Result<Option<Hit>> {
        let corrupt = |problem| Error::corrupt("index", error::Place::Vcn(vcn), problem);
        self.blocks += 1;
        if depth >= MAX_DEPTH || self.blocks > MAX_LOOKUP_BLOCKS {
            return Err(corrupt("too deep, or a circle"));
        }
        let (directory, ntfs) = (self.directory, self.ntfs);
        let start = vcn.checked_mul(directory.vcn_size).filter(|start| start % directory.block_size == 0);
        let start = start.ok_or_else(|| corrupt("child between two blocks"))?;
        let bytes = directory.block(ntfs, start / directory.block_size, 0)?;
        self.descend(&Block::Index(bytes), depth + 1)
    }
}
