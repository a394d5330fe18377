//! What identifies a disk, a partition and its type, as data: text only where it is shown.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::guid::Guid;

/// What identifies a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskId {
    /// The GUID in a GUID partition table.
    Gpt(Guid),
    /// The signature in a master boot record.
    Mbr(u32),
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(guid) => guid.fmt(f),
            Self::Mbr(signature) => write!(f, "{signature:08x}"),
        }
    }
}

impl Serialize for DiskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a partition is for, as its table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionType {
    /// In a GUID partition table.
    Gpt(Guid),
    /// In a master boot record.
    Mbr(u8),
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(guid) => guid.fmt(f),
            Self::Mbr(byte) => write!(f, "{byte:02x}"),
        }
    }
}

impl Serialize for PartitionType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How Windows names a partition in its own structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionId {
    /// Of a disk with a master boot record.
    Mbr {
        /// The disk's signature.
        disk: u32,
        /// Where the partition begins, in bytes.
        start: u64,
    },
    /// Of a disk with a GUID partition table.
    Gpt {
        /// The partition's own GUID.
        partition: Guid,
    },
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr { disk, start } => write!(f, "the partition at byte {start:#x} of the disk {disk:08x}"),
            Self::Gpt { partition } => write!(f, "the partition {partition}"),
        }
    }
}

/// The serial number that formatting gives a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeSerial {
    /// NTFS.
    Ntfs(u64),
    /// FAT.
    Fat(u32),
}

impl VolumeSerial {
    /// The 32 bits that Windows shows: of NTFS the low half.
    pub fn short(self) -> u32 {
        match self {
            Self::Ntfs(number) => u32::try_from(number & u64::from(u32::MAX)).expect("32 bits"),
            Self::Fat(number) => number,
        }
    }
}

/// As the format's own tools print it.
impl fmt::Display for VolumeSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ntfs(number) => write!(f, "{number:016X}"),
            Self::Fat(number) => write!(f, "{:04X}-{:04X}", number >> 16, number & 0xffff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_shown_as_other_tools_show_them() {
        assert_eq!(DiskId::Mbr(0xabc).to_string(), "00000abc");
        assert_eq!(PartitionType::Mbr(7).to_string(), "07");
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(DiskId::Gpt(Guid::parse(text).unwrap()).to_string(), text);
    }

    #[test]
    fn serial_numbers_are_shown_as_their_formats_tools_show_them() {
        let (ntfs, fat) = (VolumeSerial::Ntfs(0x0123_4567_89AB_CDEF), VolumeSerial::Fat(0x1A2B_0C4D));
        assert_eq!((ntfs.to_string(), fat.to_string()), ("0123456789ABCDEF".into(), "1A2B-0C4D".into()));
        assert_eq!((ntfs.short(), fat.short()), (0x89AB_CDEF, 0x1A2B_0C4D));
    }
}
