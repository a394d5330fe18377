//! On-disk structures of the "Virtual Hard Disk Image Format Specification", version 1.0; all fields big-endian.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32, U64},
};

/// The specification's only sector size.
pub(super) const SECTOR: u64 = 512;

pub(super) const FOOTER_SIZE: usize = 512;

/// Length of the footer of Virtual PC before 2004, which left out the last reserved byte.
pub(super) const OLD_FOOTER_SIZE: usize = 511;

/// "Hard Disk Footer Format".
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Footer {
    pub(super) cookie: [u8; 8],
    pub(super) features: U32,
    pub(super) file_format_version: U32,
    pub(super) data_offset: U64,
    pub(super) time_stamp: U32,
    pub(super) creator_application: [u8; 4],
    pub(super) creator_version: [U16; 2],
    pub(super) creator_host_os: [u8; 4],
    pub(super) original_size: U64,
    pub(super) current_size: U64,
    pub(super) cylinders: U16,
    pub(super) heads: u8,
    pub(super) sectors_per_track: u8,
    pub(super) disk_type: U32,
    pub(super) checksum: U32,
    pub(super) unique_id: [u8; 16],
    pub(super) saved_state: u8,
    pub(super) reserved: [u8; 427],
}

pub(super) const FOOTER_COOKIE: [u8; 8] = *b"conectix";
/// Byte offset of the footer's checksum field.
pub(super) const FOOTER_CHECKSUM_AT: usize = 64;

pub(super) const DISK_TYPE_FIXED: u32 = 2;
pub(super) const DISK_TYPE_DYNAMIC: u32 = 3;
pub(super) const DISK_TYPE_DIFFERENCING: u32 = 4;

/// "Dynamic Disk Header Format".
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DynamicHeader {
    pub(super) cookie: [u8; 8],
    pub(super) data_offset: U64,
    pub(super) table_offset: U64,
    pub(super) header_version: U32,
    pub(super) max_table_entries: U32,
    pub(super) block_size: U32,
    pub(super) checksum: U32,
    pub(super) parent_unique_id: [u8; 16],
    pub(super) parent_time_stamp: U32,
    pub(super) reserved: U32,
    pub(super) parent_unicode_name: [u8; 512],
    pub(super) parent_locators: [ParentLocatorEntry; 8],
    pub(super) reserved2: [u8; 256],
}

pub(super) const HEADER_SIZE: usize = 1024;
pub(super) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";
/// Byte offset of the dynamic disk header's checksum field.
pub(super) const HEADER_CHECKSUM_AT: usize = 36;

/// "Parent Locator Entry".
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorEntry {
    pub(super) platform_code: [u8; 4],
    /// In sectors according to the specification, in bytes in many images. Not used.
    pub(super) platform_data_space: U32,
    pub(super) platform_data_length: U32,
    pub(super) reserved: U32,
    pub(super) platform_data_offset: U64,
}

/// The entry of an unallocated block.
pub(super) const BAT_UNUSED: u32 = 0xffff_ffff;

const _: () = assert!(size_of::<Footer>() == FOOTER_SIZE && size_of::<DynamicHeader>() == HEADER_SIZE);

/// One's complement of the sum of all bytes except those of the checksum field itself.
pub(super) fn checksum(structure: &[u8], field_at: usize) -> u32 {
    let field = field_at..field_at + 4;
    let bytes = structure.iter().enumerate().filter(|(at, _)| !field.contains(at));
    !bytes.fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}
