//! On-disk structures of a registry hive (`regf`), field by field, with the names of the forensic notes on the format.
//! All numbers are little-endian; offsets are relative to the first hive bin.

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Length of the base block: the first hive bin follows it.
pub(super) const BASE_BLOCK: u64 = 4096;
/// Bytes of the base block that its checksum covers.
pub(super) const CHECKED: usize = 508;
/// An unused offset.
pub(super) const NONE: u32 = u32::MAX;
/// Bytes of a page in a dirty vector, of a sector of a log, and of the copy of the base block at its beginning.
pub(super) const SECTOR: usize = 512;
/// Bytes that a hive bin is a multiple of.
pub(super) const BIN_UNIT: u32 = 4096;
/// Length of a hive bin's header: its first cell follows.
pub(super) const BIN_HEADER: u64 = 32;
/// Longest segment, and longest data in a single cell, in bytes, from minor version 4 on.
pub(super) const MAX_SEGMENT: u32 = 16_344;
/// Bit of a value's data size: the data itself is stored in the field of its offset.
pub(super) const IN_PLACE: u32 = 0x8000_0000;
/// Up to this minor version a cell has the offset of the cell before it, after its size.
pub(super) const LAST_MINOR_WITH_BACK_LINKS: u32 = 1;
/// [`BaseBlock::file_type`] of a log with a dirty vector.
pub(super) const TYPES_WITH_DIRTY_VECTOR: [u32; 2] = [1, 2];
/// [`BaseBlock::file_type`] of a log with entries.
pub(super) const TYPE_WITH_ENTRIES: u32 = 6;
/// Bit of [`KeyNode::flags`]: a link to another key.
pub(super) const KEY_IS_LINK: u16 = 0x10;
/// Bit of [`KeyNode::flags`]: stands for a predefined handle, which the fields of its values hold instead.
pub(super) const KEY_IS_HANDLE: u16 = 0x40;
/// Bit of [`KeyNode::flags`]: the name is in bytes (Latin-1), not in UTF-16.
pub(super) const KEY_NAME_IN_BYTES: u16 = 0x20;
/// Bit of [`KeyValue::flags`]: the name is in bytes (Latin-1).
pub(super) const VALUE_NAME_IN_BYTES: u16 = 1;

/// The beginning of the base block.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BaseBlock {
    pub(super) signature: [u8; 4],
    pub(super) primary_sequence: U32,
    pub(super) secondary_sequence: U32,
    pub(super) last_written: U64,
    pub(super) major_version: U32,
    pub(super) minor_version: U32,
    pub(super) file_type: U32,
    pub(super) file_format: U32,
    pub(super) root_cell: U32,
    pub(super) hive_bins_size: U32,
}

/// `nk`
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeyNode {
    pub(super) signature: [u8; 2],
    pub(super) flags: U16,
    pub(super) last_written: U64,
    pub(super) access_bits: U32,
    pub(super) parent: U32,
    pub(super) subkeys: U32,
    pub(super) volatile_subkeys: U32,
    pub(super) subkeys_list: U32,
    pub(super) volatile_subkeys_list: U32,
    pub(super) values: U32,
    pub(super) values_list: U32,
    pub(super) security: U32,
    pub(super) class_name: U32,
    pub(super) largest: [U32; 5],
    pub(super) name_length: U16,
    pub(super) class_name_length: U16,
}

/// `vk`
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeyValue {
    pub(super) signature: [u8; 2],
    pub(super) name_length: U16,
    pub(super) data_size: U32,
    pub(super) data_offset: U32,
    pub(super) data_type: U32,
    pub(super) flags: U16,
    pub(super) spare: U16,
}

/// `sk`
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeySecurity {
    pub(super) signature: [u8; 2],
    pub(super) reserved: U16,
    pub(super) next: U32,
    pub(super) previous: U32,
    pub(super) references: U32,
    pub(super) length: U32,
}

/// The beginning of a hive bin.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HiveBin {
    pub(super) signature: [u8; 4],
    pub(super) offset: U32,
    pub(super) size: U32,
    pub(super) reserved: U64,
    pub(super) timestamp: U64,
    pub(super) spare: U32,
}

/// `HvLE`
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LogEntry {
    pub(super) signature: [u8; 4],
    pub(super) size: U32,
    pub(super) flags: U32,
    pub(super) sequence: U32,
    pub(super) hive_bins_size: U32,
    pub(super) pages: U32,
    /// Of all that follows the entry's header.
    pub(super) hash_of_pages: U64,
    /// Of the header up to here.
    pub(super) hash_of_header: U64,
}

/// A page in a log entry.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct PageReference {
    pub(super) offset: U32,
    pub(super) size: U32,
}

/// XOR of the words that the checksum covers; the results 0 and `!0` are replaced by others.
pub(crate) fn checksum(block: &[u8]) -> u32 {
    let words = block.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    match words.fold(0, |sum, word| sum ^ word) {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    }
}
