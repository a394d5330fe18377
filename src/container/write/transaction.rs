//! Changes that become visible together.

use super::WritableDisk;
use crate::{
    Error, Result,
    bytes::{ByteSource, check_range},
    container::writer::{Change, Changes},
};

/// Changes to a disk that are kept in memory until they are committed. Dropped, nothing has happened.
pub struct Transaction<'a> {
    disk: &'a WritableDisk,
    changes: Changes,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(disk: &'a WritableDisk) -> Self {
        Self { disk, changes: Changes::default() }
    }

    /// Changes bytes of the disk.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes beyond the end.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.disk.size, offset, bytes.len())?;
        self.changes.insert(offset, Change::Bytes(bytes.to_vec()));
        Ok(())
    }

    /// Makes a range read as zeros, and gives back its space as [`WritableDisk::discard`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a range beyond the end.
    pub fn discard(&mut self, offset: u64, len: u64) -> Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.disk.size) {
            return Err(Error::invalid(format!("{len} bytes at {offset:#x} lie beyond the end of the disk")));
        }
        self.changes.insert(offset, Change::Discard(len));
        Ok(())
    }

    /// Reads the disk as it will be.
    ///
    /// # Errors
    /// As [`ByteSource::read_exact_at`].
    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.read_exact_at(offset, buf)?;
        self.changes.apply(offset, buf);
        Ok(())
    }

    /// Makes the changes visible, all at once. They survive from the next flush on; until then a power cut leaves all of them or
    /// none, and never a later commit without this one.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they are too many to be one step, and nothing has happened; [`Error::Io`] of the host, after which
    /// nothing is written any more, and all of them or none are there when the image is opened again.
    pub fn commit(mut self) -> Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let sector = self.disk.sector_size;
        self.disk.change(|writer| {
            for at in self.changes.partial_sectors(sector) {
                let mut whole = vec![0; usize::try_from(sector).expect("4096 at most")];
                writer.read(at, &mut whole)?;
                self.changes.apply(at, &mut whole);
                self.changes.insert(at, Change::Bytes(whole));
            }
            writer.commit(&self.changes)
        })
    }
}
