//! Commits: all changes of a transaction in one log entry.

use std::collections::BTreeSet;

use super::{
    Writer,
    blocks::How,
    pages::PAGE,
    table::{Block, PAGE_SECTORS},
};
use crate::{
    Error, Result,
    container::writer::{Change, Changes, CommitMode},
};

/// What one entry would need at most, in pages.
#[derive(Default)]
struct Needs {
    /// Offsets in the file.
    table: BTreeSet<u64>,
    /// Pages of bits, counted from the first sector of the disk on.
    bits: BTreeSet<u64>,
    data: usize,
    last_data: Option<u64>,
}

impl Needs {
    fn metadata(&self) -> usize {
        self.table.len() + self.bits.len()
    }

    /// Data in these bytes of the disk. Blocks are whole pages, so pages of the disk are pages of the file.
    fn data(&mut self, from: u64, to: u64) {
        let (first, end) = (from / PAGE, to.div_ceil(PAGE));
        let shared = u64::from(self.last_data == Some(first));
        self.data = self.data.saturating_add(usize::try_from(end - first - shared).unwrap_or(usize::MAX));
        self.last_data = Some(end - 1);
    }
}

impl Writer {
    pub(super) fn commit_changes(&mut self, changes: &Changes) -> Result<()> {
        let needs = self.needs(changes)?;
        let capacity = self.log.capacity();
        let how = match self.commit {
            CommitMode::Logged if needs.metadata().saturating_add(needs.data) <= capacity => How::Logged,
            _ if needs.metadata() <= capacity => How::Switched,
            _ => {
                return Err(Error::invalid(format!(
                    "the changes are too many for one step: {} pages of metadata, and the log takes {capacity}",
                    needs.metadata()
                )));
            }
        };
        let pages = needs.metadata() + if how == How::Logged { needs.data } else { 0 };
        if !self.pages.staged.is_empty() && self.pages.staged.len() + pages > capacity {
            self.append()?;
        }
        self.apply(changes, how)?;
        if self.pages.staged.is_empty() { Ok(()) } else { self.append() }
    }

    pub(super) fn apply(&mut self, changes: &Changes, how: How) -> Result<()> {
        for (offset, change) in changes.iter() {
            match change {
                Change::Bytes(bytes) => self.write_disk(offset, bytes, how)?,
                Change::Discard(len) => self.discard_disk(offset, *len, how)?,
            }
        }
        Ok(())
    }

    fn needs(&self, changes: &Changes) -> Result<Needs> {
        let size = self.geometry.block_size;
        let mut needs = Needs::default();
        for (offset, change) in changes.iter() {
            let end = offset + change.len();
            let mut at = offset;
            while at < end {
                if matches!(change, Change::Discard(_)) && at.is_multiple_of(size) {
                    let untouched = self.untouched(at, end)?;
                    if untouched > 0 {
                        at += untouched;
                        continue;
                    }
                }
                let (number, next) = (at / size, (at / size + 1) * size);
                let to = next.min(end);
                let block = self.block(number)?;
                needs.table.insert(self.entry_page(self.geometry.payload_index(number)));
                let is_whole = at.is_multiple_of(size) && (to == next || to == self.geometry.virtual_size);
                let is_written = matches!(change, Change::Bytes(_)) || !is_whole || self.is_fixed;
                if is_written && (block != Block::Zero || matches!(change, Change::Bytes(_))) {
                    needs.data(at, to);
                    if matches!(block, Block::Parent | Block::Partial(_)) {
                        let chunk = number / self.geometry.chunk_ratio();
                        needs.table.insert(self.entry_page(self.geometry.bitmap_index(chunk)));
                        // All bits of a block that comes to be are set or cleared.
                        let (from, to) =
                            if block == Block::Parent { (number * size, next) } else { (at, to) };
                        let page = PAGE_SECTORS * u64::from(self.geometry.logical_sector_size);
                        needs.bits.extend(from / page..to.div_ceil(page));
                    }
                }
                at = to;
                if needs.metadata() > self.log.capacity() {
                    return Ok(needs);
                }
            }
        }
        Ok(needs)
    }
}
