//! Writing into a VHDX: blocks, bitmaps, log and headers, in an order in which every power cut leaves an image that opens (MS-VHDX 2.2.2,
//! 2.3, 2.5).
//!
//! Changes of the block table and of bitmaps are collected in memory and published together by a log entry, at a flush at the latest. What
//! is not published yet is nowhere referred to.

mod at_end;
mod blocks;
mod commit;
mod entry;
mod headers;
mod locator;
mod log;
mod open;
mod pages;
mod read;
mod session;
mod space;
mod survey;
mod table;
#[cfg(test)]
mod tests;
mod untouched;

use std::{collections::HashSet, sync::Arc};

pub(in crate::container) use open::open;

use self::{blocks::How, headers::Headers, log::Log, pages::Pages, space::Space};
use super::bat::Geometry;
use crate::{
    Result,
    bytes::{Backing, ByteSource, Extent},
    container::writer::{Changes, CommitMode, ImageWriter},
};

/// A VHDX that is written.
pub(in crate::container) struct Writer {
    file: Arc<dyn Backing>,
    parent: Option<Arc<dyn ByteSource>>,
    geometry: Geometry,
    /// Every block stays allocated.
    is_fixed: bool,
    /// File offset of the block table.
    table: u64,
    headers: Headers,
    pages: Pages,
    log: Log,
    space: Space,
    commit: CommitMode,
    /// The headers name this session's log.
    started: bool,
    /// Something was changed since the last flush.
    changed: bool,
    /// Data was written that the staged pages make visible: it is flushed before they are logged.
    data_first: bool,
    /// The length of the file at the last flush.
    flushed_len: u64,
    /// From here on nothing was ever written to the file.
    unwritten: u64,
    /// Blocks in places that no log entry names yet.
    unpublished: HashSet<u64>,
    /// The session becomes visible at its end alone.
    at_end: bool,
    /// Then: chunks whose bitmaps are in such places.
    fresh_bitmaps: HashSet<u64>,
}

impl Writer {
    /// How a single write changes what is there.
    fn how(&self) -> How {
        if self.at_end { How::Switched } else { How::InPlace }
    }
}

impl ImageWriter for Writer {
    fn size(&self) -> u64 {
        self.geometry.virtual_size
    }

    fn sector_size(&self) -> u32 {
        self.geometry.logical_sector_size
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read_disk(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.extent_of(offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_disk(offset, bytes, self.how())
    }

    fn discard(&mut self, offset: u64, len: u64) -> Result<()> {
        self.discard_disk(offset, len, self.how())
    }

    fn commit(&mut self, changes: &Changes) -> Result<()> {
        if self.at_end { self.apply(changes, How::Switched) } else { self.commit_changes(changes) }
    }

    fn synced_file(&self) -> Option<&Arc<dyn Backing>> {
        (!self.at_end).then_some(&self.file)
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_all()
    }

    fn close(&mut self) -> Result<()> {
        self.finish()
    }
}
