//! Checks the block allocation table: the place of each block, overlaps between blocks, and space in the file that
//! belongs to none. Memory: 8 bytes per allocated block, at most 128 MiB.

use std::{ops::Range, sync::Arc};

use super::super::{
    bat::Bat,
    format::{BAT_UNUSED, HEADER_SIZE, SECTOR},
    header::Header,
};
use crate::{
    Result,
    bytes::{ByteSource, read_vec},
    check::{Finding, FindingSink, Severity},
    container::{Kind, findings::span},
};

/// Bytes of the table read at once.
const PIECE: u64 = 64 << 10;
const ENTRY: u64 = 4;
/// Most faults reported one by one; a table of 16 million bad entries should be checked in seconds.
const MAX_REPORTED: u64 = 10_000;
const TABLE: &str = "VHD block allocation table";

/// The file's layout according to the footer and the header.
pub(super) struct Layout<'a> {
    pub(super) header_at: u64,
    pub(super) header: &'a Header,
    pub(super) kind: Kind,
    pub(super) virtual_size: u64,
    /// The end of the blocks: the footer's offset.
    pub(super) data_end: u64,
}

pub(super) fn check(
    file: &Arc<dyn ByteSource>,
    layout: &Layout<'_>,
    report: &mut dyn FindingSink,
) -> Result<()> {
    let header = layout.header;
    let needed = layout.virtual_size.div_ceil(header.block_size).min(header.max_table_entries.into());
    if let Err(error) = Bat::new(header.table_offset, needed) {
        let meaning = "no program writes such disks: the header is damaged, and the disk cannot be opened";
        report.finding(Finding::error(TABLE, error.to_string(), meaning));
        return Ok(());
    }
    let table = header.table_offset..header.table_offset.saturating_add(needed * ENTRY);
    let stored = file.size().saturating_sub(table.start).min(needed * ENTRY) / ENTRY;
    if stored < needed {
        let problem = format!(
            "the file ends before the table does: {} of {needed} entries are missing",
            needed - stored
        );
        let meaning = "the file was cut off: the blocks of these entries cannot be read";
        report.finding(Finding::error(TABLE, problem, meaning));
    }
    let structures = vec![0..SECTOR, layout.header_at..layout.header_at + HEADER_SIZE as u64, table.clone()];
    if structures[..2].iter().any(|other| table.start < other.end && other.start < table.end) && needed > 0 {
        let problem = format!("at byte {:#x}, over the footer's copy or the header", table.start);
        report.finding(Finding::error(
            TABLE,
            problem,
            "its first entries, or the header, are not what they were",
        ));
    }
    let mut examiner = Examiner {
        file,
        layout,
        structures,
        length: header.bitmap_size() + header.block_size,
        placed: Vec::new(),
        pending: None,
        reported: 0,
        report,
    };
    examiner.entries(stored)?;
    examiner.behind(needed)?;
    let shared = examiner.shared();
    examiner.withheld();
    examiner.gaps();
    if layout.kind == Kind::Dynamic && !shared {
        examiner.bitmaps()?;
    }
    Ok(())
}

struct Examiner<'a> {
    file: &'a Arc<dyn ByteSource>,
    layout: &'a Layout<'a>,
    /// Ranges that no block may overlap.
    structures: Vec<Range<u64>>,
    /// Length of a block in the file, with its sector bitmap, in bytes.
    length: u64,
    /// Sector number and block number of each allocated block.
    placed: Vec<(u32, u32)>,
    /// First and last of neighbouring blocks with the same fault, and the first one's sector.
    pending: Option<(Fault, u64, u64, u32)>,
    reported: u64,
    report: &'a mut dyn FindingSink,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    OnStructures,
    BeyondEnd,
    CutOff,
}

impl Examiner<'_> {
    fn entries(&mut self, stored: u64) -> Result<()> {
        let mut block = 0;
        while block < stored {
            self.report.progress("block table", block, stored);
            let count = (PIECE / ENTRY).min(stored - block);
            let len = usize::try_from(count * ENTRY).expect("at most PIECE");
            let bytes = read_vec(&**self.file, self.layout.header.table_offset + block * ENTRY, len)?;
            for (raw, block) in bytes.as_chunks::<4>().0.iter().zip(block..) {
                match u32::from_be_bytes(*raw) {
                    BAT_UNUSED => {}
                    sector => self.entry(block, sector),
                }
            }
            block += count;
        }
        self.flush();
        Ok(())
    }

    fn entry(&mut self, block: u64, sector: u32) {
        let start = u64::from(sector) * SECTOR;
        let end = start + self.length;
        let first_byte = block * self.layout.header.block_size;
        let needed = self.layout.virtual_size.saturating_sub(first_byte).min(self.layout.header.block_size);
        let data = start + self.layout.header.bitmap_size();
        if self.structures.iter().any(|range| start < range.end && range.start < end) {
            return self.fault(block, sector, Fault::OnStructures);
        }
        if data >= self.file.size() {
            self.fault(block, sector, Fault::BeyondEnd);
        } else if data + needed > self.file.size() {
            self.fault(block, sector, Fault::CutOff);
        }
        if start < self.file.size() {
            self.placed.push((sector, u32::try_from(block).expect("below MAX_ENTRIES")));
        }
    }

    fn fault(&mut self, block: u64, sector: u32, fault: Fault) {
        match &mut self.pending {
            Some((same, _, last, _)) if *same == fault && *last + 1 == block => *last = block,
            _ => {
                self.flush();
                self.pending = Some((fault, block, block, sector));
            }
        }
    }

    fn flush(&mut self) {
        let Some((fault, first, last, sector)) = self.pending.take() else { return };
        if !self.may_report() {
            return;
        }
        let at = u64::from(sector) * SECTOR;
        let (problem, meaning) = match fault {
            Fault::OnStructures => (
                format!("at byte {at:#x} of the file, where its own structures are"),
                "the block cannot be read: its place is lost",
            ),
            Fault::BeyondEnd => (
                format!("at byte {at:#x}, beyond the end of the file"),
                "the file was cut off or the entry is damaged: what the guest wrote there is lost",
            ),
            Fault::CutOff => (
                format!("at byte {at:#x}; the file ends inside"),
                "the file was cut off: the rest of what the guest wrote there is lost",
            ),
        };
        let structure = match first == last {
            true => format!("VHD block allocation table entry {first}"),
            false => format!("VHD block allocation table entries {first} to {last}"),
        };
        let problem = format!("{problem} ({})", self.affected(first, last));
        self.report.finding(Finding::new(Severity::Error, structure, problem, meaning));
    }

    /// Counts a fault; returns false above the limit.
    fn may_report(&mut self) -> bool {
        self.reported += 1;
        self.reported <= MAX_REPORTED
    }

    /// Reports the number of faults that were only counted.
    fn withheld(&mut self) {
        let withheld = self.reported.saturating_sub(MAX_REPORTED);
        if withheld > 0 {
            let problem = format!("{withheld} more faults like these");
            let meaning = "a table with so much damage was overwritten; restore the disk from a backup";
            self.report.finding(Finding::error(TABLE, problem, meaning));
        }
    }

    fn affected(&self, first: u64, last: u64) -> String {
        let byte = |block: u64| (block * self.layout.header.block_size).min(self.layout.virtual_size);
        span(byte(first)..byte(last + 1))
    }

    /// Checks the table's entries after those that the disk needs.
    fn behind(&mut self, needed: u64) -> Result<()> {
        let all = u64::from(self.layout.header.max_table_entries);
        let start = self.layout.header.table_offset.saturating_add(needed * ENTRY);
        // Entries that a damaged header states beyond the end of the file do not exist.
        let stored = self.file.size().saturating_sub(start) / ENTRY;
        let mut strange = 0;
        let mut at = 0;
        let count = (all - needed).min(stored);
        while at < count {
            let now = (PIECE / ENTRY).min(count - at);
            let len = usize::try_from(now * ENTRY).expect("at most PIECE");
            let bytes = read_vec(&**self.file, start + at * ENTRY, len)?;
            strange +=
                bytes.as_chunks::<4>().0.iter().filter(|raw| **raw != BAT_UNUSED.to_be_bytes()).count();
            at += now;
        }
        if strange > 0 {
            let problem = format!("{strange} entries behind the last one that the disk needs are in use");
            let meaning = "remains of a larger disk, which nothing reads";
            self.report.finding(Finding::note(TABLE, problem, meaning));
        }
        Ok(())
    }

    /// Finds blocks that overlap in the file. Leaves `placed` sorted.
    fn shared(&mut self) -> bool {
        let mut placed = std::mem::take(&mut self.placed);
        placed.sort_unstable();
        let mut shared = false;
        // All blocks have the same length, so comparing neighbours finds every overlap.
        for pair in placed.windows(2) {
            let ((first, one), (second, other)) = (pair[0], pair[1]);
            let at = u64::from(second) * SECTOR;
            if u64::from(first) * SECTOR + self.length <= at {
                continue;
            }
            shared = true;
            if self.may_report() {
                let structure = format!("VHD block allocation table entry {other}");
                let affected = self.affected(other.into(), other.into());
                let problem =
                    format!("claims byte {at:#x} of the file, which is that of block {one} ({affected})");
                let meaning = "at most one of them has its own data, the other shows what is not its; restore the disk from \
                               a backup";
                self.report.finding(Finding::error(structure, problem, meaning));
            }
        }
        self.placed = placed;
        shared
    }

    /// Finds gaps that are as long as whole blocks and belong to none.
    fn gaps(&mut self) {
        let mut ends: Vec<_> = self.structures.clone();
        ends.sort_by_key(|range| range.start);
        let mut structures = ends.into_iter().peekable();
        let (mut reached, mut lost, mut at_end) = (0_u64, 0_u64, 0_u64);
        let length = self.length;
        let mut pass = |start: u64, end: u64, last: bool| {
            let blocks = start.saturating_sub(reached) / length;
            lost += blocks;
            if last {
                at_end = blocks;
            }
            reached = reached.max(end);
        };
        for (sector, _) in &self.placed {
            let start = u64::from(*sector) * SECTOR;
            while let Some(range) = structures.next_if(|range| range.start <= start) {
                pass(range.start, range.end, false);
            }
            pass(start, start + length, false);
        }
        structures.for_each(|range| pass(range.start, range.end, false));
        pass(self.layout.data_end, self.layout.data_end, true);
        if lost > 0 {
            let mut problem = format!("room for {lost} blocks of {length} bytes belongs to nothing");
            if at_end > 0 {
                problem += &format!(", {at_end} of it at the end");
            }
            let meaning = "space that no entry leads to; compacting the disk gives it back to the host";
            self.report.finding(Finding::note("VHD file", problem, meaning));
        }
    }

    /// Checks a dynamic disk's sector bitmaps, which Windows ignores but other programs use.
    fn bitmaps(&mut self) -> Result<()> {
        let header = self.layout.header;
        let bitmap = usize::try_from(header.bitmap_size()).expect("64 KiB at most");
        let mut clear = 0_u64;
        let total = self.placed.len() as u64;
        for (done, (sector, block)) in (0..).zip(&self.placed) {
            self.report.progress("sector bitmaps", done, total);
            let at = u64::from(*sector) * SECTOR;
            if at + header.bitmap_size() > self.file.size() {
                continue;
            }
            let bytes = read_vec(&**self.file, at, bitmap)?;
            let rest = self.layout.virtual_size.saturating_sub(u64::from(*block) * header.block_size);
            let sectors = rest.min(header.block_size) / SECTOR;
            let whole = usize::try_from(sectors / 8).expect("within the bitmap");
            let tail =
                0xff_u8.checked_shr(u32::try_from(sectors % 8).expect("below 8")).map_or(0, |bits| !bits);
            let set = bytes[..whole].iter().all(|byte| *byte == 0xff)
                && bytes.get(whole).is_none_or(|byte| byte & tail == tail);
            clear += u64::from(!set);
        }
        if clear > 0 {
            let problem = format!("in {clear} of {total} blocks some sectors are marked as never written");
            let meaning = "Windows and this program read what the block holds, as for every dynamic disk; 7-Zip reads zeros there";
            self.report.finding(Finding::note("VHD sector bitmaps", problem, meaning));
        }
        Ok(())
    }
}
