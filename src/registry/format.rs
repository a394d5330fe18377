//! On-disk structures of a registry hive (`regf`), field by field, as the forensic notes on the format name them. All
//! numbers are little-endian; offsets count from the first hive bin.

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Length of the base block: the first hive bin follows it.
pub(super) const BASE_BLOCK: u64 = 4096;
/// What the checksum of the base block covers.
pub(super) const CHECKED: usize = 508;
/// An offset that refers to nothing.
pub(super) const NONE: u32 = u32::MAX;
/// Data longer than this is in segments of at most this length, from minor version 4 on.
pub(super) const MAX_SEGMENT: u32 = 16_344;
/// Set in a value's data size when the data itself stands in the place of its offset.
pub(super) const IN_PLACE: u32 = 0x8000_0000;
/// In [`KeyNode::flags`]: the name is in bytes (Latin-1), not in UTF-16.
pub(super) const KEY_NAME_IN_BYTES: u16 = 0x20;
/// In [`KeyValue::flags`]: the same.
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

/// XOR of the words that the checksum covers; two results stand for others.
pub(super) fn checksum(block: &[u8]) -> u32 {
    let words = block.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    match words.fold(0, |sum, word| sum ^ word) {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    }
}
