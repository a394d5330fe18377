//! The dynamic disk header: block size, offset of the block allocation table, parent.

use zerocopy::FromBytes;

use super::{
    footer,
    format::{self, HEADER_CHECKSUM_AT, HEADER_COOKIE, HEADER_SIZE, SECTOR},
};
use crate::{Error, Place, Result, guid::Guid};

const STRUCTURE: &str = "VHD dynamic disk header";

/// Largest block size accepted. The specification allows any power of two; writers use 2 MiB and 512 KiB, and a block
/// beyond 256 MiB (VHDX's limit) would be most of what 32-bit sector numbers reach.
const MAX_BLOCK_SIZE: u32 = 256 << 20;

/// A header whose fields are consistent.
pub(super) struct Header {
    pub(super) table_offset: u64,
    pub(super) max_table_entries: u32,
    pub(super) block_size: u64,
    pub(super) parent_unique_id: Guid,
    pub(super) parent_time_stamp: u32,
    /// UTF-16, big-endian, NUL-terminated.
    pub(super) parent_unicode_name: [u8; 512],
    pub(super) parent_locators: [format::ParentLocatorEntry; 8],
    pub(super) checksum_matches: bool,
}

impl Header {
    /// Parses 1024 bytes from file offset `offset`. A wrong checksum alone is no error: the cookie and the limits of the
    /// fields decide whether the header can be used.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt(STRUCTURE, Place::Byte(offset), problem);
        let raw = format::DynamicHeader::read_from_bytes(bytes)
            .map_err(|_| corrupt(format!("{} bytes instead of {HEADER_SIZE}", bytes.len())))?;
        if raw.cookie != HEADER_COOKIE {
            return Err(corrupt("no \"cxsparse\" cookie".into()));
        }
        let version = raw.header_version.get();
        if version >> 16 != 1 {
            return Err(corrupt(format!("header version {version:#x}")));
        }
        let block_size = raw.block_size.get();
        if !block_size.is_power_of_two() || u64::from(block_size) < SECTOR || block_size > MAX_BLOCK_SIZE {
            return Err(corrupt(format!(
                "block size {block_size} is not a power of two from {SECTOR} to {MAX_BLOCK_SIZE}"
            )));
        }
        Ok(Self {
            table_offset: raw.table_offset.get(),
            max_table_entries: raw.max_table_entries.get(),
            block_size: block_size.into(),
            parent_unique_id: footer::guid(raw.parent_unique_id),
            parent_time_stamp: raw.parent_time_stamp.get(),
            checksum_matches: raw.checksum.get() == format::checksum(bytes, HEADER_CHECKSUM_AT),
            parent_unicode_name: raw.parent_unicode_name,
            parent_locators: raw.parent_locators,
        })
    }

    /// Bytes of the sector bitmap before each block: one bit per sector, rounded up to whole sectors.
    pub(super) fn bitmap_size(&self) -> u64 {
        (self.block_size / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }
}
