//! What the host says about an image file: how large it is, what it occupies and where, and how much may still be taken. The
//! one place that asks the operating system, behind a trait, so that a test can answer instead.

mod filesystem;
pub(crate) mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod map;
#[cfg(target_os = "linux")]
mod quota;
#[cfg(target_os = "linux")]
mod root;
mod running;
mod windows;

use std::{ffi::OsString, fmt, fs::File, io, path::Path};

pub use filesystem::{Family, HostFs};
pub use map::{Held, HostMap};
#[cfg(target_os = "linux")]
pub use quota::{Quota, of_owner as quotas_of_owner};
pub use running::{Backing, Expansion, Running, backing_path};
pub use windows::WindowsAnswers;

#[cfg(not(target_os = "linux"))]
use crate::bytes::ByteSource;
use crate::{Result, bytes::FileSource};

/// Space as the host reports it, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostSpace {
    /// Length of the image file.
    pub file_size: u64,
    /// What it occupies; at least `file_size` when it has no holes.
    pub allocated: u64,
    /// What the image's owner may still take there, whatever limits that: the volume, a quota, the largest file.
    pub free: u64,
    /// What the volume keeps back for its superuser; not part of `free`.
    pub reserved: u64,
    /// The unit in which space is taken; 0 if unknown.
    pub unit: u64,
    /// How much longer the file may get; `None` where nothing but space limits it.
    pub room: Option<u64>,
    /// Where the volume finds a file's blocks through pointer blocks: pointers in each. They take space of their own.
    pub pointers: Option<u64>,
    /// What of `free` the volume needs for itself when a file takes the rest.
    pub margin: u64,
    /// On a volume of a mounted thin image: what that image's host can still back. Space that the volume has reserved
    /// for the file needs it, too.
    pub below: Option<u64>,
    /// Where the volume is mounted (`/srv`); empty if unknown.
    pub mount: String,
    /// Its filesystem.
    pub filesystem: HostFs,
    /// Why `free` is what it is, when that is not obvious (`read-only host`).
    pub note: String,
    /// Why the figures are no more than estimates on this host; empty if they are exact.
    pub estimate: String,
}

impl HostSpace {
    /// A source that is not a host file, or a device: everything is there, and nothing can grow.
    pub fn none(size: u64) -> Self {
        Self {
            file_size: size,
            allocated: size,
            note: "not a file: it cannot grow".into(),
            ..Self::default()
        }
    }

    /// A disk or volume itself: nothing of it can grow.
    pub fn of_device(size: u64) -> Self {
        Self {
            note: "a block device: the image on it cannot grow".into(),
            estimate:
                "whether the device has space for all that it promises (a thin volume, a disk that is itself \
                       thin) is not known here"
                    .into(),
            ..Self::none(size)
        }
    }

    /// Where the file lies: mount point and filesystem, as far as known.
    pub fn place(&self) -> String {
        match (self.mount.as_str(), self.filesystem.name()) {
            ("", fs) => fs.to_owned(),
            (mount, fs) => format!("{mount} ({fs})"),
        }
    }

    /// Nothing can be taken, whatever is free.
    fn forbid(&mut self, why: &str) {
        self.free = 0;
        self.say(why);
    }

    /// Lowers `free`, and says why.
    fn limit(&mut self, free: u64, why: &str) {
        if free < self.free {
            self.free = free;
            self.say(why);
        }
    }

    fn say(&mut self, what: &str) {
        let separator = if self.note.is_empty() { "" } else { "; " };
        self.note = format!("{}{separator}{what}", self.note);
    }

    /// A file ends where its filesystem cannot address more, whatever is free.
    fn limit_to_largest_file(&mut self, largest: Option<u64>) {
        let Some(largest) = largest else { return };
        self.room = Some(largest.saturating_sub(self.file_size));
        let why = format!("files on {} end at {}", self.filesystem, crate::size::human(largest));
        self.limit(largest.saturating_sub(self.allocated), &why);
    }
}

/// The operating system, as far as images need it.
pub trait Host: Send + Sync {
    /// Length in bytes of an open disk or volume of Windows, and the bytes in a sector, 0 if unknown. Asked of nothing else:
    /// other systems have files for their disks.
    ///
    /// # Errors
    /// When the host does not answer, or this is not Windows.
    fn device_size(&self, _device: &File) -> io::Result<(u64, u32)> {
        let text = "the size of a disk is not known here: the library asks the host in its options";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// The space of the volume that holds `file`, and what `file` takes of it.
    ///
    /// # Errors
    /// When the host does not answer.
    fn space(&self, file: &FileSource) -> Result<HostSpace>;

    /// Which parts of `file` occupy space; `None` when all of it does.
    fn map(&self, file: &FileSource, space: &HostSpace) -> Option<HostMap> {
        (space.allocated < space.file_size).then(|| HostMap::sought(file))
    }

    /// Opens an image that the user named, or a parent that an image names, at its canonical path: asked where this process may
    /// not open it, as in a sandbox that another process serves. A parent counts only if it is the same file.
    ///
    /// # Errors
    /// Always, where no other process may open more than this one.
    fn open_parent(&self, _real: &Path) -> io::Result<File> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// The name in `folder` that differs from `name` at most in case; asked where this process may not list the folder.
    ///
    /// # Errors
    /// As [`Self::open_parent`].
    fn similar_name(&self, _folder: &Path, _name: &str) -> io::Result<Option<OsString>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// The names of the virtual disks in `folder`; asked where this process may not list the folder.
    ///
    /// # Errors
    /// As [`Self::open_parent`].
    fn parents_in(&self, _folder: &Path) -> io::Result<Vec<OsString>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// The virtual disk from which the running system was started.
    ///
    /// # Errors
    /// When the system does not answer.
    fn running(&self) -> Result<Running> {
        Err(crate::Error::unsupported("this system does not report from which virtual disk it was started"))
    }
}

impl fmt::Debug for dyn Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// The running system, as far as the library itself can ask it: Linux. On Windows the binary brings a host of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[cfg(not(target_os = "linux"))]
impl Host for System {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        Ok(HostSpace {
            note: "the library does not ask this system for space: hand it a host that does".into(),
            ..HostSpace::none(file.size())
        })
    }
}
