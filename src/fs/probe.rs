//! Filesystem detection on a volume: first the readers of the table in turn, then the signatures of formats that are
//! recognized but not read.

use std::sync::Arc;

pub use super::reader::Known;
use super::{Context, FileSystem, Options, fat, ntfs, reader::Reader, recognize};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec, signature::read_front},
};

/// Bytes that a reader's `detect` gets: the largest sector.
const BOOT_LEN: u64 = 4096;

/// The content of a volume.
pub enum Probe {
    /// A filesystem that can be read.
    Readable(Arc<dyn FileSystem>),
    /// Recognized by its signature, but not readable: the name (`BitLocker`, `ext4`) and a sentence on the reason or the
    /// remedy.
    Recognized {
        /// Name of the format.
        name: &'static str,
        /// Why it is not readable, and what the user can do.
        hint: &'static str,
    },
    /// A filesystem of a readable format that is too damaged to open.
    Damaged {
        /// Name of the format.
        name: &'static str,
        /// The error of opening it.
        error: Error,
    },
    /// Only zeros where a filesystem begins.
    Unformatted,
    /// No known signature, and not blank.
    Unknown,
}

/// The readers, in the order of detection.
const READERS: &[Reader] = &[ntfs::READER, fat::READER];

/// Points of the detection at which the caller can recognize volumes that are no filesystems: pool members, encrypted
/// volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before all readers.
    First,
    /// Before the signatures of filesystems without a reader.
    Front,
    /// After those.
    Last,
}

/// The caller's detection at a stage, given the first bytes of the volume as far as they were read.
pub type Others<'a> = dyn Fn(Stage, &[u8]) -> Result<Option<Known>> + 'a;

/// Detects the filesystem on `volume`.
///
/// # Errors
/// [`Error::Io`] or [`Error::Corrupt`] when its first sectors cannot be read, and no copy of a boot sector is left.
pub fn probe(volume: &Arc<dyn ByteSource>, options: &Options) -> Result<Probe> {
    probe_among(volume, options, &Context::default(), &|_, _| Ok(None))
}

/// Detects the content of `volume`, which need not be a filesystem.
///
/// # Errors
/// As [`probe`], or those of `others`.
pub fn probe_among(
    volume: &Arc<dyn ByteSource>,
    options: &Options,
    context: &Context,
    others: &Others<'_>,
) -> Result<Probe> {
    match by_signature(volume, options, context, others) {
        Ok(Some(found)) => Ok(found),
        // After the signatures: a volume that was reformatted may still have the old backup boot sector.
        Ok(None) => match by_backup(volume, options, context) {
            Some(found) => Ok(found),
            None if recognize::is_blank(volume.as_ref())? => Ok(Probe::Unformatted),
            None => Ok(Probe::Unknown),
        },
        // If the backup leads to no readable filesystem, the read error is the result.
        Err(error) => by_backup(volume, options, context)
            .filter(|probe| matches!(probe, Probe::Readable(_)))
            .ok_or(error),
    }
}

fn by_signature(
    volume: &Arc<dyn ByteSource>,
    options: &Options,
    context: &Context,
    others: &Others<'_>,
) -> Result<Option<Probe>> {
    let boot = read_boot(volume.as_ref())?;
    if let Some(known) = others(Stage::First, &boot)? {
        return Ok(Some(known.into()));
    }
    if let Some(reader) = READERS.iter().find(|reader| (reader.detect)(&boot)) {
        return Ok(Some(open(reader, volume, options, context)));
    }
    let front = read_front(volume.as_ref(), recognize::FRONT_LEN)?;
    let mut known = others(Stage::Front, &front)?;
    if known.is_none() {
        known = recognize::recognize(volume.as_ref(), &front)?;
    }
    if known.is_none() {
        known = others(Stage::Last, &front)?;
    }
    Ok(known.map(Probe::from))
}

/// Reads the first 4096 bytes, or only the first 512 if a later sector is bad.
fn read_boot(volume: &dyn ByteSource) -> Result<Vec<u8>> {
    let read = |len: u64| read_vec(volume, 0, usize::try_from(volume.size().min(len)).expect("at most 4096"));
    read(BOOT_LEN).or_else(|_| read(512))
}

/// Opens the volume by the backup of a lost boot sector.
fn by_backup(volume: &Arc<dyn ByteSource>, options: &Options, context: &Context) -> Option<Probe> {
    let reader = READERS.iter().find(|reader| (reader.detect_backup)(volume.as_ref()))?;
    Some(open(reader, volume, options, context))
}

/// Opens the volume with `reader`.
fn open(reader: &Reader, volume: &Arc<dyn ByteSource>, options: &Options, context: &Context) -> Probe {
    match (reader.open)(volume.clone(), options, context) {
        Ok(filesystem) => Probe::Readable(filesystem),
        Err(error) => Probe::Damaged { name: reader.name, error },
    }
}

impl From<Known> for Probe {
    fn from(known: Known) -> Self {
        Self::Recognized { name: known.name, hint: known.hint }
    }
}
