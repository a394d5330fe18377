//! What the host says about an image file: how much it occupies, and how much may still be taken. The one place that
//! asks the operating system, behind a trait so that tests can set the scene.

use crate::{
    Result,
    bytes::{ByteSource, FileSource},
};

/// Space as the host reports it, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostSpace {
    /// Length of the image file.
    pub file_size: u64,
    /// What it occupies; at least `file_size` when it has no holes.
    pub allocated: u64,
    /// What the image's owner may still take on that volume.
    pub free: u64,
    /// Where the volume is mounted (`/srv`); empty if unknown.
    pub mount: String,
    /// Its filesystem (`ext4`); empty if unknown.
    pub filesystem: String,
    /// Why `free` is what it is, when that is not obvious (`read-only host`).
    pub note: String,
}

impl HostSpace {
    /// A file ends where its filesystem cannot address more, whatever is free.
    fn limit_to_largest_file(&mut self) {
        let (largest, note) = match self.filesystem.as_str() {
            "vfat" | "msdos" => (u64::from(u32::MAX), "files on FAT end at 4 GiB"),
            _ => return,
        };
        let room = largest.saturating_sub(self.file_size);
        if room < self.free {
            self.free = room;
            self.note = note.into();
        }
    }

    /// A source that is not a host file, or a device: everything is there, and nothing can grow.
    pub fn none(size: u64) -> Self {
        Self {
            file_size: size,
            allocated: size,
            note: "not a file: it cannot grow".into(),
            ..Self::default()
        }
    }
}

/// The operating system, as far as capacity needs it.
pub trait Host: Send + Sync {
    /// The space of the volume that holds `file`, and what `file` takes of it.
    ///
    /// # Errors
    /// When the host cannot tell.
    fn space(&self, file: &FileSource) -> Result<HostSpace>;
}

/// The filesystem type of our own mounts on Linux.
#[cfg(unix)]
const OURS: &str = "fuse.vhdmount";

/// The running system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[cfg(unix)]
impl Host for System {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};

        let context = || format!("{}: asking for its space", file.path().display());
        let metadata = file.file().metadata().map_err(|e| crate::Error::io(context(), e))?;
        if metadata.file_type().is_block_device() {
            return Ok(HostSpace {
                note: "a block device: it cannot grow".into(),
                ..HostSpace::none(file.size())
            });
        }
        let volume = rustix::fs::fstatvfs(file.file()).map_err(|e| crate::Error::io(context(), e.into()))?;
        let (mount, filesystem) = mounted(metadata.dev()).unwrap_or_default();
        let mut space = HostSpace {
            file_size: metadata.len(),
            allocated: metadata.blocks().saturating_mul(512),
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
            mount,
            filesystem,
            note: String::new(),
        };
        space.limit_to_largest_file();
        if space.filesystem == OURS {
            // Read-only here, not where it runs; what it can take there is what statfs answers.
            space.note = "a volume of a mounted image: what it can take where it runs".into();
        } else if volume.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            space.free = 0;
            space.note = "the host volume is mounted read-only".into();
        }
        Ok(space)
    }
}

/// Mount point and filesystem type of a device number, from `/proc/self/mountinfo` (proc(5)); the shortest mount point
/// where it is mounted several times.
#[cfg(unix)]
fn mounted(device: u64) -> Option<(String, String)> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mounts = text.lines().filter_map(|line| {
        let (fields, tail) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(2);
        (fields.next()? == wanted).then_some(())?;
        Some((fields.nth(1)?.to_owned(), tail.split(' ').next()?.to_owned()))
    });
    mounts.min_by_key(|(mount, _)| mount.len())
}

#[cfg(windows)]
impl Host for System {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        Ok(HostSpace {
            note: "host space is not asked for on Windows yet".into(),
            ..HostSpace::none(file.size())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_no_further_than_its_filesystem_lets_it() {
        let space = |filesystem: &str, file_size, free| {
            let filesystem = filesystem.into();
            let mut space = HostSpace { file_size, free, filesystem, ..HostSpace::default() };
            space.limit_to_largest_file();
            (space.free, space.note.is_empty())
        };
        assert_eq!(space("vfat", 1 << 30, 1 << 40), ((3 << 30) - 1, false));
        assert_eq!(space("vfat", 1 << 30, 1 << 20), (1 << 20, true));
        assert_eq!(space("ext4", 1 << 30, 1 << 40), (1 << 40, true));
    }
}
