//! Writing into an existing image: a type of its own beside [`super::Disk`], which has no way here. The formats' own writers
//! do the work (`vhdx::write` and others); what they have in common is here: whole sectors, transactions, and that nothing is
//! written after a failure.

mod below;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::{
    Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

pub use below::Below;
pub use transaction::Transaction;

pub use super::writer::{Change, Changes, CommitMode, Publish, WriteOptions};
use super::{
    detect::{Detected, detect},
    flat::FlatWriter,
    vhd, vhdx,
    writer::ImageWriter,
};
use crate::{
    Error, Result,
    bytes::{Backing, ByteSink, ByteSource, Extent, ExtentKind, check_range},
};

/// A virtual disk that is written: the image on top, and what lies below it, which is only read.
///
/// Single writes have no order: until [`ByteSink::flush`] returns, each sector of them is old or new after a power cut. What must change
/// together goes through [`Self::begin`]. A disk that is dropped without [`Self::close`] is left as after a power cut.
pub struct WritableDisk {
    writer: RwLock<Box<dyn ImageWriter>>,
    /// Why nothing is written any more.
    ended: Mutex<Option<Ended>>,
    size: u64,
    sector_size: u64,
    /// Bytes that were written since the last flush.
    unsynced: AtomicU64,
    #[cfg(any(test, feature = "testing"))]
    observer: std::sync::OnceLock<Arc<dyn Observer>>,
}

/// Notes what was done to a disk, for tests: each call comes after the change and before the next one.
#[cfg(any(test, feature = "testing"))]
pub trait Observer: Send + Sync {
    /// Bytes were written.
    fn wrote(&self, offset: u64, bytes: &[u8]);
    /// A range was discarded.
    fn discarded(&self, offset: u64, len: u64);
    /// A flush returned.
    fn flushed(&self);
}

/// With less than this that the host has not synced, a flush does not keep others waiting for long.
const MIN_AHEAD: u64 = 1 << 20;
/// A program that writes all the time would let a flush wait for ever.
const MAX_AHEAD: usize = 3;

/// Why nothing is written any more.
enum Ended {
    /// A write failed.
    Failed(String),
    /// By [`WritableDisk::stop`].
    Stopped(String),
    Closed,
}

impl WritableDisk {
    /// Opens an image for writing; `parent` is the disk below a differencing image, and must be the one that the image names. Nothing of the file is changed before the first
    /// write, unless the image was not closed properly: then its log is replayed into it.
    ///
    /// # Errors
    /// As opening it for reading, and [`Error::Corrupt`] where two blocks, or a block and a structure, claim the same place;
    /// [`Error::Unsupported`] for what is only read; [`Error::Io`] of the host.
    pub fn open(top: Arc<dyn Backing>, parent: Option<Below>, options: &WriteOptions) -> Result<Self> {
        if let Some(parent) = &parent {
            parent.verify(&top)?;
        }
        let parent = parent.map(|parent| parent.bytes);
        let writer: Box<dyn ImageWriter> = match detect(&*top, "image")? {
            Detected::Vhdx => Box::new(vhdx::write::open(top, parent, options)?),
            Detected::Vhd => vhd::write::open(top, parent, options)?,
            Detected::Raw => {
                let size = top.size();
                Box::new(FlatWriter::open(top, size, options)?)
            }
        };
        let (size, sector_size) = (writer.size(), writer.sector_size().into());
        Ok(Self {
            writer: RwLock::new(writer),
            ended: Mutex::new(None),
            size,
            sector_size,
            unsynced: AtomicU64::new(0),
            #[cfg(any(test, feature = "testing"))]
            observer: std::sync::OnceLock::new(),
        })
    }

    /// Lets an observer note what is done from here on.
    #[cfg(any(test, feature = "testing"))]
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let _ = self.observer.set(observer);
    }

    #[cfg(any(test, feature = "testing"))]
    fn note(&self, note: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.observer.get() {
            note(&**observer);
        }
    }

    /// Bytes per logical sector.
    pub fn sector_size(&self) -> u64 {
        self.sector_size
    }

    /// Begins a transaction: nothing of it is visible or written before [`Transaction::commit`].
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Makes a range read as zeros; whole blocks in it give back their space where the format can do that.
    ///
    /// # Errors
    /// As [`ByteSink::write_all_at`].
    pub fn discard(&self, offset: u64, len: u64) -> Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(Error::invalid(format!("{len} bytes at {offset:#x} lie beyond the end of the disk")));
        }
        let sector = self.sector_size;
        if offset.is_multiple_of(sector) && len.is_multiple_of(sector) {
            return self.discard_sectors(offset, len);
        }
        let (start, end) = (offset.next_multiple_of(sector), (offset + len) / sector * sector);
        if start >= end {
            let zeros = vec![0; usize::try_from(len).expect("less than two sectors")];
            return self.write_all_at(offset, &zeros);
        }
        let zeros = |from: u64, to: u64| {
            self.write_all_at(from, &vec![0; usize::try_from(to - from).expect("less than a sector")])
        };
        zeros(offset, start)?;
        zeros(end, offset + len)?;
        self.discard_sectors(start, end - start)
    }

    fn discard_sectors(&self, offset: u64, len: u64) -> Result<()> {
        self.change(|writer| {
            writer.discard(offset, len)?;
            #[cfg(any(test, feature = "testing"))]
            self.note(|observer| observer.discarded(offset, len));
            Ok(())
        })
    }

    /// Makes everything so far survive, and leaves the image as one that was closed properly: without a log to replay, and no longer
    /// than it has to be. Then nothing is written any more; reads go on.
    ///
    /// # Errors
    /// As [`ByteSink::flush`].
    pub fn close(&self) -> Result<()> {
        self.change(|writer| {
            writer.close()?;
            *self.ended() = Some(Ended::Closed);
            Ok(())
        })
    }

    /// Refuses every later write, with this reason; what was published stays.
    pub fn stop(&self, reason: &str) {
        let _writer = self.writing();
        self.ended().get_or_insert_with(|| Ended::Stopped(reason.to_owned()));
    }

    /// Lets the host sync what was written while others write on. A sync of the host alone changes nothing that is visible: the flush that
    /// follows keeps its order, and has little left to wait for.
    fn sync_ahead(&self) -> Result<()> {
        for _ in 0..MAX_AHEAD {
            if self.unsynced.load(Ordering::Relaxed) < MIN_AHEAD {
                break;
            }
            self.refuse_after_end()?;
            let Some(file) = self.reading().synced_file().cloned() else { break };
            self.unsynced.store(0, Ordering::Relaxed);
            file.flush().inspect_err(|error| {
                self.ended().get_or_insert_with(|| Ended::Failed(error.to_string()));
            })?;
        }
        Ok(())
    }

    /// Makes a change, unless one failed before.
    fn change(&self, make: impl FnOnce(&mut (dyn ImageWriter + 'static)) -> Result<()>) -> Result<()> {
        let mut writer = self.writing();
        self.refuse_after_end()?;
        make(&mut **writer).inspect_err(|error| {
            if !matches!(error, Error::Invalid(_)) {
                *self.ended() = Some(Ended::Failed(error.to_string()));
            }
        })
    }

    fn refuse_after_end(&self) -> Result<()> {
        match &*self.ended() {
            None => Ok(()),
            Some(Ended::Closed) => Err(Error::invalid("the image was closed: nothing is written any more")),
            Some(Ended::Stopped(reason)) => {
                let error = std::io::Error::other("the session has ended");
                Err(Error::io(format!("nothing is written any more: {reason}"), error))
            }
            Some(Ended::Failed(reason)) => Err(Error::io(
                format!(
                    "nothing is written any more, as a write has failed ({reason}); open the image again"
                ),
                std::io::Error::other("an earlier failure"),
            )),
        }
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, Option<Ended>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> RwLockReadGuard<'_, Box<dyn ImageWriter>> {
        self.writer.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Box<dyn ImageWriter>> {
        self.writer.write().unwrap_or_else(|poisoned| {
            // A writer that panicked half way: what it holds in memory cannot be trusted.
            self.ended().get_or_insert_with(|| Ended::Failed("the writer panicked".to_owned()));
            poisoned.into_inner()
        })
    }
}

impl ByteSource for WritableDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.reading().read(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Ok(Extent { kind: ExtentKind::Hole, len: 0 });
        }
        self.reading().extent(offset)
    }
}

impl ByteSink for WritableDisk {
    /// # Errors
    /// [`Error::Invalid`] for bytes beyond the end; [`Error::Io`] of the host, after which nothing is written any more.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.size, offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.unsynced.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let sector = self.sector_size;
        let end = offset + bytes.len() as u64;
        self.change(|writer| {
            if offset.is_multiple_of(sector) && end.is_multiple_of(sector) {
                writer.write(offset, bytes)?;
                #[cfg(any(test, feature = "testing"))]
                self.note(|observer| observer.wrote(offset, bytes));
                return Ok(());
            }
            let (start, stop) = (offset / sector * sector, end.next_multiple_of(sector));
            let mut whole = vec![0; usize::try_from(stop - start).expect("little more than a buffer")];
            let last = whole.len() - usize::try_from(sector).expect("4096 at most");
            let size = whole.len() - last;
            writer.read(start, &mut whole[..size])?;
            writer.read(stop - sector, &mut whole[last..])?;
            let from = usize::try_from(offset - start).expect("below a sector");
            whole[from..from + bytes.len()].copy_from_slice(bytes);
            writer.write(start, &whole)?;
            #[cfg(any(test, feature = "testing"))]
            self.note(|observer| observer.wrote(start, &whole));
            Ok(())
        })
    }

    /// # Errors
    /// [`Error::Unsupported`], always: the size of a disk is not that of a file.
    fn set_len(&self, _len: u64) -> Result<()> {
        Err(Error::unsupported("changing the size of a virtual disk by writing to it"))
    }

    /// # Errors
    /// As [`Self::set_len`].
    fn reserve(&self, _range: std::ops::Range<u64>) -> Result<()> {
        Err(Error::unsupported("reserving space in a virtual disk"))
    }

    fn flush(&self) -> Result<()> {
        self.sync_ahead()?;
        self.unsynced.store(0, Ordering::Relaxed);
        self.change(|writer| {
            writer.flush()?;
            #[cfg(any(test, feature = "testing"))]
            self.note(|observer| observer.flushed());
            Ok(())
        })
    }
}
