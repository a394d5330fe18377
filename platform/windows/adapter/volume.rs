//! The volume that Windows shows: the one that is mounted alone, or the whole disk under the image's name.

use vhdmount::{
    fs::{FileSystem, FsKind, VolumeInfo},
    identity::VolumeSerial,
    tree::Tree,
};

/// Most characters of a label (`FSP_FSCTL_VOLUME_INFO`).
pub(crate) const MAX_LABEL: usize = 32;
const SECTOR: u64 = 512;
/// Allocation unit reported for a whole disk, whose volumes differ: 4 KiB.
const SECTORS_PER_UNIT: u16 = 8;

/// Label, filesystem name and sizes of the mounted tree, as Windows shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Face {
    /// At most [`MAX_LABEL`] units.
    pub(crate) label: Vec<u16>,
    pub(crate) serial: u32,
    /// `NTFS`, `FAT32`, …: programs infer a volume's features from it.
    pub(crate) filesystem: &'static str,
    pub(crate) sectors_per_unit: u16,
}

impl Face {
    /// Describes `tree`, made from an image of this name.
    pub(crate) fn of(tree: &Tree, image_name: &str) -> Self {
        let alone = tree.volume();
        let volumes: Vec<VolumeInfo> = tree.volumes().iter().map(|volume| volume.fs.volume()).collect();
        match tree.volume_at(Tree::ROOT) {
            Some(_) => Self::of_volume(&alone),
            None => Self::of_disk(&volumes, image_name),
        }
    }

    fn of_volume(volume: &VolumeInfo) -> Self {
        let sectors = volume.cluster_size / SECTOR;
        Self {
            label: label(&volume.label),
            serial: volume.serial.map_or(0, VolumeSerial::short),
            filesystem: name(volume.filesystem),
            sectors_per_unit: u16::try_from(sectors)
                .ok()
                .filter(|count| *count > 0)
                .unwrap_or(SECTORS_PER_UNIT),
        }
    }

    fn of_disk(volumes: &[VolumeInfo], image_name: &str) -> Self {
        let filesystem =
            if volumes.iter().all(|volume| name(volume.filesystem) != "NTFS") && !volumes.is_empty() {
                name(volumes[0].filesystem)
            } else {
                "NTFS"
            };
        // Not 0, since a disk has no serial number of this kind, and the same at every mount.
        let serials = volumes.iter().filter_map(|volume| volume.serial);
        let serial = serials.fold(0, |all, serial| crc32c::crc32c_append(all, serial.to_string().as_bytes()));
        Self { label: label(image_name), serial, filesystem, sectors_per_unit: SECTORS_PER_UNIT }
    }
}

fn name(filesystem: FsKind) -> &'static str {
    match filesystem {
        FsKind::Fat32 => "FAT32",
        FsKind::Fat12 | FsKind::Fat16 => "FAT",
        FsKind::Ntfs | FsKind::Other(_) => "NTFS",
    }
}

/// Cuts a label to the size limit, at a character boundary.
fn label(text: &str) -> Vec<u16> {
    let mut units = Vec::new();
    for character in text.chars() {
        if units.len() + character.len_utf16() > MAX_LABEL {
            break;
        }
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(filesystem: FsKind, serial: VolumeSerial) -> VolumeInfo {
        let label = "L".repeat(31) + "😀";
        VolumeInfo { filesystem, label, serial: Some(serial), cluster_size: 65_536, ..VolumeInfo::default() }
    }

    #[test]
    fn a_volume_alone_shows_itself() {
        let face = Face::of_volume(&volume(FsKind::Ntfs, VolumeSerial::Ntfs(0x0123_4567_89AB_CDEF)));
        assert_eq!((face.serial, face.filesystem, face.sectors_per_unit), (0x89AB_CDEF, "NTFS", 128));
        assert_eq!(face.label, [u16::from(b'L'); 31]);
        assert_eq!(
            Face::of_volume(&volume(FsKind::Fat16, VolumeSerial::Fat(0x1A2B_3C4D))).serial,
            0x1A2B_3C4D
        );
    }

    #[test]
    fn a_disk_shows_the_image() {
        let face = Face::of_disk(
            &[volume(FsKind::Fat32, VolumeSerial::Fat(1)), volume(FsKind::Ntfs, VolumeSerial::Ntfs(2))],
            "disk",
        );
        assert_eq!((face.filesystem, String::from_utf16(&face.label).unwrap()), ("NTFS", "disk".to_owned()));
        assert_ne!(face.serial, Face::of_disk(&[], "disk").serial);
        assert_eq!(Face::of_disk(&[volume(FsKind::Fat32, VolumeSerial::Fat(1))], "disk").filesystem, "FAT32");
    }
}
