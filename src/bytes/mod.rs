//! Bytes at fixed positions: the contract of every layer below the filesystem tree.
//!
//! Reads are exact: a source fills the whole buffer or fails. Everything is immutable after opening and takes `&self`,
//! so that sibling reads run in parallel.

mod ahead;
mod backing;
pub(crate) mod boot_sector;
mod file;
mod identity;
mod joined;
mod memory;
mod overlay;
mod pool;
mod read_ahead;
mod reader;
mod sectors;
mod sequence;
pub mod signature;
mod sink;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod window;
pub mod windows_path;
pub(crate) mod wrapper;

pub use ahead::{DecodeAhead, Decoders};
pub use backing::{Backing, BackingFile, Room};
pub use file::{DeviceSize, FileSource, Guarded, Opener, is_of_the_kernel};
pub use identity::FileId;
pub use joined::Joined;
pub use memory::MemorySource;
pub use overlay::Overlay;
pub use pool::{Buffer, BufferPool};
pub use read_ahead::ReadAhead;
pub use reader::Reader;
pub use sectors::Sectors;
pub use sink::{ByteSink, FileSink};
pub use window::Window;
pub use wrapper::Wrapper;

use std::ops::Range;

use crate::{Error, Result};

/// Bytes at fixed positions: an image file, a virtual disk, a partition, or an open file.
///
/// A source around one other source implements [`Wrapper`] instead, which forwards everything but reads.
pub trait ByteSource: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Fills all of `buf` from byte `offset` or fails; holes read as zeros.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the range does not lie inside the source; otherwise the errors of the layers below.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The kind of storage at `offset` and its length from there. At or past the end: a hole of length 0.
    ///
    /// # Errors
    /// When the structure that maps the bytes (a block table, the host's file) cannot be read.
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent::data(self.size(), offset))
    }

    /// Offset of the first byte that no structure maps, and that therefore cannot be read: a file whose size exceeds its run
    /// list. `None` where only a read can find that.
    fn missing_from(&self) -> Option<u64> {
        None
    }

    /// Hints that a range will be read soon. Returns at once, changes nothing, and never fails.
    fn will_need(&self, _offset: u64, _len: u64) {}

    /// Memory that this source alone takes (run lists, content), for the budgets of its owners. Shared memory, and memory
    /// with a budget of its own, does not count.
    fn memory(&self) -> usize {
        0
    }

    /// Where the bytes from `offset` on lie in a file of the host, unchanged; `None` where they do not, or that is not known.
    /// What the file has as a hole counts as lying there.
    fn in_file(&self, _offset: u64) -> Option<InFile<'_>> {
        None
    }

    /// Position of the first stored byte in the source below (for a file: its volume), for sorting many sources into disk
    /// order. A hint; `None` where nothing is stored or the position is unknown.
    fn position(&self) -> Option<u64> {
        None
    }
}

/// A stretch of a file of the host.
#[derive(Clone, Copy)]
pub struct InFile<'a> {
    /// The file.
    pub file: &'a FileSource,
    /// Of the first byte in the file.
    pub offset: u64,
    /// Bytes, at least 1.
    pub len: u64,
}

impl InFile<'_> {
    /// At most the first `len` bytes of it; `None` when that leaves nothing.
    pub fn at_most(self, len: u64) -> Option<Self> {
        let len = self.len.min(len);
        (len > 0).then_some(Self { len, ..self })
    }
}

/// A stretch of a source that is stored in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Data or hole.
    pub kind: ExtentKind,
    /// Length in bytes from the given offset; the next stretch may be of the same kind.
    pub len: u64,
}

impl Extent {
    /// The stretch from `offset` on in a source of `size` bytes that has no holes.
    pub fn data(size: u64, offset: u64) -> Self {
        let len = size.saturating_sub(offset);
        Self { kind: if len == 0 { ExtentKind::Hole } else { ExtentKind::Data }, len }
    }
}

/// How a stretch is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentKind {
    /// Stored bytes (which may be zeros).
    Data,
    /// Nothing stored: reads as zeros.
    Hole,
}

/// Checks that `len` bytes from `offset` lie inside a source of `size` bytes.
///
/// # Errors
/// [`Error::Invalid`] otherwise.
pub fn check_range(size: u64, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::invalid(format!("{len} bytes at {offset:#x} lie beyond the end ({size:#x})"))),
    }
}

/// Reads `len` bytes at `offset` into a new buffer. The caller bounds `len`.
///
/// # Errors
/// As [`ByteSource::read_exact_at`]; the range is checked before anything is allocated.
pub fn read_vec(source: &dyn ByteSource, offset: u64, len: usize) -> Result<Vec<u8>> {
    check_range(source.size(), offset, len)?;
    let mut buf = vec![0; len];
    source.read_exact_at(offset, &mut buf)?;
    Ok(buf)
}

/// The unit in which [`read_around_bad_sectors`] retries: the smallest sector of a disk.
const SECTOR: u64 = 512;

/// As [`read_vec`], but unreadable sectors are zeros: failing drives lose sectors, not whole reads. Also returns the
/// unreadable byte ranges; empty when everything was read. For structures that a signature or checksum validates, never for
/// the content of files.
///
/// # Errors
/// [`Error::Invalid`] for a range beyond the end; the read error where nothing of the range can be read.
pub fn read_around_bad_sectors(
    source: &dyn ByteSource,
    offset: u64,
    len: usize,
) -> Result<(Vec<u8>, Vec<Range<u64>>)> {
    let error = match read_vec(source, offset, len) {
        Ok(bytes) => return Ok((bytes, Vec::new())),
        Err(error @ Error::Io { .. }) => error,
        Err(error) => return Err(error),
    };
    let mut buf = vec![0; len];
    let mut unread: Vec<Range<u64>> = Vec::new();
    let (mut at, mut rest) = (offset, &mut buf[..]);
    while !rest.is_empty() {
        let to_boundary = usize::try_from(SECTOR - at % SECTOR).expect("at most 512");
        let (piece, later) = rest.split_at_mut(to_boundary.min(rest.len()));
        let end = at + piece.len() as u64;
        if source.read_exact_at(at, piece).is_err() {
            piece.fill(0);
            match unread.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => unread.push(at..end),
            }
        }
        (at, rest) = (end, later);
    }
    let all = offset..offset + len as u64;
    if unread == [all] { Err(error) } else { Ok((buf, unread)) }
}
