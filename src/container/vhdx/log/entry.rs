//! A log entry (MS-VHDX 2.3.1): descriptors, then one sector per data descriptor. Read sector by sector, so that an entry
//! as long as the log need not be held in memory.

use std::ops::Range;

use zerocopy::FromBytes;

use super::super::format::{self, LOG_SECTOR, LogDataSector, LogDescriptor, LogEntryHeader};
use crate::{Error, Place, Result, bytes::ByteSource, guid::Guid};

const SECTOR: u64 = LOG_SECTOR as u64;
const HEADER_SIZE: usize = size_of::<LogEntryHeader>();
const DESCRIPTOR_SIZE: usize = size_of::<LogDescriptor>();
/// Sectors read at once.
const READ_SECTORS: u64 = 16;
/// Largest file offset of a host; an update must not write beyond it.
pub(super) const MAX_FILE_SIZE: u64 = i64::MAX.cast_unsigned();

/// The log: a ring of sectors.
#[derive(Clone, Copy)]
pub(super) struct Ring<'a> {
    pub(super) source: &'a dyn ByteSource,
    pub(super) start: u64,
    /// A multiple of the sector size, not 0.
    pub(super) length: u64,
}

impl<'a> Ring<'a> {
    /// Reads from offset `at` in the log, wrapping at its end.
    pub(super) fn read(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let at = at % self.length;
        let before_end = usize::try_from(self.length - at).map_or(buf.len(), |len| len.min(buf.len()));
        let (tail, wrapped) = buf.split_at_mut(before_end);
        self.source.read_exact_at(self.start + at, tail)?;
        if wrapped.is_empty() { Ok(()) } else { self.source.read_exact_at(self.start, wrapped) }
    }

    fn sectors(&self, range: Range<u64>) -> Sectors<'a> {
        Sectors { ring: *self, range, buf: Vec::new(), used: 0 }
    }
}

/// The sectors of the ring in order, a few read ahead.
struct Sectors<'a> {
    ring: Ring<'a>,
    range: Range<u64>,
    buf: Vec<u8>,
    used: usize,
}

impl Sectors<'_> {
    fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.used == self.buf.len() {
            let sectors = ((self.range.end - self.range.start) / SECTOR).min(READ_SECTORS);
            if sectors == 0 {
                return Ok(None);
            }
            self.buf.resize(usize::try_from(sectors * SECTOR).expect("READ_SECTORS at most"), 0);
            self.ring.read(self.range.start, &mut self.buf)?;
            self.range.start += sectors * SECTOR;
            self.used = 0;
        }
        let sector = &self.buf[self.used..self.used + LOG_SECTOR];
        self.used += LOG_SECTOR;
        Ok(Some(sector))
    }
}

/// The validated header of an entry; [`Self::is_whole`] validates the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogEntry {
    /// Offset in the log.
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) tail: u64,
    pub(super) sequence_number: u64,
    pub(super) flushed_file_offset: u64,
    pub(super) last_file_offset: u64,
    descriptor_count: u32,
    checksum: u32,
}

/// An update that a descriptor describes.
pub(in super::super) enum Update<'a> {
    /// Write this sector at this file offset.
    Data(u64, &'a [u8; LOG_SECTOR]),
    /// Write zeros: file offset and length.
    Zeros(u64, u64),
}

impl LogEntry {
    /// Parses the first sector of an entry; `None` when no valid entry can begin with it.
    pub(super) fn parse(sector: &[u8], at: u64, log_length: u64, log_guid: Guid) -> Option<Self> {
        let (raw, _) = LogEntryHeader::ref_from_prefix(sector).ok()?;
        let (length, tail) = (u64::from(raw.entry_length.get()), u64::from(raw.tail.get()));
        let entry = Self {
            at,
            length,
            tail,
            sequence_number: raw.sequence_number.get(),
            flushed_file_offset: raw.flushed_file_offset.get(),
            last_file_offset: raw.last_file_offset.get(),
            descriptor_count: raw.descriptor_count.get(),
            checksum: raw.checksum.get(),
        };
        let valid = raw.signature == *format::LOG_SIGNATURE
            && raw.log_guid == log_guid
            && entry.sequence_number > 0
            && length.is_multiple_of(SECTOR)
            && tail.is_multiple_of(SECTOR)
            && length <= log_length
            && tail < log_length
            && entry.descriptor_bytes() <= length;
        valid.then_some(entry)
    }

    /// Bytes of the sectors that hold the header and the descriptors.
    fn descriptor_bytes(&self) -> u64 {
        let bytes = HEADER_SIZE as u64 + u64::from(self.descriptor_count) * DESCRIPTOR_SIZE as u64;
        bytes.div_ceil(SECTOR) * SECTOR
    }

    /// Reads and validates the whole entry: checksum, descriptors, the sequence numbers in every sector. `budget`: bytes
    /// of the log that may still be read.
    pub(super) fn is_whole(&self, ring: Ring<'_>, budget: &mut u64) -> Result<bool> {
        let mut sectors = ring.sectors(self.at..self.at + self.length);
        let (mut crc, mut first, mut descriptors, mut data) = (0, true, self.descriptor_count, 0_u64);
        while let Some(sector) = sectors.next()? {
            *budget = budget.checked_sub(SECTOR).ok_or_else(|| {
                Error::corrupt(
                    "VHDX log",
                    Place::Byte(ring.start + self.at),
                    "its entries overlap again and again",
                )
            })?;
            if first {
                crc = super::super::header::checksum(sector);
            } else {
                crc = crc32c::crc32c_append(crc, sector);
            }
            if first || descriptors > 0 {
                for raw in descriptors_in(sector, first, &mut descriptors) {
                    match self.decode(raw) {
                        None => return Ok(false),
                        Some(is_data) => data += u64::from(is_data),
                    }
                }
            } else if data > 0 {
                data -= 1;
                if self.data_sector(sector).is_none() {
                    return Ok(false);
                }
            }
            first = false;
        }
        Ok(crc == self.checksum && descriptors == 0 && data == 0)
    }

    /// Passes each update to `apply`, in order. The entry is validated again while it is read: the file may have changed.
    pub(super) fn updates(
        &self,
        ring: Ring<'_>,
        mut apply: impl FnMut(Update<'_>) -> Result<()>,
    ) -> Result<()> {
        let damaged = || {
            Error::corrupt(
                "VHDX log entry",
                Place::Byte(ring.start + self.at),
                "it changed while it was read",
            )
        };
        let data_start = self.at + self.descriptor_bytes();
        let mut sectors = ring.sectors(self.at..data_start);
        let mut data = ring.sectors(data_start..self.at + self.length);
        let (mut first, mut descriptors) = (true, self.descriptor_count);
        let mut bytes = [0; LOG_SECTOR];
        while let Some(sector) = sectors.next()? {
            for raw in descriptors_in(sector, first, &mut descriptors) {
                let is_data = self.decode(raw).ok_or_else(damaged)?;
                if is_data {
                    let stored =
                        data.next()?.and_then(|sector| self.data_sector(sector)).ok_or_else(damaged)?;
                    bytes[..8].copy_from_slice(&raw.leading_bytes);
                    bytes[8..4092].copy_from_slice(&stored.data);
                    bytes[4092..].copy_from_slice(&raw.trailing_bytes);
                    apply(Update::Data(raw.file_offset.get(), &bytes))?;
                } else {
                    apply(Update::Zeros(raw.file_offset.get(), zero_length(raw)))?;
                }
            }
            first = false;
        }
        Ok(())
    }

    /// Validates a descriptor: true for data, false for zeros, `None` when it is invalid.
    fn decode(&self, raw: &LogDescriptor) -> Option<bool> {
        let (is_data, length) = match &raw.signature {
            format::DESC_SIGNATURE => (true, SECTOR),
            format::ZERO_SIGNATURE => (false, zero_length(raw)),
            _ => return None,
        };
        let offset = raw.file_offset.get();
        let valid = raw.sequence_number.get() == self.sequence_number
            && offset.is_multiple_of(SECTOR)
            && length.is_multiple_of(SECTOR)
            && offset.checked_add(length).is_some_and(|end| end <= MAX_FILE_SIZE);
        valid.then_some(is_data)
    }

    fn data_sector<'s>(&self, sector: &'s [u8]) -> Option<&'s LogDataSector> {
        let raw = LogDataSector::ref_from_bytes(sector).ok()?;
        let number = u64::from(raw.sequence_high.get()) << 32 | u64::from(raw.sequence_low.get());
        (raw.signature == *format::DATA_SIGNATURE && number == self.sequence_number).then_some(raw)
    }
}

fn zero_length(raw: &LogDescriptor) -> u64 {
    u64::from_le_bytes(raw.leading_bytes)
}

/// The descriptors in a sector, at most `left`, which is reduced by their number.
fn descriptors_in<'s>(sector: &'s [u8], first: bool, left: &mut u32) -> &'s [LogDescriptor] {
    let bytes = if first { &sector[HEADER_SIZE..] } else { sector };
    let room = bytes.len() / DESCRIPTOR_SIZE;
    let count = usize::try_from(*left).map_or(room, |left| left.min(room));
    *left -= u32::try_from(count).expect("at most *left");
    let (list, _) =
        <[LogDescriptor]>::ref_from_prefix_with_elems(bytes, count).expect("count fits the bytes");
    list
}
