//! File records (`FILE_RECORD_SEGMENT_HEADER`): the header, and iteration over the attributes. Guards: everything that is
//! returned is inside the record's bytes in use.

pub(super) mod each;
pub(super) mod extents;
pub(super) mod file;
pub(super) mod mft;

use std::sync::Arc;

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::attributes::{Attribute, reference::FileReference};
use crate::{Error, Place, Result, bytes::Buffer};

/// Numbers of the fixed records.
pub(super) mod number {
    pub(in crate::fs::ntfs) const MFT: u64 = 0;
    pub(in crate::fs::ntfs) const MFT_MIRROR: u64 = 1;
    pub(in crate::fs::ntfs) const LOGFILE: u64 = 2;
    pub(in crate::fs::ntfs) const VOLUME: u64 = 3;
    pub(in crate::fs::ntfs) const ROOT: u64 = 5;
    pub(in crate::fs::ntfs) const BITMAP: u64 = 6;
    pub(in crate::fs::ntfs) const SECURE: u64 = 9;
    pub(in crate::fs::ntfs) const UPCASE: u64 = 10;
    /// The first record that neither belongs to the system nor is reserved for it.
    pub(in crate::fs::ntfs) const FIRST_USER: u64 = 16;
}

/// Bits of the record number in a node number: the limit of NTFS itself is 2^32 records; a table of 2^34 records of 1 KiB
/// takes 16 TiB.
pub(super) const RECORD_BITS: u32 = 34;

/// As on disk.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    signature: [u8; 4],
    update_sequence_offset: U16,
    update_sequence_size: U16,
    log_sequence_number: U64,
    sequence_number: U16,
    link_count: U16,
    first_attribute_offset: U16,
    flags: U16,
    bytes_in_use: U32,
    bytes_allocated: U32,
    base_record: U64,
}

const IN_USE: u16 = 1;
const DIRECTORY: u16 = 2;
/// Length of the end mark with its padding to 8 bytes.
const END_LEN: usize = 8;

/// The validated header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Sequence number: how often the record was reused.
    pub sequence_number: u16,
    /// Number of names, those of the DOS namespace included.
    pub link_count: u16,
    /// The record has a name index.
    pub directory: bool,
    /// The base record of an extension record; 0 in a base record.
    pub base: FileReference,
    /// False for the record of a deleted file.
    pub in_use: bool,
    number: u64,
    attributes: usize,
    end: usize,
}

impl Header {
    /// Parses a record after its fixup. `None` if it is not in use.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if offsets lead out of the record.
    pub fn parse(record: &[u8], number: u64) -> Result<Option<Self>> {
        Self::parse_if(record, number, true)
    }

    /// Parses the record of a deleted file. `None` if it is in use, or was never used.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_freed(record: &[u8], number: u64) -> Result<Option<Self>> {
        Self::parse_if(record, number, false)
    }

    /// True for a record that was in use and is freed; it may be damaged.
    pub(super) fn is_freed(record: &[u8]) -> bool {
        Raw::ref_from_prefix(record)
            .is_ok_and(|(raw, _)| &raw.signature == b"FILE" && raw.flags.get() & IN_USE == 0)
    }

    fn parse_if(record: &[u8], number: u64, in_use: bool) -> Result<Option<Self>> {
        let corrupt = |problem: &'static str| Error::corrupt("FILE record", Place::Record(number), problem);
        let (raw, _) = Raw::ref_from_prefix(record).map_err(|_| corrupt("too short"))?;
        match &raw.signature {
            b"FILE" => {}
            // Never used: records are formatted when the table grows, or are in a hole.
            [0, 0, 0, 0] => return Ok(None),
            b"BAAD" => return Err(corrupt("marked as damaged (BAAD)")),
            _ => return Err(corrupt("no FILE signature")),
        }
        if (raw.flags.get() & IN_USE != 0) != in_use {
            return Ok(None);
        }
        let attributes = usize::from(raw.first_attribute_offset.get());
        let end = usize::try_from(raw.bytes_in_use.get()).unwrap_or(usize::MAX);
        if end > record.len() || attributes > end || attributes < size_of::<Raw>() || attributes % 8 != 0 {
            return Err(corrupt("attributes lie outside of the record"));
        }
        Ok(Some(Self {
            sequence_number: raw.sequence_number.get(),
            link_count: raw.link_count.get(),
            directory: raw.flags.get() & DIRECTORY != 0,
            base: FileReference(raw.base_record.get()),
            in_use,
            number,
            attributes,
            end,
        }))
    }

    /// True if a reference with this sequence number refers to the content of the record. The number is incremented when the
    /// record is freed; 0 in a reference is not checked.
    pub fn answers_to(&self, sequence: u16) -> bool {
        // The increment skips 0.
        let before = if self.sequence_number == 1 { u16::MAX } else { self.sequence_number.wrapping_sub(1) };
        sequence == 0 || sequence == self.sequence_number || !self.in_use && sequence == before
    }

    /// The record number in the record itself: version 3.1 has the field before the update sequence array.
    pub(super) fn stated_number(&self, record: &[u8]) -> Option<u32> {
        let array = record.get(4..6)?.first_chunk().copied().map(u16::from_le_bytes)?;
        let number = record.get(0x2c..0x30)?.first_chunk().copied().map(u32::from_le_bytes)?;
        (array >= 0x30).then_some(number)
    }

    /// The end of the attributes, the end mark and its padding included, and the largest attribute number. `None` if they
    /// are damaged.
    pub(super) fn measure(&self, record: &[u8]) -> Option<(usize, Option<u16>)> {
        // All attributes up to the end mark: the stated end may be the wrong one.
        let (mut at, mut largest) = (self.attributes, None);
        loop {
            let rest = record.get(at..)?;
            let Some((_, len)) = Attribute::parse(rest).ok()? else { break };
            let instance = u16::from_le_bytes(*rest.get(14..16)?.first_chunk()?);
            largest = largest.max(Some(instance));
            at += len;
        }
        Some((at + END_LEN, largest))
    }

    /// The header's own values: the bytes in use, and the number of the next attribute.
    pub(super) fn states(&self, record: &[u8]) -> (usize, u16) {
        let next = record.get(0x28..0x2a).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        (self.end, u16::from_le_bytes(next))
    }

    /// Iterates over the attributes of the record with this header.
    pub fn attributes<'a>(&self, record: &'a [u8]) -> Attributes<'a> {
        Attributes {
            record: &record[..self.end.min(record.len())],
            offset: self.attributes,
            number: self.number,
        }
    }
}

/// The error for a damaged attribute, outside of the iterator, which is short enough to be inlined then.
#[cold]
fn damaged(record: u64, offset: usize, problem: &str) -> Error {
    Error::corrupt("attribute", Place::Record(record), format!("at {offset:#x} of the record: {problem}"))
}

/// Iterator over a record's attributes; ends after the first damaged one.
pub struct Attributes<'a> {
    record: &'a [u8],
    offset: usize,
    /// Record number.
    number: u64,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.record.get(self.offset..)?;
        match Attribute::parse(rest) {
            Ok(Some((attribute, len))) => {
                // At least the length of a header: every step advances.
                self.offset += len;
                Some(Ok(attribute))
            }
            Ok(None) => {
                self.offset = usize::MAX;
                None
            }
            Err(problem) => {
                let offset = std::mem::replace(&mut self.offset, usize::MAX);
                Some(Err(damaged(self.number, offset, problem)))
            }
        }
    }
}

/// A record, within the cached piece of the MFT.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) header: Header,
    piece: Arc<Buffer>,
    start: usize,
}

impl Record {
    /// The record at `start` of a piece whose fixups are applied; `None` unless it is in use, or freed if `freed`.
    pub(super) fn new(
        piece: Arc<Buffer>,
        start: usize,
        len: usize,
        number: u64,
        freed: bool,
    ) -> Result<Option<Self>> {
        let bytes = piece.get(start..start + len);
        let bytes = bytes.ok_or_else(|| Error::corrupt("$MFT", None, "ends inside a record"))?;
        let header = if freed { Header::parse_freed(bytes, number)? } else { Header::parse(bytes, number)? };
        Ok(header.map(|header| Self { number, header, piece, start }))
    }

    /// The record's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.piece[self.start..]
    }

    pub(super) fn attributes(&self) -> Attributes<'_> {
        self.header.attributes(self.bytes())
    }

    /// The error for damage in this record.
    pub(super) fn corrupt(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::corrupt("file", Place::Record(self.number), problem)
    }
}
