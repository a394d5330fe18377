//! Writing where the disk's bytes lie in the file one for one: raw images, and fixed VHDs, whose footer lies behind them.
//!
//! Single writes go to their place. A commit goes through the redo file.

use std::sync::Arc;

use super::{
    redo::{Redo, Sectors},
    writer::{Change, Changes, ImageWriter, Publish, WriteOptions, fixed_at_end},
};
use crate::{
    Error, Result,
    bytes::{Backing, Extent},
};

const SECTOR: u32 = 512;
/// Zeros that are put into a transaction at a time.
const ZEROS: [u8; 4096] = [0; 4096];

/// A disk whose bytes begin at byte 0 of the file.
pub(super) struct FlatWriter {
    file: Arc<dyn Backing>,
    size: u64,
    redo: Option<Redo>,
}

impl FlatWriter {
    /// Applies what an interrupted commit left.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a disk that is not whole sectors, or that the file does not hold; as [`Redo::open`].
    pub(super) fn open(file: Arc<dyn Backing>, size: u64, options: &WriteOptions) -> Result<Self> {
        if !size.is_multiple_of(SECTOR.into()) {
            return Err(Error::invalid(format!(
                "{size} bytes are not whole sectors of {SECTOR}: writing would change where the disk ends"
            )));
        }
        if options.publish == Publish::Unmount {
            return Err(fixed_at_end());
        }
        if size > file.size() {
            return Err(Error::invalid(format!("the file ends before the disk does ({size} bytes)")));
        }
        let redo = options.redo.clone().map(|redo| Redo::open(redo, &*file)).transpose()?;
        Ok(Self { file, size, redo })
    }

    fn retire(&mut self) -> Result<()> {
        self.redo.as_mut().map_or(Ok(()), |redo| redo.retire(&*self.file))
    }
}

/// Refuses to make the disk's content look like an image: the next one who opens the file would take it for that image, with the
/// parents that it names.
fn disguise(size: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    let starts = |at: Option<u64>, signature: &[u8]| {
        let at = at.and_then(|at| at.checked_sub(offset)).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| bytes.get(at..)).is_some_and(|found| found.starts_with(signature))
    };
    let vhd = [Some(0), size.checked_sub(512), size.checked_sub(511)];
    if starts(Some(0), b"vhdxfile") || vhd.into_iter().any(|at| starts(at, b"conectix")) {
        return Err(Error::invalid(
            "this would make the raw image look like a VHD or VHDX, which it would be taken for from then on",
        ));
    }
    Ok(())
}

/// The refusal of a commit where there is no redo file.
pub(super) fn without_redo() -> Error {
    Error::invalid("this format has no log: what must change together needs a redo file beside the image")
}

impl ImageWriter for FlatWriter {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        SECTOR
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        let extent = self.file.extent_at(offset)?;
        Ok(Extent { len: extent.len.min(self.size - offset), ..extent })
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        disguise(self.size, offset, bytes)?;
        self.retire()?;
        self.file.write_all_at(offset, bytes)
    }

    fn discard(&mut self, offset: u64, len: u64) -> Result<()> {
        self.retire()?;
        self.file.punch_hole(offset..offset + len)
    }

    fn commit(&mut self, changes: &Changes) -> Result<()> {
        let redo = self.redo.as_mut().ok_or_else(without_redo)?;
        let mut sectors = Sectors::default();
        for (offset, change) in changes.iter() {
            match change {
                Change::Bytes(bytes) => {
                    disguise(self.size, offset, bytes)?;
                    sectors.write(offset, bytes)?;
                }
                Change::Discard(len) => zeros(&mut sectors, offset, *len)?,
            }
        }
        self.file.flush()?;
        redo.commit(&*self.file, &sectors)
    }

    fn synced_file(&self) -> Option<&Arc<dyn Backing>> {
        Some(&self.file)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn close(&mut self) -> Result<()> {
        self.file.flush()?;
        self.retire()
    }
}

/// Adds a range of zeros to what changes together.
pub(super) fn zeros(sectors: &mut Sectors, offset: u64, len: u64) -> Result<()> {
    let mut at = offset;
    while at < offset + len {
        let now = usize::try_from(offset + len - at).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
        sectors.write(at, &ZEROS[..now])?;
        at += now as u64;
    }
    Ok(())
}
