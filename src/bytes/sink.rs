//! Writing at fixed positions: the counterpart of [`super::ByteSource`], and a type of its own, so that nothing that only reads
//! can reach it.

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::InFile;
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

    /// Makes the file at least as long as the range's end, with space on the host for the range, where the host can do that
    /// without writing it all. What is added reads as zeros.
    ///
    /// # Errors
    /// [`Error::Io`] of the host, above all when there is not so much space.
    fn reserve(&self, range: Range<u64>) -> Result<()>;

    /// Takes bytes of another file without copying them, where the host's filesystem lets files share them: begin, end and
    /// `offset` are multiples of its blocks. False if it cannot; then nothing has changed.
    fn share(&self, _offset: u64, _from: InFile<'_>) -> bool {
        false
    }

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

    pub(super) fn fail(&self, what: impl std::fmt::Display, error: io::Error) -> Error {
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

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        let Range { start, end } = range;
        if start >= end {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), start, end - start) {
            Ok(()) => return Ok(()),
            // Not every filesystem can: the file is as long as it should be, and takes its space as it is written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => {
                return Err(
                    self.fail(format_args!("reserving {} bytes at {start:#x}", end - start), error.into())
                );
            }
        }
        let fail = |error| self.fail("asking for its length", error);
        if self.file.metadata().map_err(fail)?.len() < end { self.set_len(end) } else { Ok(()) }
    }

    #[cfg(target_os = "linux")]
    fn share(&self, offset: u64, from: InFile<'_>) -> bool {
        let Some(len) = std::num::NonZeroU64::new(from.len) else { return true };
        // Whatever the reason is: copying either has none, or names it.
        reflink_copy::ReflinkBlockBuilder::new(from.file.file(), &self.file, len)
            .from_offset(from.offset)
            .to_offset(offset)
            .reflink_block()
            .is_ok()
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
