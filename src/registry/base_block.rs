//! The base block (`regf`) of a hive, and the copy of it at the beginning of each log. Guards: the checksum is compared, and later
//! code gets the fields only together with the result.

use zerocopy::FromBytes;

use super::format;
use crate::{Error, Place, Result};

/// What a base block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) primary_sequence: u32,
    pub(super) secondary_sequence: u32,
    pub(super) last_written: u64,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) file_type: u32,
    pub(super) file_format: u32,
    pub(super) root: u32,
    pub(super) bins: u32,
    /// The checksum is right.
    pub(super) intact: bool,
}

impl Base {
    /// Parses the first 512 bytes of a hive or a log.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for any other file.
    pub(super) fn parse(block: &[u8]) -> Result<Self> {
        let bad = |problem: String| Error::corrupt("registry hive", Place::Byte(0), problem);
        let short = || bad(format!("only {} bytes", block.len()));
        let (base, _) = format::BaseBlock::ref_from_prefix(block).map_err(|_| short())?;
        if base.signature != *b"regf" {
            return Err(bad("no base block".into()));
        }
        let checked = block.get(..format::CHECKED).ok_or_else(short)?;
        let stored = block.get(format::CHECKED..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        Ok(Self {
            primary_sequence: base.primary_sequence.get(),
            secondary_sequence: base.secondary_sequence.get(),
            last_written: base.last_written.get(),
            major: base.major_version.get(),
            minor: base.minor_version.get(),
            file_type: base.file_type.get(),
            file_format: base.file_format.get(),
            root: base.root_cell.get(),
            bins: base.hive_bins_size.get(),
            intact: u32::from_le_bytes(*stored) == format::checksum(checked),
        })
    }

    /// A write of the hive was begun and not finished.
    pub(super) fn is_dirty(&self) -> bool {
        !self.intact || self.primary_sequence != self.secondary_sequence
    }

    /// # Errors
    /// [`Error::Unsupported`] for what no Windows has written as a hive.
    pub(super) fn check_version(&self) -> Result<()> {
        // File type 0 is a hive, file format 1 the only one.
        match (self.major, self.minor, self.file_type, self.file_format) {
            (1, 1..=6, 0, 1) => Ok(()),
            (major, minor, 0, 1) => {
                Err(Error::unsupported(format!("registry hive of version {major}.{minor}")))
            }
            (_, _, 1 | 2 | 6, _) => {
                Err(Error::unsupported("a log of a registry hive, no hive: name the hive"))
            }
            (_, _, kind, _) => Err(Error::unsupported(format!("registry hive of type {kind}"))),
        }
    }

    /// Writes what a replay changes into a base block, as the hive's own.
    pub(super) fn write_into(&self, block: &mut [u8]) {
        let fields = [(4, self.primary_sequence), (8, self.secondary_sequence), (28, 0), (40, self.bins)];
        for (at, number) in fields {
            block[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let sum = format::checksum(&block[..format::CHECKED]);
        block[format::CHECKED..format::CHECKED + 4].copy_from_slice(&sum.to_le_bytes());
    }
}
