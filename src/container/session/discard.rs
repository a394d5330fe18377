//! An overlay that is thrown away, with all that was written to it.

use std::path::PathBuf;

use super::SessionFiles;
use crate::{
    Error, Result,
    container::{
        LayerInfo, OpenOptions,
        image::Image,
        locks::{self, Lock, Use},
        redo,
    },
};

/// An overlay that may be removed: it is a differencing disk, and while this lives no other program that respects locks writes it.
pub struct Discard {
    path: PathBuf,
    info: LayerInfo,
    stored: u64,
    /// Before the files.
    _lock: Lock,
    _files: SessionFiles,
}

impl Discard {
    /// Looks at the overlay in `files`. Its parents are not opened.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an image without a parent; [`Error::Denied`] for one in use; as opening it.
    pub fn of(files: SessionFiles, options: &OpenOptions) -> Result<Self> {
        let own = files.reader()?;
        let lock = locks::hold(&own, Use::Write)?;
        let top = Image::of_file(own.clone(), files.path(), options)?;
        if top.linkage.is_none() {
            return Err(Error::invalid(format!(
                "{} has no parent: it is an image of its own, not an overlay, and is not removed",
                files.path().display()
            )));
        }
        let space = options.host.space(&own);
        let info = top.layer.info().clone();
        let stored = space.map_or(info.file_size, |space| space.allocated);
        Ok(Self { path: files.path().to_owned(), info, stored, _lock: lock, _files: files })
    }

    /// What it says of itself.
    pub fn info(&self) -> &LayerInfo {
        &self.info
    }

    /// Bytes that it takes on the host.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Removes it, and a redo file beside it.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    pub fn remove(self) -> Result<()> {
        let path = self.path.clone();
        // Windows removes no file that is open in this way.
        drop(self);
        std::fs::remove_file(&path).map_err(|error| Error::io(path.display().to_string(), error))?;
        let redo = redo::path_beside(&path);
        if redo.is_file() {
            std::fs::remove_file(&redo).map_err(|error| Error::io(redo.display().to_string(), error))?;
        }
        redo::sync_folder(&path)
    }
}
