//! The redo file: makes several sectors of an image change together where the format has no log (VHD, raw).
//!
//! It lies beside the image and holds at most one entry. The order of a commit:
//! 1. the image is flushed: what the entry calls old is on the disk;
//! 2. the entry is written and flushed: from here on the commit survives;
//! 3. its sectors are written into the image.
//!
//! Before anything else changes those sectors, the image is flushed and the entry retired. An entry that is found on opening is
//! applied if each sector is as it was or as it will be; otherwise something else has written to the image, and nothing is touched.
//! Windows does not know the file: an image whose entry was not applied is for it as it was in the middle of the commit.

mod beside;
mod entry;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use beside::{open_beside, path_beside, remove_retired};
pub(super) use beside::{over_beside, sync_folder};
pub(super) use entry::MAX_SECTORS;
use entry::{NewSector, SECTOR};

use crate::{
    Error, Result,
    bytes::{Backing, ByteSource, Overlay},
};

/// The redo file of an image that is being written.
pub(super) struct Redo {
    file: Arc<dyn Backing>,
    /// An entry is in the file, so that its sectors must not change in another way.
    live: bool,
}

/// Sectors of an image that change together, by their offset.
#[derive(Default)]
pub(super) struct Sectors(std::collections::BTreeMap<u64, [u8; 512]>);

impl Sectors {
    /// Changes bytes. Whole sectors, at most [`MAX_SECTORS`] of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (sector, at) in bytes.as_chunks::<512>().0.iter().zip((offset..).step_by(512)) {
            self.0.insert(at, *sector);
            if self.0.len() > MAX_SECTORS {
                let most = crate::size::human(MAX_SECTORS as u64 * SECTOR);
                return Err(Error::invalid(format!(
                    "a transaction of more than {most}: write in smaller ones, or switch whole blocks"
                )));
            }
        }
        Ok(())
    }
}

fn read_sector(image: &dyn ByteSource, offset: u64) -> Result<[u8; 512]> {
    let mut bytes = [0; 512];
    image.read_exact_at(offset, &mut bytes)?;
    Ok(bytes)
}

impl Redo {
    /// Applies the entry that an interrupted commit left, and retires it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the image holds neither the old nor the new content, and nothing is touched; those of the files.
    pub(super) fn open(file: Arc<dyn Backing>, image: &dyn Backing) -> Result<Self> {
        let mut redo = Self { file, live: false };
        if let Some(sectors) = accepted(image, &*redo.file)? {
            redo.live = true;
            write(image, &sectors)?;
            redo.retire(image)?;
        }
        Ok(redo)
    }

    /// Changes all of these sectors of the image. It was flushed after its last change.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn commit(&mut self, image: &dyn Backing, sectors: &Sectors) -> Result<()> {
        let mut changed = Vec::new();
        for (at, new) in &sectors.0 {
            let old = read_sector(image, *at)?;
            if old != *new {
                changed.push(NewSector::new(*at, &old, *new));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(0, &entry::encode(&changed))?;
        self.live = true;
        self.file.flush()?;
        write(image, &changed)
    }

    /// Makes the image do without the entry, so that its sectors may change in other ways. Does nothing where there is none.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn retire(&mut self, image: &dyn Backing) -> Result<()> {
        if self.live {
            image.flush()?;
            self.file.set_len(0)?;
            self.file.flush()?;
            self.live = false;
        }
        Ok(())
    }
}

/// The image as it is once the redo file beside it is applied, which happens in memory: for reading. `None` when there is nothing
/// to apply.
///
/// # Errors
/// [`Error::Invalid`] when the image holds neither the old nor the new content of a sector; [`Error::Io`].
pub fn laid_over(image: Arc<dyn ByteSource>, redo: &dyn ByteSource) -> Result<Option<Arc<dyn ByteSource>>> {
    let Some(sectors) = accepted(&*image, redo)? else { return Ok(None) };
    let size = image.size();
    let mut overlay = Overlay::new(image, size);
    for sector in sectors {
        overlay.put(sector.at, &sector.new);
    }
    Ok(Some(Arc::new(overlay)))
}

/// The entry, if the image can take it.
fn accepted(image: &dyn ByteSource, redo: &dyn ByteSource) -> Result<Option<Vec<NewSector>>> {
    let Some(sectors) = entry::decode(redo)? else { return Ok(None) };
    for sector in &sectors {
        let end = sector.at.checked_add(SECTOR).filter(|end| *end <= image.size());
        let fits = match end {
            Some(_) => sector.accepts(&read_sector(image, sector.at)?),
            None => false,
        };
        if !fits {
            return Err(Error::invalid(format!(
                "the redo file beside the image does not fit it: byte {:#x} is neither as it was nor as it should become. Something \
                 else has written to the image since; move the redo file away to read the image as it is",
                sector.at
            )));
        }
    }
    Ok(Some(sectors))
}

fn write(image: &dyn Backing, sectors: &[NewSector]) -> Result<()> {
    let mut rest = sectors;
    while let Some(first) = rest.first() {
        let run =
            rest.iter().zip((first.at..).step_by(512)).take_while(|(sector, at)| sector.at == *at).count();
        let bytes: Vec<u8> = rest[..run].iter().flat_map(|sector| sector.new).collect();
        image.write_all_at(first.at, &bytes)?;
        rest = &rest[run..];
    }
    Ok(())
}
