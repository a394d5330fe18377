//! A file or block device of the host, opened read-only.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{ByteSource, check_range};
use crate::{Error, Result};

/// An image file or a block device. Never opened for writing.
pub struct FileSource {
    file: File,
    size: u64,
    path: PathBuf,
}

impl FileSource {
    /// Opens `path` for reading only.
    ///
    /// # Errors
    /// [`Error::Io`] with the path when it cannot be opened or its size cannot be found; directories are refused.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || path.display().to_string();
        let mut file = open_shared(path).map_err(|e| Error::io(context(), e))?;
        let metadata = file.metadata().map_err(|e| Error::io(context(), e))?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!("{} is a directory, not a disk image", path.display())));
        }
        // A block device has length 0 in its metadata; its end can only be sought.
        let size = if metadata.is_file() {
            metadata.len()
        } else {
            file.seek(SeekFrom::End(0)).map_err(|e| Error::io(context(), e))?
        };
        Ok(Self { file, size, path: path.to_owned() })
    }

    /// The host's handle, for what only the host can tell (allocated size, free space).
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, offset: u64, len: usize, source: std::io::Error) -> Error {
        Error::io(format!("{}: reading {len} bytes at {offset:#x}", self.path.display()), source)
    }
}

#[cfg(not(windows))]
fn open_shared(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(windows)]
fn open_shared(path: &Path) -> std::io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    /// `ERROR_SHARING_VIOLATION`
    const LOCKED: i32 = 32;
    // FILE_SHARE_READ | WRITE | DELETE: an image in use must not be refused, nor its user disturbed.
    OpenOptions::new().read(true).share_mode(7).open(path).map_err(|error| match error.raw_os_error() {
        Some(LOCKED) => std::io::Error::new(
            error.kind(),
            "another program has locked it, as Windows locks an attached image: detach it, or name its copy in a \
             shadow copy",
        ),
        _ => error,
    })
}

impl ByteSource for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        check_range(self.size, offset, buf.len())?;
        self.file.read_exact_at(buf, offset).map_err(|e| self.io(offset, buf.len(), e))
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        use std::os::windows::fs::FileExt;
        check_range(self.size, offset, buf.len())?;
        while !buf.is_empty() {
            let got = match self.file.seek_read(buf, offset) {
                Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
                other => other,
            };
            let got = got.map_err(|e| self.io(offset, buf.len(), e))?;
            offset += got as u64;
            buf = &mut buf[got..];
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn will_need(&self, offset: u64, len: u64) {
        // A length of 0 would mean all that follows. What the host refuses was only a hint.
        if let Some(len) = std::num::NonZeroU64::new(len.min(self.size.saturating_sub(offset))) {
            let _ = rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::WillNeed);
        }
    }

    #[cfg(unix)]
    fn extent_at(&self, offset: u64) -> Result<super::Extent> {
        use super::{Extent, ExtentKind};
        use rustix::{fs::SeekFrom, io::Errno};
        let seek = |from| rustix::fs::seek(&self.file, from);
        let rest = self.size.saturating_sub(offset);
        if rest == 0 {
            return Ok(Extent { kind: ExtentKind::Hole, len: 0 });
        }
        let whole = |kind| Ok(Extent { kind, len: rest });
        match seek(SeekFrom::Data(offset)) {
            Ok(data) if data > offset => Ok(Extent { kind: ExtentKind::Hole, len: rest.min(data - offset) }),
            Ok(_) => match seek(SeekFrom::Hole(offset)) {
                // A concurrent writer may have punched right here: still at least one byte of progress.
                Ok(hole) => {
                    Ok(Extent { kind: ExtentKind::Data, len: rest.min(hole.saturating_sub(offset).max(1)) })
                }
                Err(_) => whole(ExtentKind::Data),
            },
            Err(Errno::NXIO) => whole(ExtentKind::Hole),
            // Block devices and simple filesystems do not tell: everything is data.
            Err(_) => whole(ExtentKind::Data),
        }
    }
}
