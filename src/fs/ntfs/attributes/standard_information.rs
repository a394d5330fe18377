//! `$STANDARD_INFORMATION`: the times and attribute bits of a file.

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::time::from_filetime;
use crate::fs::Times;

/// Hidden from listings in Windows.
pub const ATTRIBUTE_HIDDEN: u32 = 0x2;
/// Belongs to the operating system.
pub const ATTRIBUTE_SYSTEM: u32 = 0x4;
/// A directory; not set on disk.
pub const ATTRIBUTE_DIRECTORY: u32 = 0x10;
/// Has holes.
pub const ATTRIBUTE_SPARSE_FILE: u32 = 0x200;
/// Has a `$REPARSE_POINT`.
pub const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// The content is stored elsewhere.
pub const ATTRIBUTE_OFFLINE: u32 = 0x1000;
/// Opening the file fetches content that is stored elsewhere.
pub const ATTRIBUTE_RECALL_ON_OPEN: u32 = 0x4_0000;
/// Reading the file fetches content that is stored elsewhere.
pub const ATTRIBUTE_RECALL_ON_DATA_ACCESS: u32 = 0x40_0000;
/// Encrypted by EFS.
pub const ATTRIBUTE_ENCRYPTED: u32 = 0x4000;

/// On-disk layout of the part that all versions have.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    creation_time: U64,
    last_modification_time: U64,
    last_change_time: U64,
    last_access_time: U64,
    file_attributes: U32,
}

/// Times and attribute bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StandardInformation {
    /// The four times.
    pub times: Times,
    /// `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
    /// Key of the security descriptor in `$Secure`; 0 for none (version 1.2 volumes).
    pub security_id: u32,
}

impl StandardInformation {
    /// Parses the value; `None` if it is too short.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (raw, _) = Raw::ref_from_prefix(value).ok()?;
        let times = Times {
            created: from_filetime(raw.creation_time.get()),
            modified: from_filetime(raw.last_modification_time.get()),
            changed: from_filetime(raw.last_change_time.get()),
            accessed: from_filetime(raw.last_access_time.get()),
        };
        let security_id =
            value.get(52..56).and_then(|id| id.first_chunk().copied()).map_or(0, u32::from_le_bytes);
        Some(Self { times, attributes: raw.file_attributes.get(), security_id })
    }
}
