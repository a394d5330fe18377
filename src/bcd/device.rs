//! Devices, as elements store them: 16 bytes that identify the options of the device, then a descriptor. A device in a file
//! holds the descriptor of the device on which the file lies.

use crate::{
    guid::Guid,
    identity::{DiskId, PartitionId},
};

/// Devices that lie in each other: a partition in a virtual disk in a partition, with room to spare.
pub const MAX_DEPTH: usize = 8;
/// Offset of the descriptor's own data.
const BODY: usize = 0x10;
/// Length of a device that is no file: type, style, identifier.
const MEDIUM: usize = 0x18;

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The object with the device's options; zero for none.
    pub options: Guid,
    /// The device itself.
    pub block: BlockDevice,
}

/// What is read block by block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockDevice {
    /// What the firmware has booted from.
    Boot,
    /// A whole device.
    Whole(Medium),
    /// A partition.
    Partition {
        /// Which one; `None` where its disk has neither signature nor GUID.
        id: Option<PartitionId>,
        /// The disk as its partition table identifies it.
        disk: Option<DiskId>,
        /// What the disk is.
        medium: Medium,
    },
    /// The first volume on which a path exists.
    Locate {
        /// The element of the same object that has the path; 0 where the device has it.
        element: u32,
        /// The path.
        path: String,
        /// Where it is looked for: everywhere, or in a virtual disk.
        parent: Option<Box<BlockDevice>>,
    },
    /// A device of the network.
    Network,
    /// A channel of Hyper-V.
    VmBus(Guid),
    /// Another kind, by its number.
    Other(u32),
}

/// What a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// A disk.
    Disk(Option<DiskId>),
    /// A floppy disk.
    Floppy,
    /// A CD.
    CdRom,
    /// A disk in memory, filled from a file.
    RamDisk(Option<Box<FilePath>>),
    /// A file.
    File(Option<Box<FilePath>>),
    /// A virtual disk in a file.
    VirtualDisk(Option<Box<FilePath>>),
    /// Another kind, by its number.
    Other(u32),
}

/// A file on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    /// Where it lies; `None` where that is not said.
    pub device: Option<BlockDevice>,
    /// Its path.
    pub path: String,
}

impl Device {
    /// From the value of an element; `None` when it is cut off.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (options, rest) = data.split_first_chunk()?;
        Some(Self { options: Guid(*options), block: BlockDevice::parse(rest, MAX_DEPTH)? })
    }

    /// The file of a virtual disk that it is, or is a partition in.
    pub fn virtual_disk(&self) -> Option<&FilePath> {
        self.block.virtual_disk()
    }
}

impl BlockDevice {
    fn virtual_disk(&self) -> Option<&FilePath> {
        match self {
            Self::Whole(medium) | Self::Partition { medium, .. } => match medium {
                Medium::VirtualDisk(file) => file.as_deref().map(FilePath::innermost),
                _ => None,
            },
            Self::Locate { parent, .. } => parent.as_ref()?.virtual_disk(),
            _ => None,
        }
    }

    /// `data` begins with the descriptor.
    fn parse(data: &[u8], depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let (kind, size) = (u32_at(data, 0)?, usize::try_from(u32_at(data, 8)?).ok()?);
        let data = data.get(..size)?;
        let body = data.get(BODY..)?;
        Some(match kind {
            0 => Self::Whole(Medium::parse(body, depth)?),
            // 2: as Windows Vista's beta wrote it.
            2 | 6 => partition(body, depth)?,
            4 => Self::Network,
            5 => Self::Boot,
            7 => Self::VmBus(guid_at(body, 0)?),
            8 => locate(data, depth)?,
            kind => Self::Other(kind),
        })
    }
}

impl FilePath {
    /// Of a device that is nothing but a file: that file.
    pub fn innermost(&self) -> &Self {
        match &self.device {
            Some(BlockDevice::Whole(Medium::File(Some(file)))) if self.path.is_empty() => file.innermost(),
            _ => self,
        }
    }

    /// `data` begins with the path's descriptor: version, length, kind.
    fn parse(data: &[u8], depth: usize) -> Option<Self> {
        let len = usize::try_from(u32_at(data, 4)?).ok()?;
        let kind = u32_at(data, 8)?;
        let rest = data.get(..len).unwrap_or(data).get(12..)?;
        // 5: a device, then the path on it.
        if kind != 5 {
            return Some(Self { device: None, path: string(rest) });
        }
        let size = usize::try_from(u32_at(rest, 8)?).ok()?;
        let device = BlockDevice::parse(rest, depth)?;
        Some(Self { device: Some(device), path: string(rest.get(size..)?) })
    }
}

impl Medium {
    /// `data` begins with the type.
    fn parse(data: &[u8], depth: usize) -> Option<Self> {
        Some(match u32_at(data, 0)? {
            0 => Self::Disk(disk(data)),
            1 => Self::Floppy,
            2 => Self::CdRom,
            3 => {
                Self::RamDisk(data.get(MEDIUM..).and_then(|path| FilePath::parse(path, depth)).map(Box::new))
            }
            5 => Self::File(data.get(4..).and_then(|path| FilePath::parse(path, depth)).map(Box::new)),
            6 => {
                let device = data.get(MEDIUM..).and_then(|device| BlockDevice::parse(device, depth));
                let file = device.map(|device| FilePath { device: Some(device), path: String::new() });
                Self::VirtualDisk(file.map(Box::new))
            }
            kind => Self::Other(kind),
        })
    }
}

/// The identifier of a disk, behind the type of the medium.
fn disk(medium: &[u8]) -> Option<DiskId> {
    match u32_at(medium, 4)? {
        0 => Some(DiskId::Gpt(guid_at(medium, 8)?)).filter(|id| *id != DiskId::Gpt(Guid::ZERO)),
        1 => Some(DiskId::Mbr(u32_at(medium, 8)?)),
        _ => None,
    }
}

/// A partition: its own identifier in 16 bytes, then the medium.
fn partition(body: &[u8], depth: usize) -> Option<BlockDevice> {
    let medium = body.get(BODY..)?;
    let disk = disk(medium);
    let id = match disk {
        Some(DiskId::Mbr(disk)) => {
            Some(PartitionId::Mbr { disk, start: u64::from_le_bytes(*body.first_chunk()?) })
        }
        Some(DiskId::Gpt(_)) => Some(PartitionId::Gpt { partition: guid_at(body, 0)? }),
        None => None,
    };
    Some(BlockDevice::Partition { id, disk, medium: Medium::parse(medium, depth)? })
}

/// How to find a volume: kind, element, offset of the parent's descriptor, path.
fn locate(data: &[u8], depth: usize) -> Option<BlockDevice> {
    let body = data.get(BODY..)?;
    let (kind, element, parent) = (u32_at(body, 0)?, u32_at(body, 4)?, u32_at(body, 8)?);
    let offset = usize::try_from(parent).ok()?;
    let parent = match offset {
        0 => None,
        offset => Some(Box::new(BlockDevice::parse(data.get(offset..)?, depth)?)),
    };
    let end = if offset == 0 { data.len() } else { offset };
    let path = data.get(BODY + 12..end).map(string).unwrap_or_default();
    Some(BlockDevice::Locate {
        element: if kind == 0 || path.is_empty() { element } else { 0 },
        path,
        parent,
    })
}

fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(offset..)?.first_chunk()?))
}

fn guid_at(data: &[u8], offset: usize) -> Option<Guid> {
    Some(Guid(*data.get(offset..)?.first_chunk()?))
}

/// Units of UTF-16.
pub(super) fn units(data: &[u8]) -> Vec<u16> {
    data.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}

/// The text up to its end.
pub(super) fn string(data: &[u8]) -> String {
    let units = units(data);
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}
