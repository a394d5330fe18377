//! Read-ahead for a listing whose reader calls `stat` for each entry. Entries are sorted by name, their records are
//! scattered over the table: the records of many entries are read together, in table order. Guards: the reads for one step
//! of a listing are bounded, whatever its entries state.

use super::{Directory, READ_AHEAD, UsedBlocks};
use crate::{
    Result,
    fs::{
        DirCursor, NodeId,
        ntfs::{Ntfs, index::IndexBlock},
    },
};

/// Number of index blocks from which one reply to the kernel may take its entries.
const BLOCKS_AHEAD: usize = 8;

impl Ntfs {
    /// Reads the next blocks of a listing from `from` on, and the stat records of their entries, unless the blocks are
    /// cached already: then this was done before. A small directory has no such blocks.
    pub(in super::super) fn expect(&self, dir: NodeId, from: DirCursor) -> Result<()> {
        let directory = self.directory(dir)?;
        if !directory.has_blocks() {
            return Ok(());
        }
        let mut used = UsedBlocks::from(&directory, from);
        for _ in 0..BLOCKS_AHEAD {
            let Some(first) = used.next()? else { break };
            if self.blocks.get(&(directory.record, first)).is_none() {
                let records = self.read_ahead(&directory, first)?;
                self.stats.expect(&records, directory.about_entries());
                break;
            }
        }
        Ok(())
    }

    /// Reads index blocks from `first` on; returns the records that their entries name.
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
}
