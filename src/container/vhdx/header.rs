//! The file type identifier and the two headers (MS-VHDX 2.2.1, 2.2.2): a writer updates them alternately, so that one is
//! valid at any time. The valid one with the greater sequence number is current.

use zerocopy::FromBytes;

use super::format::{self, FileTypeIdentifier, HEADER_OFFSETS, HEADER_SIZE};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_around_bad_sectors},
    guid::Guid,
};

/// The fields of a valid header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence_number: u64,
    pub(super) data_write_guid: Guid,
    pub(super) log_guid: Guid,
    pub(super) log_version: u16,
    pub(super) version: u16,
    pub(super) log_offset: u64,
    pub(super) log_length: u64,
}

impl Header {
    /// Checks signature and checksum of the 4 KiB at file offset `offset`.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Self> {
        let damaged = |problem| Error::corrupt("VHDX header", Place::Byte(offset), problem);
        let bytes = bytes.get(..HEADER_SIZE).ok_or_else(|| damaged("cut short"))?;
        let (raw, _) = format::Header::ref_from_prefix(bytes).map_err(|_| damaged("cut short"))?;
        if raw.signature != *format::HEADER_SIGNATURE {
            return Err(damaged("no signature"));
        }
        if checksum(bytes) != raw.checksum.get() {
            return Err(damaged("wrong checksum"));
        }
        Ok(Self {
            sequence_number: raw.sequence_number.get(),
            data_write_guid: raw.data_write_guid,
            log_guid: raw.log_guid,
            log_version: raw.log_version.get(),
            version: raw.version.get(),
            log_offset: raw.log_offset.get(),
            log_length: raw.log_length.get().into(),
        })
    }

    /// Reads the header at `offset`. Most of its 4 KiB are zeros: a bad sector there is read as zeros, which the checksum
    /// confirms.
    pub(super) fn read(source: &dyn ByteSource, offset: u64) -> Result<Self> {
        Self::parse(&read_around_bad_sectors(source, offset, HEADER_SIZE)?.0, offset)
    }

    /// The current header: the valid one with the greater sequence number.
    pub(super) fn read_current(source: &dyn ByteSource, problems: &mut Vec<String>) -> Result<Self> {
        let header = match HEADER_OFFSETS.map(|offset| Self::read(source, offset)) {
            [Ok(first), Ok(second)] => {
                if first.sequence_number == second.sequence_number && first != second {
                    problems.push("the two headers differ but claim the same age; the first is used".into());
                }
                if second.sequence_number > first.sequence_number { second } else { first }
            }
            [Ok(header), Err(error)] => {
                problems.push(format!("header 2 is not used: {error}"));
                header
            }
            [Err(error), Ok(header)] => {
                problems.push(format!("header 1 is not used: {error}"));
                header
            }
            [Err(first), Err(second)] => {
                log::debug!("both headers are damaged; the second: {second}");
                return Err(first);
            }
        };
        match header.version {
            1 => Ok(header),
            version => Err(Error::unsupported(format!("VHDX version {version} (only 1 is known)"))),
        }
    }

    /// The range of the log in the file; empty without one.
    pub(super) fn log_range(&self) -> std::ops::Range<u64> {
        match self.log_length {
            0 => 0..0,
            length => self.log_offset..self.log_offset.saturating_add(length),
        }
    }
}

/// Checks the signature and returns the creator's name from the identifier.
pub(super) fn parse_identifier(bytes: &[u8]) -> Result<String> {
    let damaged = |problem| Error::corrupt("VHDX file type identifier", Place::Byte(0), problem);
    let (raw, _) = FileTypeIdentifier::ref_from_prefix(bytes).map_err(|_| damaged("cut short"))?;
    if raw.signature != *format::FILE_SIGNATURE {
        return Err(damaged("no signature"));
    }
    let units = raw.creator.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0);
    let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    Ok(text.collect())
}

/// CRC-32C with the checksum field, the four bytes after the signature, taken as zero.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let (signature, rest) = bytes.split_at(4.min(bytes.len()));
    let crc = crc32c::crc32c_append(crc32c::crc32c(signature), &[0; 4]);
    crc32c::crc32c_append(crc, rest.get(4..).unwrap_or_default())
}
