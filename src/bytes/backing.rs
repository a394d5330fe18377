//! Files that are read and written at once: the image file below a writer. What a write order is built from: positioned
//! writes, a length, holes, and flushes; a flush that failed once fails for good.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{ByteSink, ByteSource, Extent, FileSink, check_range, file};
use crate::{Error, Result};

/// Zeros that are written at once where the host makes no holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A file that is read and written. Reads see every write that has returned; a power cut leaves what was written before the
/// last [`ByteSink::flush`], and of what was written since then any part, in units of the device's sectors.
pub trait Backing: ByteSource + ByteSink {
    /// Makes a range inside the file read as zeros. Its space goes back to the host where the host can take it; elsewhere
    /// zeros are written.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a range beyond the end; [`Error::Io`] of the host.
    fn punch_hole(&self, range: Range<u64>) -> Result<()> {
        write_zeros(self, range)
    }

    /// Gives the space of a range back to the host, where the host can take it; its content is of no use any more.
    ///
    /// # Errors
    /// [`Error::Io`] after a flush that failed.
    fn release(&self, _range: Range<u64>) -> Result<()> {
        Ok(())
    }
}

fn write_zeros<B: Backing + ?Sized>(file: &B, range: Range<u64>) -> Result<()> {
    if range.start > range.end || range.end > file.size() {
        let size = file.size();
        return Err(Error::invalid(format!(
            "a hole from {:#x} to {:#x} lies beyond the end ({size:#x})",
            range.start, range.end
        )));
    }
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from(range.end - at).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
        file.write_all_at(at, &ZEROS[..len])?;
        at += len as u64;
    }
    Ok(())
}

/// Space that is kept on the host for a file until the host is full.
pub trait Room: Send + Sync {
    /// Gives some of it back to the host. False when nothing is left.
    ///
    /// # Errors
    /// Of the host.
    fn make(&self) -> std::io::Result<bool>;
}

/// A file, or a Unix block device, that is open for reading and writing.
pub struct BackingFile {
    sink: FileSink,
    len: AtomicU64,
    /// Set by a failed flush. The kernel reports a lost write once: a later flush would succeed without it.
    lost: AtomicBool,
    room: OnceLock<Arc<dyn Room>>,
}

impl BackingFile {
    /// Opens an existing file for reading and writing. On Windows nobody else may write it meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, FILE_SHARE_READ);
        let file = options.open(path).map_err(|error| Error::io(path.display().to_string(), error))?;
        Self::new(file, path)
    }

    /// Takes a file that is open for reading and writing; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Io`] with the path when its length cannot be found; [`Error::Invalid`] for a directory.
    pub fn new(file: File, path: &Path) -> Result<Self> {
        let opened = file.try_clone().map_err(|error| Error::io(path.display().to_string(), error))?;
        let len = super::FileSource::of_open(opened, path)?.size();
        let sink = FileSink::new(file, path);
        Ok(Self { sink, len: AtomicU64::new(len), lost: AtomicBool::new(false), room: OnceLock::new() })
    }

    /// Writes that find the host full take space from here before they fail.
    pub fn keep_room(&self, room: Arc<dyn Room>) {
        let _ = self.room.set(room);
    }

    /// Writes, again when the host was full and has space now.
    fn with_room(&self, write: impl Fn() -> Result<()>) -> Result<()> {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        loop {
            match write() {
                Err(Error::Io { context, source })
                    if matches!(source.kind(), StorageFull | QuotaExceeded) =>
                {
                    if !self.room.get().is_some_and(|room| room.make().unwrap_or(false)) {
                        return Err(Error::Io { context, source });
                    }
                }
                written => return written,
            }
        }
    }

    /// The host's file handle.
    pub fn file(&self) -> &File {
        self.sink.file()
    }

    fn unless_lost(&self) -> Result<()> {
        if !self.lost.load(Ordering::Acquire) {
            return Ok(());
        }
        let error =
            std::io::Error::other("an earlier flush failed, and what it should have saved may be lost");
        Err(self.sink.fail("open it again, which finds its last consistent state", error))
    }
}

#[cfg(windows)]
const FILE_SHARE_READ: u32 = 1;

impl ByteSource for BackingFile {
    fn size(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        let len = buf.len();
        file::read_exact_at(self.file(), offset, buf)
            .map_err(|error| self.sink.fail(format_args!("reading {len} bytes at {offset:#x}"), error))
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(file::extent_at(self.file(), self.size(), offset))
    }
}

impl ByteSink for BackingFile {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.unless_lost()?;
        self.with_room(|| self.sink.write_all_at(offset, bytes))?;
        self.len.fetch_max(offset + bytes.len() as u64, Ordering::AcqRel);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.unless_lost()?;
        self.with_room(|| self.sink.set_len(len))?;
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        self.unless_lost()?;
        let end = range.end;
        self.with_room(|| self.sink.reserve(range.clone()))?;
        self.len.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.unless_lost()?;
        // Of the metadata only the length matters, which this includes.
        self.file().sync_data().map_err(|error| {
            self.lost.store(true, Ordering::Release);
            self.sink.fail("syncing it", error)
        })
    }
}

impl BackingFile {
    /// False where the filesystem cannot do it.
    #[cfg(target_os = "linux")]
    fn punch(&self, range: &Range<u64>) -> bool {
        use rustix::fs::FallocateFlags as Flags;
        let flags = Flags::PUNCH_HOLE | Flags::KEEP_SIZE;
        range.start < range.end
            && range.end <= self.size()
            && rustix::fs::fallocate(self.file(), flags, range.start, range.end - range.start).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn punch(&self, _: &Range<u64>) -> bool {
        false
    }
}

impl Backing for BackingFile {
    fn punch_hole(&self, range: Range<u64>) -> Result<()> {
        self.unless_lost()?;
        if self.punch(&range) { Ok(()) } else { write_zeros(self, range) }
    }

    fn release(&self, range: Range<u64>) -> Result<()> {
        self.unless_lost()?;
        self.punch(&range);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{read_vec, testing::MemoryFile};

    fn conforms(file: &dyn Backing) {
        assert_eq!(file.size(), 0);
        file.write_all_at(700, b"first").unwrap();
        assert_eq!(file.size(), 705);
        file.set_len(4096 * 3).unwrap();
        file.write_all_at(4090, &[7; 100]).unwrap();
        file.punch_hole(4093..4100).unwrap();
        let bytes = read_vec(file, 4088, 16).unwrap();
        assert_eq!(bytes, [0, 0, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7]);
        assert!(file.punch_hole(0..4096 * 3 + 1).is_err());
        assert!(read_vec(file, 4096 * 3 - 1, 2).is_err());
        // What was cut off does not come back.
        file.set_len(4095).unwrap();
        file.set_len(5000).unwrap();
        assert_eq!(read_vec(file, 4090, 10).unwrap(), [7, 7, 7, 0, 0, 0, 0, 0, 0, 0]);
        file.reserve(4096..9000).unwrap();
        file.reserve(0..10).unwrap();
        assert_eq!(file.size(), 9000);
        assert_eq!(read_vec(file, 700, 5).unwrap(), b"first");
        file.flush().unwrap();
    }

    #[test]
    fn every_backing_reads_what_was_written() {
        conforms(&MemoryFile::default());
        // Closed: on Windows nobody else may have it open for writing.
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        conforms(&BackingFile::open(&path).unwrap());
    }

    #[test]
    fn errors_name_the_file_and_what_was_tried() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let read_only = BackingFile::new(File::open(named.path()).unwrap(), named.path()).unwrap();
        let error = read_only.write_all_at(512, b"x").unwrap_err().to_string();
        let path = named.path().display().to_string();
        assert!(error.contains(&path) && error.contains("writing 1 bytes at 0x200"), "{error}");
    }
}
