//! A file, block device, disk or volume of the host, opened read-only. `unix` and `windows` implement the parts that differ:
//! opening, reading at an offset, finding holes.

mod guarded;
#[cfg_attr(windows, path = "file/windows.rs")]
#[cfg_attr(not(windows), path = "file/unix.rs")]
mod system;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

pub use guarded::{Guarded, Opener, is_of_the_kernel};
pub(super) use system::{extent_at, read_exact_at};

use super::{ByteSource, Extent, InFile, Sectors, check_range};
use crate::{Error, Result};

/// Returns the length in bytes of an open Windows disk or volume and its bytes per sector, 0 if unknown. The caller supplies
/// it, as this library has no code for `IOCTL_DISK_GET_LENGTH_INFO`.
pub type DeviceSize<'a> = dyn Fn(&File) -> io::Result<(u64, u32)> + 'a;

/// An image file or a device. Never opened for writing.
pub struct FileSource {
    file: File,
    size: u64,
    path: PathBuf,
    /// Set for a device that accepts whole-sector reads only.
    sectors: Option<Sectors>,
}

impl FileSource {
    /// Opens a file, or a Unix block device, for reading only. On Windows all share modes are granted: other processes may
    /// go on reading, writing, renaming and removing the file.
    ///
    /// # Errors
    /// [`Error::Io`] with the path when it cannot be opened or its size cannot be found; directories are refused.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &|_| {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a disk, not a file: its size is not known here"))
        })
    }

    /// As [`Self::open`]; `path` may also be a Windows disk or volume, whose size `device_size` finds.
    ///
    /// # Errors
    /// As [`Self::open`], and those of `device_size`.
    pub fn open_with(path: &Path, device_size: &DeviceSize<'_>) -> Result<Self> {
        let fail = |error| Error::io(path.display().to_string(), error);
        if let Some((file, sectors)) = system::open_device(path, device_size).transpose().map_err(fail)? {
            return Ok(Self::new(file, sectors.size(), path, Some(sectors)));
        }
        Self::of_open(system::open(path).map_err(fail)?, path)
    }

    /// A file, or a Unix block device, that is open for reading; `path` is its name.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_open(mut file: File, path: &Path) -> Result<Self> {
        let fail = |error| Error::io(path.display().to_string(), error);
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!("{} is a directory, not a disk image", path.display())));
        }
        let size =
            if metadata.is_file() { metadata.len() } else { system::device_size(&mut file).map_err(fail)? };
        Ok(Self::new(file, size, path, None))
    }

    /// A regular file that is open already; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Io`] when its size cannot be found.
    pub fn of_file(file: File, path: &Path) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::io(path.display().to_string(), error))?;
        Ok(Self::new(file, metadata.len(), path, None))
    }

    fn new(file: File, size: u64, path: &Path, sectors: Option<Sectors>) -> Self {
        #[cfg(target_os = "linux")]
        // The kernel takes a reader of many small files for a sequential one and prefetches megabytes that are never read;
        // sequential readers of a disk's files have `ReadAhead`. Where the host refuses the hint, it prefetches as before.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        Self { file, size, path: path.to_owned(), sectors }
    }

    /// The host's file handle, for queries to the host (allocated size, free space).
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes per logical and per physical sector of a device, if it states them; `None` for a file.
    pub fn sector_sizes(&self) -> Option<(u32, u32)> {
        match &self.sectors {
            Some(sectors) => sectors.stated_sector().map(|size| (size, size)),
            None => {
                let is_file = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
                if is_file { None } else { system::sector_sizes(&self.file) }
            }
        }
    }

    /// True for a Windows disk or volume: it is no file, and cannot grow.
    pub fn is_windows_device(&self) -> bool {
        self.sectors.is_some()
    }
}

impl ByteSource for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let len = buf.len();
        let read = match &self.sectors {
            Some(sectors) => sectors.read(offset, buf, &|at, piece| system::read_at(&self.file, at, piece)),
            None => system::read_exact_at(&self.file, offset, buf),
        };
        read.map_err(|error| {
            Error::io(format!("{}: reading {len} bytes at {offset:#x}", self.path.display()), error)
        })
    }

    #[cfg(target_os = "linux")]
    fn will_need(&self, offset: u64, len: u64) {
        // A length of 0 would mean everything up to the end. An error is ignored: this is only a hint.
        if let Some(len) = std::num::NonZeroU64::new(len.min(self.size.saturating_sub(offset))) {
            let _ = rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::WillNeed);
        }
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(system::extent_at(&self.file, self.size, offset))
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        InFile { file: self, offset, len: u64::MAX }.at_most(self.size.saturating_sub(offset))
    }
}

#[cfg(test)]
mod tests;
