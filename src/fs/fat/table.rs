//! The file allocation table and its copies. Never in memory as a whole: entries are read through cached pages, scans
//! stream. Where one copy cannot be read, another copy replaces it.

use std::ops::{ControlFlow, Range};

use super::{
    boot::{Geometry, Width},
    pages::{Pages, Reader},
};
use crate::{
    Result,
    bytes::{ByteSource, Extent, ExtentKind},
};

/// Maximum bytes per read when a whole table is scanned.
const SCAN_PIECE: u64 = 1 << 20;
/// Minimum bytes per read, and the unit of what is skipped. Where a table is stored in patches, larger ones would read mostly holes.
const SCAN_UNIT: u64 = 16 << 10;

/// Maximum number of copies used. There are two, rarely four; 255 would multiply the time that a damaged chain takes.
const MAX_COPIES: u8 = 4;

/// The decoded table entry of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FatEntry {
    Free,
    Next(u32),
    End,
    Bad,
    /// Reserved, or the number of a nonexistent cluster.
    Invalid(u32),
}

/// The positions of the table's copies, in order of preference.
#[derive(Debug)]
pub(super) struct Table {
    width: Width,
    clusters: u32,
    copies: Vec<u64>,
}

impl Table {
    /// Orders the copies: those whose first entry repeats the media descriptor, as required, come first.
    pub(super) fn new(geometry: &Geometry, pages: &Pages, problems: &mut Vec<String>) -> Self {
        let offset = |copy: u8| geometry.fat_offset + u64::from(copy) * geometry.fat_len;
        let copies = match geometry.active_fat {
            Some(active) => vec![offset(active)],
            None => (0..geometry.fats.min(MAX_COPIES)).map(offset).collect(),
        };
        let mut table = Self { width: geometry.width, clusters: geometry.clusters, copies };
        let media = match geometry.width {
            Width::Fat12 => 0xf00,
            Width::Fat16 => 0xff00,
            Width::Fat32 => 0x0fff_ff00,
        } | u32::from(geometry.media);
        let mut reader = pages.reader();
        let marked = |copy: &u64, reader: &mut Reader<'_>| matches!(table.raw_at(*copy, 0, reader), Ok(raw) if raw == media);
        let good: Vec<bool> = table.copies.iter().map(|copy| marked(copy, &mut reader)).collect();
        if let Some(first) = good.iter().position(|good| *good)
            && first != 0
        {
            problems.push(format!("table 1 damaged: table {} is preferred", first + 1));
            table.copies.swap(0, first);
        }
        table
    }

    pub(super) fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Byte position of a copy.
    pub(super) fn position(&self, copy: usize) -> u64 {
        self.copies[copy]
    }

    /// The number of a copy on the disk, from 1 on: the order here is that of preference.
    pub(super) fn number(&self, copy: usize, geometry: &Geometry) -> u64 {
        (self.copies[copy] - geometry.fat_offset) / geometry.fat_len.max(1) + 1
    }

    /// The undecoded entry of this copy only.
    pub(super) fn raw_alone(&self, copy: usize, cluster: u32, reader: &mut Reader<'_>) -> Result<u32> {
        self.raw_at(self.copies[copy], cluster, reader)
    }

    /// The entry of `cluster` in one copy, or in any other if that is unreadable.
    pub(super) fn entry(&self, copy: usize, cluster: u32, reader: &mut Reader<'_>) -> Result<FatEntry> {
        Ok(self.classify(self.raw(copy, cluster, reader)?))
    }

    /// As [`Self::entry`], undecoded: for the flags in the entry of cluster 1.
    pub(super) fn raw(&self, copy: usize, cluster: u32, reader: &mut Reader<'_>) -> Result<u32> {
        let first = self.raw_at(self.copies[copy], cluster, reader);
        if first.is_ok() {
            return first;
        }
        let mut others = self.copies.iter().map(|copy| self.raw_at(*copy, cluster, reader));
        others.find(Result::is_ok).unwrap_or(first)
    }

    fn raw_at(&self, copy: u64, cluster: u32, reader: &mut Reader<'_>) -> Result<u32> {
        let cluster = u64::from(cluster);
        let mut bytes = [0; 4];
        Ok(match self.width {
            Width::Fat12 => {
                reader.read(copy + cluster + cluster / 2, &mut bytes[..2])?;
                let pair = u32::from_le_bytes(bytes);
                if cluster % 2 == 0 { pair & 0xfff } else { pair >> 4 }
            }
            Width::Fat16 => {
                reader.read(copy + cluster * 2, &mut bytes[..2])?;
                u32::from_le_bytes(bytes)
            }
            Width::Fat32 => {
                reader.read(copy + cluster * 4, &mut bytes)?;
                u32::from_le_bytes(bytes) & 0x0fff_ffff
            }
        })
    }

    fn classify(&self, raw: u32) -> FatEntry {
        let bad = match self.width {
            Width::Fat12 => 0xff7,
            Width::Fat16 => 0xfff7,
            Width::Fat32 => 0x0fff_fff7,
        };
        match raw {
            0 => FatEntry::Free,
            raw if raw > bad => FatEntry::End,
            raw if raw == bad => FatEntry::Bad,
            raw if raw >= 2 && raw - 2 < self.clusters => FatEntry::Next(raw),
            raw => FatEntry::Invalid(raw),
        }
    }

    /// Calls `sink` with each maximal range of free clusters, ascending, until it breaks.
    pub(super) fn scan_free(
        &self,
        volume: &dyn ByteSource,
        sink: &mut dyn FnMut(Range<u32>) -> ControlFlow<()>,
    ) -> Result<()> {
        let end = self.clusters + 2;
        let len = (u64::from(end) * self.width.bits()).div_ceil(8);
        let mut free_from = None;
        let mut cluster = 0_u32;
        let mut buf = vec![0; usize::try_from(len.min(SCAN_PIECE)).expect("at most SCAN_PIECE")];
        let mut mark = |cluster: u32, raw: u32| -> ControlFlow<()> {
            match (raw == 0 && (2..end).contains(&cluster), free_from) {
                (true, None) => free_from = Some(cluster),
                (false, Some(from)) => {
                    free_from = None;
                    return sink(from..cluster);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        };
        let mut offset = 0;
        while offset < len {
            let piece = self.piece(volume, offset, len);
            // A hole is zeros, and zero entries mark free clusters.
            if piece.kind == ExtentKind::Hole {
                let first = cluster;
                cluster += u32::try_from(piece.len * 8 / self.width.bits()).expect("below 2^28 entries");
                if mark(first, 0).is_break() || first < 2 && mark(2, 0).is_break() {
                    return Ok(());
                }
                offset += piece.len;
                continue;
            }
            let take = usize::try_from(piece.len).expect("at most SCAN_PIECE");
            let piece = &mut buf[..take];
            self.read_piece(volume, offset, piece)?;
            let flow = match self.width {
                // Always in a single piece: at most 4086 entries, 6129 bytes.
                Width::Fat12 => piece.chunks(3).try_for_each(|three| {
                    let [a, b, c] = [0, 1, 2].map(|i| u32::from(three.get(i).copied().unwrap_or(0xff)));
                    mark(cluster, a | (b & 0x0f) << 8)?;
                    mark(cluster + 1, b >> 4 | c << 4)?;
                    cluster += 2;
                    ControlFlow::Continue(())
                }),
                Width::Fat16 => piece.as_chunks::<2>().0.iter().try_for_each(|entry| {
                    mark(cluster, u16::from_le_bytes(*entry).into())?;
                    cluster += 1;
                    ControlFlow::Continue(())
                }),
                Width::Fat32 => piece.as_chunks::<4>().0.iter().try_for_each(|entry| {
                    mark(cluster, u32::from_le_bytes(*entry) & 0x0fff_ffff)?;
                    cluster += 1;
                    ControlFlow::Continue(())
                }),
            };
            if flow.is_break() {
                return Ok(());
            }
            offset += take as u64;
        }
        let _ = mark(end, 1);
        Ok(())
    }

    /// What a scan does next, at `offset` of the table: skips a hole, or reads what is stored.
    fn piece(&self, volume: &dyn ByteSource, offset: u64, len: u64) -> Extent {
        let (left, whole) = (len - offset, |len: u64| len.next_multiple_of(SCAN_UNIT));
        match volume.extent_at(self.copies[0] + offset) {
            // FAT12 is read at once.
            _ if self.width == Width::Fat12 => Extent { kind: ExtentKind::Data, len: left },
            Ok(Extent { kind: ExtentKind::Hole, len: hole }) if hole >= left => {
                Extent { kind: ExtentKind::Hole, len: left }
            }
            Ok(Extent { kind: ExtentKind::Hole, len: hole }) if hole >= SCAN_UNIT => {
                Extent { kind: ExtentKind::Hole, len: hole - hole % SCAN_UNIT }
            }
            Ok(extent) => {
                let stored = whole(extent.len.min(SCAN_PIECE)).max(SCAN_UNIT);
                Extent { kind: ExtentKind::Data, len: stored.min(left) }
            }
            Err(_) => Extent { kind: ExtentKind::Data, len: left.min(SCAN_PIECE) },
        }
    }

    fn read_piece(&self, volume: &dyn ByteSource, offset: u64, piece: &mut [u8]) -> Result<()> {
        let first = volume.read_exact_at(self.copies[0] + offset, piece);
        if first.is_ok()
            || self.copies[1..].iter().any(|copy| volume.read_exact_at(copy + offset, piece).is_ok())
        {
            return Ok(());
        }
        first
    }
}
