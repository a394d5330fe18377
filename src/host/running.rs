//! The virtual disk from which the running system was started: facts as the system reports them. A natively booted Windows
//! runs from a VHDX without a hypervisor; the answers of `GetStorageDependencyInformation` (type 2) name the file.

use std::path::PathBuf;

use serde::Serialize;

use super::HostSpace;

/// What the system says about the disk that it runs from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// Booted from a virtual disk without a hypervisor (`IsNativeVhdBoot`); `None` where the system does not report it.
    pub native_boot: Option<bool>,
    /// What becomes of a dynamic disk at boot.
    pub expansion: Expansion,
    /// The image files below the system's volume, in any order; empty when there is none.
    pub disks: Vec<Backing>,
}

/// An image file below the system's volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backing {
    /// Where it is.
    pub image: PathBuf,
    /// The disk that the system makes of it (`\\.\PhysicalDrive1`); empty if unknown.
    pub device: String,
    /// The lower, the closer to the system's volume.
    pub level: u32,
    /// A parent of a differencing disk: read, never grown.
    pub parent: bool,
    /// The system knows that the file has all its space.
    pub fully_allocated: bool,
    /// Size of the disk; `None` if unknown.
    pub virtual_size: Option<u64>,
    /// The file's space, found without reading it: another program's lock on the content does not prevent that.
    pub space: Option<HostSpace>,
}

/// What a natively booting Windows does with a dynamic disk: `VirtualDiskExpandOnMount` below
/// `HKLM\SYSTEM\CurrentControlSet\Services\FsDepends\Parameters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expansion {
    /// The value is not there: the file takes its full size while the system runs, or the boot fails.
    #[serde(rename = "on")]
    AtBoot,
    /// 4: it grows as it is written.
    Off,
    /// A value whose meaning is not published.
    Value(u32),
    /// It could not be read, or there is no such thing on this system.
    #[default]
    Unknown,
}

impl Expansion {
    /// The meaning of the registry value; `None` when there is none.
    pub fn from_value(value: Option<u32>) -> Self {
        match value {
            None => Self::AtBoot,
            Some(4) => Self::Off,
            Some(other) => Self::Value(other),
        }
    }
}

impl Running {
    /// The images that grow, the one closest to the system first: each lies on a volume of the next.
    pub fn growing(&self) -> Vec<&Backing> {
        let mut disks: Vec<_> = self.disks.iter().filter(|disk| !disk.parent).collect();
        if disks.is_empty() {
            disks.extend(&self.disks);
        }
        disks.sort_by_key(|disk| disk.level);
        disks
    }
}

/// The path of an image file from `HostVolumeName` (`\\?\Volume{…}\`) and `DependentVolumeRelativePath`, in UTF-16.
pub fn backing_path(volume: &[u16], relative: &[u16]) -> Vec<u16> {
    const SEPARATOR: u16 = b'\\' as u16;
    let end = volume.iter().rposition(|unit| *unit != SEPARATOR).map_or(0, |last| last + 1);
    let start = relative.iter().position(|unit| *unit != SEPARATOR).unwrap_or(relative.len());
    [&volume[..end], &[SEPARATOR], &relative[start..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_and_relative_path_are_joined_by_one_separator() {
        let volume = r"\\?\Volume{e0b4}\";
        for (volume, relative) in [
            (volume, r"\images\Server 2022.vhdx"),
            (volume, r"images\Server 2022.vhdx"),
            (volume.trim_end_matches('\\'), r"\images\Server 2022.vhdx"),
        ] {
            let utf16 = |text: &str| text.encode_utf16().collect::<Vec<_>>();
            let joined = backing_path(&utf16(volume), &utf16(relative));
            assert_eq!(String::from_utf16(&joined).unwrap(), r"\\?\Volume{e0b4}\images\Server 2022.vhdx");
        }
        assert_eq!(backing_path(&[], &[]), [u16::from(b'\\')]);
    }

    #[test]
    fn only_four_is_known_to_keep_a_disk_from_expanding() {
        assert_eq!(Expansion::from_value(None), Expansion::AtBoot);
        assert_eq!(Expansion::from_value(Some(4)), Expansion::Off);
        assert_eq!(Expansion::from_value(Some(1)), Expansion::Value(1));
    }

    #[test]
    fn parents_do_not_grow_and_the_closest_image_is_first() {
        let disk =
            |name: &str, level, parent| Backing { image: name.into(), level, parent, ..Backing::default() };
        let running = |disks| Running { disks, ..Running::default() };
        let names = |running: &Running| -> Vec<_> {
            running.growing().iter().map(|disk| disk.image.display().to_string()).collect()
        };
        let disks = vec![disk("outer", 3, false), disk("parent", 2, true), disk("child", 1, false)];
        assert_eq!(names(&running(disks)), ["child", "outer"]);
        // None would be left: an image that is named is better than none.
        assert_eq!(names(&running(vec![disk("parent", 1, true)])), ["parent"]);
    }
}
