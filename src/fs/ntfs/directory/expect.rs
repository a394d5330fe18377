//! Reading ahead for a listing whose reader asks for the attributes of each entry. Entries come in the order of their
//! names, their records lie anywhere in the table: those of many entries are read together, in the table's order. Where a
//! whole tree is walked, the host is told which index blocks come next, so that the disk has more than one thing to do.
//! Guards: what one listing step reads or names is bounded, whatever the entries say.

use std::sync::atomic::Ordering;

use super::{Directory, READ_AHEAD, UsedBlocks};
use crate::{
    Result,
    fs::{
        DirCursor, NodeId,
        ntfs::{Ntfs, index::IndexBlock},
    },
};

/// Index blocks that one answer to the kernel may take its entries from.
const BLOCKS_AHEAD: usize = 8;
/// Of a directory's index blocks the first bytes: most have one block.
const MAX_HINT: u64 = 16 << 10;
/// Index blocks that lie as near are named together: the disk reads on more cheaply than it begins anew.
const MAX_GAP: u64 = 16 << 10;
/// Named in one step: what a few hundred directories have.
const MAX_HINTED: u64 = 8 << 20;

impl Ntfs {
    /// Reads the blocks that come soon in a listing from `from` on, and what `stat` says of their entries, unless they
    /// are in memory already: then this was done before. A small directory has no such blocks.
    pub(in super::super) fn expect(&self, dir: NodeId, from: DirCursor) -> Result<()> {
        let directory = self.directory(dir)?;
        directory.listed.store(true, Ordering::Relaxed);
        if !directory.has_blocks() {
            return Ok(());
        }
        let mut used = UsedBlocks::from(&directory, from);
        for _ in 0..BLOCKS_AHEAD {
            let Some(first) = used.next()? else { break };
            if self.blocks.get(&(directory.record, first)).is_none() {
                let records = self.read_ahead(&directory, first)?;
                self.stats.expect(&records, directory.about_entries());
                if self.is_walk(&directory) {
                    self.expect_index_blocks(&records);
                }
                break;
            }
        }
        Ok(())
    }

    /// Reads index blocks from `first` on, and returns which records their entries name.
    fn read_ahead(&self, directory: &Directory, first: u64) -> Result<Vec<u64>> {
        directory.block(self, first, READ_AHEAD)?;
        let mut records = Vec::new();
        for index in first..first + directory.blocks_in(READ_AHEAD) {
            let Some(block) = self.blocks.get(&(directory.record, index)) else { break };
            let entries = IndexBlock::parse(&block)?.entries().map_while(Result::ok);
            records.extend(entries.filter(|entry| !entry.last).map(|entry| entry.file_reference.record()));
        }
        Ok(records)
    }

    /// True when somebody walks down the tree: the parent was listed before. One who goes straight to a directory, by
    /// its path, does not want what is below it.
    fn is_walk(&self, directory: &Directory) -> bool {
        let parent = self.stats.record(directory.record).map(|record| record.parent().record());
        let parent = parent.filter(|parent| *parent != directory.record);
        let parent = parent.and_then(|parent| self.directories.get(&parent));
        parent.is_some_and(|parent| parent.listed.load(Ordering::Relaxed))
    }

    /// Tells the host that the first index blocks of these directories are read soon.
    fn expect_index_blocks(&self, records: &[u64]) {
        let blocks = records.iter().filter_map(|record| self.stats.known(*record)?.index_blocks(&self.mft));
        let mut blocks: Vec<_> = blocks.map(|(start, len)| (start, len.min(MAX_HINT))).collect();
        blocks.sort_unstable();
        let mut left = MAX_HINTED;
        let mut blocks = blocks.into_iter().peekable();
        while let Some((start, len)) = blocks.next() {
            let mut end = start.saturating_add(len);
            while let Some((next, len)) = blocks.next_if(|(next, _)| *next <= end.saturating_add(MAX_GAP)) {
                end = end.max(next.saturating_add(len));
            }
            let len = (end - start).min(left);
            self.mft.volume.will_need(start, len);
            left -= len;
            if left == 0 {
                break;
            }
        }
    }
}
