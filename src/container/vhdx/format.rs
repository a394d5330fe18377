//! The on-disk structures of MS-VHDX, field by field and without logic. Everything is little-endian.
//! Section numbers are those of the specification.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::guid::Guid;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// 2.2: size of the section with the identifier, both headers and both region tables; every other structure lies after
/// it.
pub(super) const HEADER_SECTION: u64 = MIB;
pub(super) const HEADER_OFFSETS: [u64; 2] = [64 * KIB, 128 * KIB];
/// Size of a header, all of which its checksum covers.
pub(super) const HEADER_SIZE: usize = 4096;
pub(super) const REGION_TABLE_OFFSETS: [u64; 2] = [192 * KIB, 256 * KIB];
/// Size of a region table and of the metadata table.
pub(super) const TABLE_SIZE: usize = 64 << 10;
/// Most entries in a region or metadata table after its header.
pub(super) const MAX_TABLE_ENTRIES: usize = 2047;
/// 2.3.1: the unit of log entries.
pub(super) const LOG_SECTOR: usize = 4096;
/// 2.3.1: size of the log entry for a change within one sector of the table: a sector of descriptors and a data sector.
pub(super) const LOG_ENTRY_OF_ONE_SECTOR: u64 = 2 * LOG_SECTOR as u64;
/// 2.5.1: alignment of the offsets in BAT entries.
pub(super) const BAT_UNIT: u64 = MIB;
/// 2.4: size of a sector bitmap block, whatever the payload's block size.
pub(super) const BITMAP_BLOCK: u64 = MIB;
/// 2.6.1.2
pub(super) const MAX_METADATA_ITEM: u32 = 1 << 20;
/// 2.6.2.2
pub(super) const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

pub(super) const FILE_SIGNATURE: &[u8; 8] = b"vhdxfile";
pub(super) const HEADER_SIGNATURE: &[u8; 4] = b"head";
pub(super) const REGION_SIGNATURE: &[u8; 4] = b"regi";
pub(super) const METADATA_SIGNATURE: &[u8; 8] = b"metadata";
pub(super) const LOG_SIGNATURE: &[u8; 4] = b"loge";
pub(super) const ZERO_SIGNATURE: &[u8; 4] = b"zero";
pub(super) const DESC_SIGNATURE: &[u8; 4] = b"desc";
pub(super) const DATA_SIGNATURE: &[u8; 4] = b"data";

/// Region BAT.
pub(super) const BAT: Guid =
    Guid::from_fields(0x2dc2_7766, 0xf623, 0x4200, [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08]);
/// Region metadata.
pub(super) const METADATA: Guid =
    Guid::from_fields(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]);

/// Metadata item [`FileParameters`].
pub(super) const FILE_PARAMETERS: Guid =
    Guid::from_fields(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
/// Metadata item: `u64`.
pub(super) const VIRTUAL_DISK_SIZE: Guid =
    Guid::from_fields(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]);
/// Metadata item: a GUID (SCSI page 83).
pub(super) const VIRTUAL_DISK_ID: Guid =
    Guid::from_fields(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]);
/// Metadata item: `u32`.
pub(super) const LOGICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]);
/// Metadata item: `u32`.
pub(super) const PHYSICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]);
/// Metadata item [`ParentLocatorHeader`] with its entries.
pub(super) const PARENT_LOCATOR: Guid =
    Guid::from_fields(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);
/// The only locator type that the specification defines.
pub(super) const VHDX_LOCATOR_TYPE: Guid =
    Guid::from_fields(0xb04a_efb7, 0xd19e, 0x4a81, [0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);

/// The type of a locator that names a raw image, which has no identity; not in the specification.
pub(super) const RAW_LOCATOR_TYPE: Guid = Guid::literal("6c1f7a52-0d3b-4b57-9e0e-52c4b7d1a8f3");

/// 2.2.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FileTypeIdentifier {
    pub(super) signature: [u8; 8],
    pub(super) creator: [U16; 256],
}

/// 2.2.2, without the reserved rest of its 4 KiB.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) sequence_number: U64,
    pub(super) file_write_guid: Guid,
    pub(super) data_write_guid: Guid,
    pub(super) log_guid: Guid,
    pub(super) log_version: U16,
    pub(super) version: U16,
    pub(super) log_length: U32,
    pub(super) log_offset: U64,
}

/// 2.2.3.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableHeader {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) entry_count: U32,
    pub(super) reserved: U32,
}

/// 2.2.3.2
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableEntry {
    pub(super) guid: Guid,
    pub(super) file_offset: U64,
    pub(super) length: U32,
    /// Bit 0.
    pub(super) required: U32,
}

/// 2.3.1.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LogEntryHeader {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) entry_length: U32,
    pub(super) tail: U32,
    pub(super) sequence_number: U64,
    pub(super) descriptor_count: U32,
    pub(super) reserved: U32,
    pub(super) log_guid: Guid,
    pub(super) flushed_file_offset: U64,
    pub(super) last_file_offset: U64,
}

/// 2.3.1.2 and 2.3.1.3: both kinds of descriptor, distinguished by the signature.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct LogDescriptor {
    pub(super) signature: [u8; 4],
    /// Data: bytes 4092 to 4095 of the sector. Zero: reserved.
    pub(super) trailing_bytes: [u8; 4],
    /// Data: bytes 0 to 7 of the sector. Zero: `ZeroLength`.
    pub(super) leading_bytes: [u8; 8],
    pub(super) file_offset: U64,
    pub(super) sequence_number: U64,
}

/// 2.3.1.4
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LogDataSector {
    pub(super) signature: [u8; 4],
    pub(super) sequence_high: U32,
    pub(super) data: [u8; 4084],
    pub(super) sequence_low: U32,
}

/// 2.6.1.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableHeader {
    pub(super) signature: [u8; 8],
    pub(super) reserved: U16,
    pub(super) entry_count: U16,
    pub(super) reserved2: [u8; 20],
}

/// 2.6.1.2
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableEntry {
    pub(super) item_id: Guid,
    pub(super) offset: U32,
    pub(super) length: U32,
    pub(super) flags: U32,
    pub(super) reserved2: U32,
}

impl MetadataTableEntry {
    pub(super) const IS_USER: u32 = 1;
    pub(super) const IS_VIRTUAL_DISK: u32 = 2;
    pub(super) const IS_REQUIRED: u32 = 4;
}

/// 2.6.2.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FileParameters {
    pub(super) block_size: U32,
    pub(super) flags: U32,
}

impl FileParameters {
    pub(super) const LEAVE_BLOCK_ALLOCATED: u32 = 1;
    pub(super) const HAS_PARENT: u32 = 2;
}

/// 2.6.2.6.1
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorHeader {
    pub(super) locator_type: Guid,
    pub(super) reserved: U16,
    pub(super) key_value_count: U16,
}

/// 2.6.2.6.2
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorEntry {
    pub(super) key_offset: U32,
    pub(super) value_offset: U32,
    pub(super) key_length: U16,
    pub(super) value_length: U16,
}

/// 2.5.1: an entry of the BAT.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(transparent)]
pub(super) struct BatEntry(pub(super) U64);

impl BatEntry {
    /// The entry of a block at this file offset, a multiple of [`BAT_UNIT`].
    pub(super) fn new(state: u64, file_offset: u64) -> Self {
        Self(U64::new(state | (file_offset / BAT_UNIT) << 20))
    }

    pub(super) fn state(self) -> u64 {
        self.0.get() & 7
    }

    /// The bits between state and offset; zero in every version so far.
    pub(super) fn reserved_bits(self) -> u64 {
        (self.0.get() >> 3) & 0x1_ffff
    }

    /// Byte offset in the file; cannot overflow, as the field's 44 bits keep their position.
    pub(super) fn file_offset(self) -> u64 {
        (self.0.get() >> 20) * BAT_UNIT
    }
}

/// 2.5.1.1
pub(super) mod payload_state {
    pub(in super::super) const NOT_PRESENT: u64 = 0;
    pub(in super::super) const UNDEFINED: u64 = 1;
    pub(in super::super) const ZERO: u64 = 2;
    pub(in super::super) const UNMAPPED: u64 = 3;
    /// UNMAPPED in version 0.95 of the specification, whose files still exist; reserved since.
    pub(in super::super) const UNMAPPED_V095: u64 = 5;
    pub(in super::super) const FULLY_PRESENT: u64 = 6;
    pub(in super::super) const PARTIALLY_PRESENT: u64 = 7;
}

/// 2.5.1.2
pub(super) const SB_BLOCK_PRESENT: u64 = 6;
