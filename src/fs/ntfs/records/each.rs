//! `$MFT` read from end to end in large pieces. Guards: holes, in the table itself or in the disk below it, and records
//! beyond the end of the volume are skipped in bulk, so that the stored bytes bound the work; a piece that cannot be read
//! costs only its unreadable records.

use std::ops::Range;

use crate::{
    Error, Place,
    bytes::{ByteSource, ExtentKind},
    fs::ntfs::{
        fixup,
        records::{Header, mft::Mft},
    },
};

/// Bytes per read: a multiple of every record size.
const PIECE: u64 = 1 << 20;

/// The content of one record of the table.
pub(in super::super) enum Slot<'a> {
    /// Not in use, whatever its content.
    Unused,
    /// In use: its header, and its bytes after the fixup.
    InUse(Header, &'a [u8]),
    Damaged(Error),
}

/// Maximum number of separate ranges; beyond it, records in between count as stored.
const MAX_RANGES: usize = 1 << 20;

/// The stored records of the table, by ranges of their numbers, ascending. All others are in holes, and therefore not in
/// use.
#[derive(Debug, Default)]
pub(in super::super) struct Layout {
    /// Ranges of stored records, each with the number of stored records before it.
    stored: Vec<(Range<u64>, u64)>,
    /// Ranges of records beyond the end of the volume.
    pub(in super::super) lost: Vec<Range<u64>>,
}

impl Layout {
    /// Follows the table's run list, and the extents of the source below it.
    pub(in super::super) fn of(mft: &Mft) -> Self {
        let (size, end) = (mft.boot.record_size, mft.records().saturating_mul(mft.boot.record_size));
        let mut layout = Self::default();
        for (mut offset, position, len) in mft.data().runs().iter() {
            let Some(mut position) = position else { continue };
            let run_end = offset.saturating_add(len).min(end);
            while offset < run_end {
                let rest = run_end - offset;
                let (kind, len) = match mft.volume.extent_at(position) {
                    _ if position >= mft.volume.size() => (None, rest),
                    Ok(extent) if extent.len > 0 => (Some(extent.kind), extent.len.min(rest)),
                    _ => (Some(ExtentKind::Data), rest),
                };
                let records = offset / size..(offset + len).div_ceil(size);
                match kind {
                    Some(ExtentKind::Data) => layout.push(records),
                    Some(ExtentKind::Hole) => {}
                    None => layout.lost.push(records),
                }
                offset += len;
                position = position.saturating_add(len);
            }
        }
        layout
    }

    fn push(&mut self, records: Range<u64>) {
        let full = self.stored.len() >= MAX_RANGES;
        match self.stored.last_mut() {
            // A record in two clusters, or too many ranges.
            Some((last, _)) if records.start <= last.end || full => last.end = last.end.max(records.end),
            _ => {
                let before = self.records();
                self.stored.push((records, before));
            }
        }
    }

    /// Number of stored records.
    pub(in super::super) fn records(&self) -> u64 {
        self.stored.last().map_or(0, |(range, before)| before + (range.end - range.start))
    }

    /// Number of stored records before this one; `None` if it is not stored.
    pub(in super::super) fn index(&self, number: u64) -> Option<u64> {
        let at = self.stored.partition_point(|(range, _)| range.end <= number);
        let (range, before) = self.stored.get(at)?;
        range.contains(&number).then(|| before + (number - range.start))
    }

    /// The numbers of the stored records, from the one with this index on.
    pub(in super::super) fn numbers(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        let at = self.stored.partition_point(|(range, before)| before + (range.end - range.start) <= index);
        self.stored[at..]
            .iter()
            .flat_map(move |(range, before)| range.start + index.saturating_sub(*before)..range.end)
    }

    /// The ranges between the stored records, and behind the last one up to `records`.
    pub(in super::super) fn holes(&self, records: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let starts = std::iter::once(0).chain(self.stored.iter().map(|(range, _)| range.end));
        let ends = self.stored.iter().map(|(range, _)| range.start).chain([records]);
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| range.start < range.end)
    }

    /// True for a record beyond the end of the volume.
    pub(in super::super) fn is_lost(&self, number: u64) -> bool {
        let at = self.lost.partition_point(|range| range.end <= number);
        self.lost.get(at).is_some_and(|range| range.contains(&number))
    }
}

/// Calls `f` with each stored record, ascending.
pub(in super::super) fn each_record(mft: &Mft, layout: &Layout, f: &mut dyn FnMut(u64, Slot<'_>)) {
    let size = mft.boot.record_size;
    let record_len = usize::try_from(size).expect("the boot sector bounds it");
    let mut buf = Vec::new();
    for (range, _) in &layout.stored {
        let (mut number, end) = (range.start, range.end.min(mft.records()));
        while number < end {
            let offset = number * size;
            let len = PIECE.min((end - number) * size);
            buf.resize(usize::try_from(len).expect("at most a piece"), 0);
            let whole = mft.data().read_exact_at(offset, &mut buf);
            for record in buf.chunks_exact_mut(record_len) {
                let read = match &whole {
                    Ok(()) => Ok(()),
                    Err(_) => mft.data().read_exact_at(number * size, record),
                };
                f(number, read.map_or_else(Slot::Damaged, |()| slot(record, number)));
                number += 1;
            }
        }
    }
}

fn slot(record: &mut [u8], number: u64) -> Slot<'_> {
    if record.starts_with(b"FILE")
        && let Err(error) = fixup::apply(record, "FILE record", Place::Record(number))
    {
        return Slot::Damaged(error);
    }
    match Header::parse(record, number) {
        Ok(Some(header)) => Slot::InUse(header, record),
        Ok(None) => Slot::Unused,
        Err(error) => Slot::Damaged(error),
    }
}
