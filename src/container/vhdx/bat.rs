//! The block allocation table (MS-VHDX 2.5): the place of each payload block, with an entry for a sector bitmap block
//! after every chunk. Read in pages on demand and kept as runs, so that a table of 512 MiB costs a few MiB at most; an
//! entry that contradicts the specification fails only its own block.

use std::{ops::Range, sync::Arc};

use zerocopy::FromBytes;

use super::format::{self, BatEntry, payload_state as state};
use crate::{Error, Place, Result, bytes::ByteSource, cache::Pages};

/// Payload blocks per page: a page is at most 35 KiB in the file and decodes to at most 96 KiB.
const PAGE_BLOCKS: u64 = 4096;
/// Memory for decoded pages in bytes. Untouched or contiguous ranges decode to a few bytes, so this is ample for most
/// disks.
const CACHE_BYTES: usize = 8 << 20;
const ENTRY: u64 = size_of::<BatEntry>() as u64;

/// The sizes that determine the table's layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) virtual_size: u64,
    pub(super) block_size: u64,
    pub(super) logical_sector_size: u32,
    pub(super) has_parent: bool,
}

impl Geometry {
    /// Payload blocks per sector bitmap block: 16 to 32768.
    pub(super) fn chunk_ratio(&self) -> u64 {
        (u64::from(self.logical_sector_size) << 23) / self.block_size
    }

    pub(super) fn payload_blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block_size)
    }

    /// Entries that the table must have.
    pub(super) fn entries(&self) -> u64 {
        let (blocks, ratio) = (self.payload_blocks(), self.chunk_ratio());
        if self.has_parent {
            blocks.div_ceil(ratio) * (ratio + 1)
        } else {
            blocks + blocks.saturating_sub(1) / ratio
        }
    }

    pub(super) fn payload_index(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio()
    }

    pub(super) fn bitmap_index(&self, chunk: u64) -> u64 {
        chunk * (self.chunk_ratio() + 1) + self.chunk_ratio()
    }
}

/// The state of a block, decoded from its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Reads as zeros.
    Zero,
    /// Read from the parent.
    Parent,
    /// Entirely in the file, from this offset on.
    Full(u64),
    /// Only the sectors set in the bitmap are in the file; this is the offset of the block.
    Partial(u64),
    /// Unreadable.
    Bad(Fault),
}

/// How an entry contradicts the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ReservedState(u64),
    PartialWithoutParent,
    Misplaced(u64),
    /// The entry is beyond the end of the file.
    NoEntry,
    /// The block is beyond the end of the file.
    Truncated,
}

/// The location of an offset, and how far it continues.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) block: Block,
    /// Bytes from the start of `block` to the offset.
    pub(super) within: u64,
    /// Bytes from the offset to the end of the run, or of the virtual disk.
    pub(super) len: u64,
}

/// Consecutive blocks in the same state or place, by the number of the first within the page.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u16,
    block: Block,
}

/// The table of one file.
pub(super) struct Bat {
    source: Arc<dyn ByteSource>,
    geometry: Geometry,
    region: Range<u64>,
    /// Ranges that no block may overlap: header section, log, BAT, metadata.
    reserved: [Range<u64>; 4],
    pages: Pages<Arc<[Run]>>,
}

impl Bat {
    /// Opens the table; fails if the region has no room for all of it.
    pub(super) fn new(
        source: Arc<dyn ByteSource>,
        geometry: Geometry,
        region: Range<u64>,
        metadata: Range<u64>,
        log: Range<u64>,
    ) -> Result<Self> {
        let needed = geometry.entries() * ENTRY;
        if region.end - region.start < needed {
            let problem = format!("{} bytes instead of at least {needed}", region.end - region.start);
            return Err(Error::corrupt("VHDX BAT", Place::Byte(region.start), problem));
        }
        let reserved = [0..format::HEADER_SECTION, log, region.clone(), metadata];
        let pages = Pages::new(geometry.payload_blocks().div_ceil(PAGE_BLOCKS), CACHE_BYTES);
        Ok(Self { source, geometry, region, reserved, pages })
    }

    /// True when the file ends inside the table.
    pub(super) fn is_truncated(&self) -> bool {
        self.region.start + self.geometry.entries() * ENTRY > self.source.size()
    }

    /// Locates byte `offset` of the virtual disk; the caller checks that it is inside.
    pub(super) fn locate(&self, offset: u64) -> Result<Located> {
        let Geometry { block_size, virtual_size, .. } = self.geometry;
        let number = offset / block_size;
        let first = number / PAGE_BLOCKS * PAGE_BLOCKS;
        let load = || {
            let page = self.load(first)?;
            let bytes = size_of_val(&*page);
            Ok::<_, Error>((page, bytes))
        };
        let in_page = number - first;
        let (run, end) = self.pages.with(number / PAGE_BLOCKS, load, |page| {
            // The first run begins at block 0 of the page, so there is always one at or before `in_page`.
            let next = page.partition_point(|run| u64::from(run.first) <= in_page);
            (page[next - 1], page.get(next).map_or(PAGE_BLOCKS, |run| run.first.into()))
        })?;
        let start = (first + u64::from(run.first)) * block_size;
        let end = ((first + end) * block_size).min(virtual_size);
        Ok(Located { block: run.block, within: offset - start, len: end - offset })
    }

    /// The bytes of the region that the table occupies.
    pub(super) fn range(&self) -> Range<u64> {
        self.region.start..self.region.start + self.geometry.entries() * ENTRY
    }

    /// The file offset of the sector bitmap block of a chunk that has a partially present block.
    pub(super) fn bitmap(&self, chunk: u64) -> Result<u64> {
        let entry = self.bitmap_entry(chunk)?;
        if entry.state() != format::SB_BLOCK_PRESENT {
            let problem = format!("state {} for a block that is partially present", entry.state());
            return Err(self.bitmap_error(chunk, problem));
        }
        self.bitmap_place(chunk, entry)
    }

    /// The file offset of a chunk's sector bitmap block, if it has one; only differencing disks do.
    pub(super) fn present_bitmap(&self, chunk: u64) -> Result<Option<u64>> {
        let chunks = self.geometry.payload_blocks().div_ceil(self.geometry.chunk_ratio());
        if !self.geometry.has_parent || chunk >= chunks {
            return Ok(None);
        }
        let entry = self.bitmap_entry(chunk)?;
        let present = entry.state() == format::SB_BLOCK_PRESENT;
        present.then(|| self.bitmap_place(chunk, entry)).transpose()
    }

    fn bitmap_entry(&self, chunk: u64) -> Result<BatEntry> {
        let at = self.bitmap_entry_at(chunk);
        let mut bytes = [0; size_of::<BatEntry>()];
        if at + ENTRY > self.source.size() {
            return Err(self.bitmap_error(chunk, "lies beyond the end of the file: truncated".into()));
        }
        self.source.read_exact_at(at, &mut bytes)?;
        Ok(BatEntry::read_from_bytes(&bytes).expect("a buffer of its size"))
    }

    fn bitmap_entry_at(&self, chunk: u64) -> u64 {
        self.region.start + self.geometry.bitmap_index(chunk) * ENTRY
    }

    fn bitmap_place(&self, chunk: u64, entry: BatEntry) -> Result<u64> {
        self.place(entry, format::BITMAP_BLOCK).ok_or_else(|| {
            let problem = format!("offset {:#x} overlaps the file's structures", entry.file_offset());
            self.bitmap_error(chunk, problem)
        })
    }

    fn bitmap_error(&self, chunk: u64, problem: String) -> Error {
        let structure = format!("VHDX BAT entry of sector bitmap {chunk}");
        Error::corrupt(structure, Place::Byte(self.bitmap_entry_at(chunk)), problem)
    }

    /// The error for the unreadable block at virtual `offset`.
    pub(super) fn error(&self, offset: u64, fault: Fault) -> Error {
        let number = offset / self.geometry.block_size;
        let at = self.region.start + self.geometry.payload_index(number) * ENTRY;
        let problem = match fault {
            Fault::ReservedState(state) => format!("reserved state {state}"),
            Fault::PartialWithoutParent => "partially present in a disk without parent".into(),
            Fault::Misplaced(offset) => format!("offset {offset:#x} overlaps the file's structures"),
            Fault::NoEntry => "lies beyond the end of the file: truncated".into(),
            Fault::Truncated => "its data lie beyond the end of the file: truncated".into(),
        };
        Error::corrupt(format!("VHDX BAT entry of block {number}"), Place::Byte(at), problem)
    }

    /// Reads and decodes the page that begins with payload block `first`.
    fn load(&self, first: u64) -> Result<Arc<[Run]>> {
        let geometry = &self.geometry;
        let last = geometry.payload_blocks().min(first + PAGE_BLOCKS) - 1;
        let base = geometry.payload_index(first);
        let start = self.region.start + base * ENTRY;
        let len = (geometry.payload_index(last) - base + 1) * ENTRY;
        // The stored part of a truncated table still locates its blocks.
        let stored = self.source.size().saturating_sub(start).min(len) / ENTRY * ENTRY;
        let mut bytes = vec![0; usize::try_from(stored).expect("a page has at most 35 KiB")];
        if !bytes.is_empty() {
            self.source.read_exact_at(start, &mut bytes)?;
        }
        if stored == len && bytes.iter().all(|byte| *byte == 0) {
            // An untouched range of the table, which most of a huge disk's is: NOT_PRESENT.
            let block = if geometry.has_parent { Block::Parent } else { Block::Zero };
            return Ok(Arc::new([Run { first: 0, block }]));
        }
        let entries = <[BatEntry]>::ref_from_bytes(&bytes).expect("a multiple of the entry's size");

        let mut runs: Vec<Run> = Vec::new();
        let mut follower = None;
        for number in first..=last {
            let index = usize::try_from(geometry.payload_index(number) - base).expect("inside the page");
            let block = entries.get(index).map_or(Block::Bad(Fault::NoEntry), |entry| self.decode(*entry));
            if follower != Some(block) {
                let first = u16::try_from(number - first).expect("below PAGE_BLOCKS");
                runs.push(Run { first, block });
            }
            follower = match block {
                Block::Zero | Block::Parent => Some(block),
                Block::Full(offset) => follower_of(offset, geometry.block_size),
                // Never merged: each has its own bitmap bits, or its own error.
                Block::Partial(_) | Block::Bad(_) => None,
            };
        }
        Ok(runs.into())
    }

    /// Decodes a payload entry.
    ///
    /// UNDEFINED and UNMAPPED blocks read as zeros in every kind of disk: the specification allows zeros or the earlier
    /// content, and only zeros are the same at each read and leak nothing. In a differencing disk only NOT_PRESENT refers
    /// to the parent; the other states hide the parent's data.
    fn decode(&self, entry: BatEntry) -> Block {
        let has_parent = self.geometry.has_parent;
        let placed = |block: fn(u64) -> Block| match self.place(entry, self.geometry.block_size) {
            Some(offset) => block(offset),
            None => Block::Bad(Fault::Misplaced(entry.file_offset())),
        };
        match entry.state() {
            state::NOT_PRESENT if has_parent => Block::Parent,
            state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED | state::UNMAPPED_V095 => {
                Block::Zero
            }
            state::FULLY_PRESENT => placed(Block::Full),
            state::PARTIALLY_PRESENT if has_parent => placed(Block::Partial),
            state::PARTIALLY_PRESENT => Block::Bad(Fault::PartialWithoutParent),
            reserved => Block::Bad(Fault::ReservedState(reserved)),
        }
    }

    /// The entry's file offset, unless `len` bytes from there overlap a structure. The end of the file is checked on
    /// reading, so that the part of a block before it stays readable.
    fn place(&self, entry: BatEntry, len: u64) -> Option<u64> {
        let start = entry.file_offset();
        let end = start.checked_add(len)?;
        let free = self.reserved.iter().all(|range| end <= range.start || range.end <= start);
        free.then_some(start)
    }
}

/// The state that a block continuing the one at `offset` would have.
fn follower_of(offset: u64, block_size: u64) -> Option<Block> {
    offset.checked_add(block_size).map(Block::Full)
}
