//! What an interrupted session left is brought into the image itself: for programs that know no log or no redo file.

use super::SessionFiles;
use crate::{
    Result,
    container::{
        LogState, OpenOptions,
        image::Image,
        locks::{self, Use},
        write::{Below, WritableDisk, WriteOptions},
    },
};

/// What there was to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// The image was closed properly.
    Nothing,
    /// A log; its state before.
    Log(LogState),
    /// A redo file with a commit that was not in the image completely. One that is not complete itself counts for nothing and is emptied.
    Redo,
}

/// Applies the log or the redo file of the image in `files` to it. Its parents are not needed.
///
/// # Errors
/// As opening the image for writing.
pub fn recover(files: SessionFiles, options: &OpenOptions) -> Result<Recovered> {
    let own = files.reader()?;
    let _lock = locks::hold(&own, Use::Write)?;
    let top = Image::of_file(own, files.path(), options)?;
    let redo = files.redo().cloned();
    let found = match (&top.layer.info().log, &redo) {
        (Some(log @ LogState::Replayed { .. }), _) => Recovered::Log(*log),
        (_, Some(redo)) if redo.size() > 0 => Recovered::Redo,
        _ => Recovered::Nothing,
    };
    if found != Recovered::Nothing {
        let below = top.linkage.is_some().then(Below::nothing);
        let write = WriteOptions { redo, ..WriteOptions::default() };
        drop(top);
        WritableDisk::open(files.target().clone(), below, &write)?.close()?;
    }
    files.tidy()?;
    Ok(found)
}
