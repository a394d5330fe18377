//! Writing at fixed positions: the counterpart of [`super::ByteSource`], and a type of its own, so that nothing that only reads
//! can reach it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// A file that is written at fixed positions. What was never written reads as zeros.
pub trait ByteSink: Send + Sync {
    /// Writes all of `bytes` from byte `offset` on; the file grows as needed.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the file this long. What is added is a hole.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes the file this long, with space on the host for all of it, where the host can do that without writing it all.
    ///
    /// # Errors
    /// [`Error::Io`] of the host, above all when there is not so much space.
    fn reserve(&self, len: u64) -> Result<()>;

    /// Returns when everything that was written would survive a power cut.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    fn flush(&self) -> Result<()>;
}

/// A file of the host.
pub struct FileSink {
    file: File,
    path: PathBuf,
}

impl FileSink {
    /// Takes a file that is open for writing; `path` is for messages.
    pub fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// The host's file handle.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn fail(&self, what: impl std::fmt::Display, error: io::Error) -> Error {
        Error::io(format!("{}: {what}", self.path.display()), error)
    }
}

impl ByteSink for FileSink {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(&self.file, offset, bytes)
            .map_err(|error| self.fail(format_args!("writing {} bytes at {offset:#x}", bytes.len()), error))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|error| self.fail(format_args!("making it {len} bytes long"), error))
    }

    fn reserve(&self, len: u64) -> Result<()> {
        self.set_len(len)?;
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, len) {
            // Not every filesystem can: the file is as long as it should be, and takes its space as it is written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => {}
            Err(error) => return Err(self.fail(format_args!("reserving {len} bytes"), error.into())),
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_all().map_err(|error| self.fail("syncing it", error))
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
