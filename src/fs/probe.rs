//! Which filesystem a volume holds: the readers are asked in turn, then the signatures of what only has a name here.

use std::sync::Arc;

use super::{FileSystem, Options, fat, ntfs, recognize};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
};

/// What the readers' `detect` is given: the largest sector.
const BOOT_LEN: u64 = 4096;

/// The name of a volume that holds nothing yet.
pub const UNFORMATTED: &str = "unformatted";

/// What a volume turned out to be.
pub enum Probe {
    /// A filesystem that can be read.
    Readable(Arc<dyn FileSystem>),
    /// Known by its signature, but not readable: its name (`BitLocker`, `ext4`) and a sentence on why or what to do.
    Recognized {
        /// What it is.
        name: &'static str,
        /// Why it is not readable and what the user can do.
        hint: &'static str,
    },
    /// A filesystem that can be read in principle, but that is too damaged to open.
    Damaged {
        /// What it is.
        name: &'static str,
        /// What is wrong.
        error: Error,
    },
    /// No known signature: unformatted, or unknown.
    Unknown,
}

/// Finds out what `volume` holds.
///
/// # Errors
/// [`Error::Io`] or [`Error::Corrupt`] when its first sectors cannot be read, and no copy of a boot sector is left.
pub fn probe(volume: &Arc<dyn ByteSource>, options: &Options) -> Result<Probe> {
    let boot = match read_boot(volume.as_ref()) {
        Ok(boot) => boot,
        Err(error) => return readable_by_backup(volume, options).ok_or(error),
    };
    // First: BitLocker To Go begins with a FAT volume that holds nothing but the program to unlock it.
    if let Some(known) = recognize::encrypted(&boot) {
        return Ok(known.into());
    }
    if ntfs::detect(&boot) {
        return Ok(opened("NTFS", ntfs::open_with(volume.clone(), options)));
    }
    if fat::detect(&boot) {
        return Ok(opened("FAT", fat::open_with(volume.clone(), options.into())));
    }
    // After the signatures: what was formatted anew may still have the old backup.
    match recognize::recognize(volume.as_ref()) {
        Ok(Some(known)) => Ok(known.into()),
        Ok(None) => match by_backup(volume, options) {
            Some(found) => Ok(found),
            None => Ok(recognize::unformatted(volume.as_ref())?.map_or(Probe::Unknown, Probe::from)),
        },
        Err(error) => readable_by_backup(volume, options).ok_or(error),
    }
}

/// The first sectors, or the very first if a later one is bad.
fn read_boot(volume: &dyn ByteSource) -> Result<Vec<u8>> {
    let read = |len: u64| read_vec(volume, 0, usize::try_from(volume.size().min(len)).expect("at most 4096"));
    read(BOOT_LEN).or_else(|_| read(512))
}

/// What the copy of a lost boot sector leads to.
fn by_backup(volume: &Arc<dyn ByteSource>, options: &Options) -> Option<Probe> {
    if has_ntfs_backup(volume.as_ref()) {
        return Some(opened("NTFS", ntfs::open_with(volume.clone(), options)));
    }
    let fat = fat::detect_backup(volume.as_ref());
    fat.then(|| opened("FAT", fat::open_with(volume.clone(), options.into())))
}

/// As [`by_backup`]; where that does not lead to files, the unreadable sector is what is to be told.
fn readable_by_backup(volume: &Arc<dyn ByteSource>, options: &Options) -> Option<Probe> {
    by_backup(volume, options).filter(|probe| matches!(probe, Probe::Readable(_)))
}

/// Whether the last sector, of 512 or 4096 bytes, is the backup of an NTFS boot sector.
fn has_ntfs_backup(volume: &dyn ByteSource) -> bool {
    [512, BOOT_LEN].into_iter().any(|sector| {
        let last = volume.size().checked_sub(sector).and_then(|at| read_vec(volume, at, 512).ok());
        last.is_some_and(|last| ntfs::detect_backup(&last))
    })
}

fn opened<F: FileSystem + 'static>(name: &'static str, result: Result<F>) -> Probe {
    match result {
        Ok(filesystem) => Probe::Readable(Arc::new(filesystem)),
        Err(error) => Probe::Damaged { name, error },
    }
}

impl From<recognize::Known> for Probe {
    fn from(known: recognize::Known) -> Self {
        Self::Recognized { name: known.name, hint: known.hint }
    }
}
