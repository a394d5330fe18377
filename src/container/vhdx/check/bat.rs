//! Checks every entry of the block allocation table (MS-VHDX 2.5): its state, its place in the file, and whether another
//! entry claims the same place. One pass over the table; a second one, only if places are contested, names the blocks.
//! Memory: one bit per MiB of the file, see [`Space`]; entries of zeros, and holes, cost nothing.

mod entries;
mod faults;

use std::{ops::Range, sync::Arc};

pub(in super::super) use self::entries::{Entries, Owner};
use self::faults::{Fault, Runs};
use super::{
    super::{
        bat::Geometry,
        format::{self, BITMAP_BLOCK, BatEntry, MIB, payload_state as state},
        metadata::Metadata,
    },
    space::{self, Space},
    tables::Checked,
};
use crate::{
    Result,
    bytes::ByteSource,
    check::{Finding, FindingSink},
};

pub(super) fn check(
    source: &Arc<dyn ByteSource>,
    metadata: &Metadata,
    regions: &Checked,
    log: &Range<u64>,
    report: &mut dyn FindingSink,
) -> Result<()> {
    let geometry = metadata.geometry();
    let (region, needed) = (&regions.known.bat, geometry.entries() * entries::SIZE);
    if region.end - region.start < needed {
        let problem = format!("it has {} bytes and needs {needed}", region.end - region.start);
        let meaning = "the disk cannot be opened: its last blocks have no entry";
        report.finding(Finding::error("VHDX BAT", problem, meaning));
        return Ok(());
    }
    let mut space = Space::new(source.size());
    let structures = [0..format::HEADER_SECTION, log.clone()];
    let structures: Vec<_> = structures.into_iter().chain(regions.ranges.iter().cloned()).collect();
    structures.iter().for_each(|range| space.reserve(range));
    let table = Entries { source: &**source, start: region.start };
    let mut examiner = Examiner {
        geometry,
        size: source.size(),
        structures,
        space,
        kept: None,
        chunk: Chunk::default(),
        full: 0,
        runs: Runs::new(report, geometry),
    };
    let stored = table.each(0..geometry.entries(), &mut |seen| examiner.see(seen))?;
    examiner.end_chunk();
    examiner.missing(stored, region.start);
    examiner.behind(&table, region)?;
    examiner.name_contested(&table)?;
    examiner.totals(metadata)
}

/// What a pass over the table reports.
#[derive(Clone, Copy)]
pub(in super::super) enum Seen {
    /// The second number is the total, the first how much of it is done.
    Progress(u64, u64),
    Entry(u64, BatEntry),
}

struct Examiner<'r> {
    geometry: Geometry,
    /// The file's size in bytes.
    size: u64,
    /// Ranges that no block may overlap.
    structures: Vec<Range<u64>>,
    space: Space,
    /// Places in entries of blocks without data.
    kept: Option<Space>,
    chunk: Chunk,
    /// Number of FULLY_PRESENT blocks.
    full: u64,
    runs: Runs<'r>,
}

/// State that must agree between the entries of one chunk.
#[derive(Debug, Default)]
struct Chunk {
    number: u64,
    /// First and last block that is PARTIALLY_PRESENT.
    partial: Option<(u64, u64)>,
    has_bitmap: bool,
}

impl Examiner<'_> {
    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Progress(done, total) => self.runs.progress("block table", done, total),
            Seen::Entry(index, entry) => {
                let owner = self.geometry.owner(index);
                let chunk = owner.chunk(&self.geometry);
                if chunk != self.chunk.number {
                    self.end_chunk();
                    self.chunk.number = chunk;
                }
                if entry.reserved_bits() != 0 {
                    self.runs.add(owner, Fault::ReservedBits(entry.reserved_bits()));
                }
                match owner {
                    Owner::Block(number) if number >= self.geometry.payload_blocks() => {
                        self.runs.add(owner, Fault::BehindDisk);
                    }
                    Owner::Block(number) => self.block(number, entry),
                    Owner::Bitmap(_) => self.bitmap(owner, entry),
                }
            }
        }
    }

    fn block(&mut self, number: u64, entry: BatEntry) {
        let owner = Owner::Block(number);
        match entry.state() {
            state::FULLY_PRESENT => {
                self.full += 1;
                self.place(owner, entry);
            }
            state::PARTIALLY_PRESENT if self.geometry.has_parent => {
                let first = self.chunk.partial.map_or(number, |(first, _)| first);
                self.chunk.partial = Some((first, number));
                self.place(owner, entry);
            }
            state::PARTIALLY_PRESENT => self.runs.add(owner, Fault::PartialWithoutParent),
            state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED | state::UNMAPPED_V095 => {
                self.keep(entry, self.geometry.block_size);
            }
            reserved => self.runs.add(owner, Fault::ReservedState(reserved)),
        }
    }

    fn bitmap(&mut self, owner: Owner, entry: BatEntry) {
        match (self.geometry.has_parent, entry.state()) {
            (true, format::SB_BLOCK_PRESENT) => {
                self.chunk.has_bitmap = true;
                self.place(owner, entry);
            }
            (true, state::NOT_PRESENT) => self.keep(entry, BITMAP_BLOCK),
            (true, other) => self.runs.add(owner, Fault::BitmapState(other)),
            (false, state::NOT_PRESENT) => {}
            (false, _) => self.runs.add(owner, Fault::BitmapWithoutParent),
        }
    }

    /// Checks the place of a block that has data.
    fn place(&mut self, owner: Owner, entry: BatEntry) {
        let start = entry.file_offset();
        let (whole, needed) = owner.lengths(&self.geometry);
        // Saturates only for the last block below 2^64: the offset is 44 bits of MiB.
        let end = start.saturating_add(whole);
        if self.structures.iter().any(|range| start < range.end && range.start < end) {
            return self.runs.add(owner, Fault::OnStructures(start));
        }
        self.space.claim(&(start..end));
        if start >= self.size {
            self.runs.add(owner, Fault::BeyondEnd(start));
        } else if start.saturating_add(needed) > self.size {
            self.runs.add(owner, Fault::CutOff(start));
        } else if end > self.size {
            self.runs.add(owner, Fault::Short(start));
        }
    }

    /// Notes the place of a block without data, which its writer may reuse for it.
    fn keep(&mut self, entry: BatEntry, len: u64) {
        let start = entry.file_offset();
        if start > 0 && start < self.size {
            let size = self.size;
            self.kept.get_or_insert_with(|| Space::new(size)).reserve(&(start..start.saturating_add(len)));
        }
    }

    fn end_chunk(&mut self) {
        let Chunk { number, partial, has_bitmap } = std::mem::take(&mut self.chunk);
        if let Some((first, last)) = partial.filter(|_| !has_bitmap) {
            self.runs.add(Owner::Bitmap(number), Fault::NoBitmap(first, last));
        }
    }

    /// Reports the entries that a truncated file lacks.
    fn missing(&mut self, stored: u64, table: u64) {
        let entries = self.geometry.entries();
        if stored < entries {
            let problem = format!(
                "the file ends inside the table (at byte {:#x}): {} of its {entries} entries are missing",
                table + stored * entries::SIZE,
                entries - stored
            );
            let meaning = "the file was cut off: the blocks of these entries cannot be read";
            self.runs.finding(Finding::error("VHDX BAT", problem, meaning));
        }
    }

    /// Checks that the region is zero after the last entry.
    fn behind(&mut self, table: &Entries<'_>, region: &Range<u64>) -> Result<()> {
        let mut strange = 0_u64;
        let all = (region.end - region.start) / entries::SIZE;
        table.each(self.geometry.entries()..all, &mut |seen| {
            strange += u64::from(matches!(seen, Seen::Entry(..)));
        })?;
        if strange > 0 {
            let problem = format!("{strange} entries behind the last one are not zero");
            let meaning = "remains of a larger disk, which nothing reads";
            self.runs.finding(Finding::note("VHDX BAT", problem, meaning));
        }
        Ok(())
    }

    /// The second pass: finds the blocks that claim a contested place.
    fn name_contested(&mut self, table: &Entries<'_>) -> Result<()> {
        if self.space.contested.is_empty() {
            return Ok(());
        }
        let mut contested = std::mem::take(&mut self.space.contested);
        let geometry = self.geometry;
        table.each(0..geometry.entries(), &mut |seen| {
            let Seen::Entry(index, entry) = seen else { return };
            let owner = geometry.owner(index);
            if !geometry.has_data(owner, entry) {
                return;
            }
            let start = entry.file_offset();
            let end = start.saturating_add(owner.lengths(&geometry).0);
            if self.structures.iter().any(|range| start < range.end && range.start < end) {
                return;
            }
            let mut others: Vec<(u64, u64)> = Vec::new();
            for (unit, first) in contested.range_mut(space::mib(&(start..end))) {
                match first {
                    None => *first = Some(index),
                    Some(first) if others.iter().all(|(known, _)| known != first) => {
                        others.push((*first, unit * MIB));
                    }
                    Some(_) => {}
                }
            }
            for (first, at) in others {
                self.runs.add(owner, Fault::Shared(geometry.owner(first), at));
            }
        })?;
        self.runs.flush();
        if self.space.forgotten > 0 {
            let problem =
                format!("{} more MiB of the file are claimed by several blocks", self.space.forgotten);
            self.runs.finding(Finding::error("VHDX BAT", problem, faults::SHARED));
        }
        Ok(())
    }

    /// Reports findings about the table as a whole.
    fn totals(mut self, metadata: &Metadata) -> Result<()> {
        self.runs.finish();
        let blocks = self.geometry.payload_blocks();
        if metadata.leave_block_allocated && !self.geometry.has_parent && self.full < blocks {
            let problem = format!("a fixed disk with {} of {blocks} blocks allocated", self.full);
            let meaning = "the others read as zeros; the file grows when they are written to";
            self.runs.finding(Finding::note("VHDX BAT", problem, meaning));
        }
        if self.space.is_partial() {
            let problem = format!("the file has {} bytes", self.size);
            let meaning = "whether blocks overlap is examined for its first 256 TiB only";
            self.runs.finding(Finding::note("VHDX file", problem, meaning));
        }
        let (free, at_end) = self.space.free(self.geometry.block_size);
        if free > 0 {
            let kept = self.kept.as_ref().map_or(0, |kept| kept.outside(&self.space));
            let mut problem = format!("{free} MiB belong to nothing");
            if at_end > 0 {
                problem += &format!(", {at_end} of them at its end");
            }
            if kept > 0 {
                problem += &format!(", {kept} of them kept for blocks that were trimmed");
            }
            let meaning =
                "space that Hyper-V takes for new blocks; compacting the disk gives it back to the host";
            self.runs.finding(Finding::note("VHDX file", problem, meaning));
        }
        Ok(())
    }
}
