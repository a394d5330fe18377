//! What a device of boot configuration data is on a disk.

use super::files::{Files, Readable};
use crate::{
    bcd::{BlockDevice, Device, Locations, Medium},
    fs::probe::Probe,
    identity::{DiskId, PartitionId},
    image::Image,
    printable::printable,
};

/// Where a device is.
pub(super) enum Place<'a> {
    /// On a volume of this disk.
    Here(Readable<'a>),
    /// On this disk, but it cannot be read; what is known of it.
    Unread(String),
    /// Not on this disk.
    Elsewhere(String),
    /// What was booted from.
    Boot,
    /// In a file: a virtual disk, or one in memory.
    File {
        /// The volume with the file.
        volume: Readable<'a>,
        /// Its path.
        path: String,
        /// True for a disk in memory.
        in_memory: bool,
    },
    /// Wherever a path is found.
    Anywhere,
    /// Nothing that can be followed.
    Other(String),
}

impl Locations for Image {
    fn partition(&self, id: PartitionId) -> Option<String> {
        self.volumes().find(|(volume, _)| volume.id == Some(id)).map(|(volume, _)| volume.name.clone())
    }
}

impl<'a> Files<'a> {
    /// Where a device is.
    pub(super) fn place(&self, device: &Device, boot: Option<Readable<'a>>) -> Place<'a> {
        match self.block(&device.block) {
            Place::File { volume, path, in_memory } => Place::File { volume, path, in_memory },
            Place::Boot => boot.map_or(Place::Boot, Place::Here),
            place => place,
        }
    }

    fn block(&self, block: &BlockDevice) -> Place<'a> {
        match block {
            BlockDevice::Boot => Place::Boot,
            BlockDevice::Partition { medium: medium @ Medium::VirtualDisk(_), .. }
            | BlockDevice::Whole(medium) => self.medium(medium),
            BlockDevice::Partition { id, disk, .. } => self.partition(*id, *disk),
            BlockDevice::Locate { parent: Some(parent), .. } => self.block(parent),
            BlockDevice::Locate { parent: None, .. } => Place::Anywhere,
            BlockDevice::Network => Place::Elsewhere("a device of the network".into()),
            BlockDevice::VmBus(_) => Place::Elsewhere("a channel of Hyper-V".into()),
            BlockDevice::Other(kind) => Place::Other(format!("a device of the unknown kind {kind}")),
        }
    }

    fn medium(&self, medium: &Medium) -> Place<'a> {
        let (file, in_memory) = match medium {
            Medium::VirtualDisk(Some(file)) => (file.innermost(), false),
            Medium::RamDisk(Some(file)) => (file.innermost(), true),
            Medium::Disk(_) => return Place::Other("a disk without a partition".into()),
            Medium::Floppy => return Place::Elsewhere("a floppy disk".into()),
            Medium::CdRom => return Place::Elsewhere("a CD".into()),
            _ => return Place::Other("a device that is a file".into()),
        };
        let device = file.device.as_ref().map_or(Place::Anywhere, |device| self.block(device));
        match device {
            Place::Here(volume) => Place::File { volume, path: file.path.clone(), in_memory },
            Place::Boot | Place::Anywhere => {
                let found = self.volumes().find(|volume| matches!(volume.find(&file.path), Ok(Some(_))));
                match found {
                    Some(volume) => Place::File { volume, path: file.path.clone(), in_memory },
                    None => Place::Elsewhere(format!("{}, which no volume here has", printable(&file.path))),
                }
            }
            other => other,
        }
    }

    fn partition(&self, id: Option<PartitionId>, disk: Option<DiskId>) -> Place<'a> {
        let Some(id) = id else { return Place::Other("a partition of a disk without an identity".into()) };
        if let Some((volume, probe)) = self.image.volumes().find(|(volume, _)| volume.id == Some(id)) {
            return match probe {
                Probe::Readable(fs) => Place::Here(Readable { volume, fs }),
                Probe::Recognized { name, .. } => Place::Unread(format!("{}: {name}", volume.name)),
                Probe::Damaged { name, .. } => Place::Unread(format!("{}: damaged {name}", volume.name)),
                Probe::Unformatted => Place::Unread(format!("{}: unformatted", volume.name)),
                Probe::Unknown => Place::Unread(format!("{}: unknown content", volume.name)),
            };
        }
        let here = self.image.table().disk_id;
        Place::Elsewhere(match (disk, here) {
            (Some(disk), Some(here)) if disk != here => {
                format!("a partition of the disk {disk}, while this one is {here}")
            }
            (Some(_), None) => format!("{id}: this disk has no identity"),
            _ => format!("{id}, which this disk does not have"),
        })
    }
}
