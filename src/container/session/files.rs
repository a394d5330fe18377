//! The files that a session writes, opened before anything of them is parsed. Of their content no more than signatures is
//! looked at.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Target, reader};
use crate::{
    Error, Result,
    bytes::{Backing, BackingFile, ByteSource, FileSource, Room},
    container::redo,
};

/// The files of a session that are written: the overlay or the image, and the redo file of what has no log.
///
/// An overlay that did not exist is an empty file now. It is removed again when the session cannot begin.
pub struct SessionFiles {
    image: PathBuf,
    /// `None`: the image itself is written.
    child: Option<PathBuf>,
    file: Arc<BackingFile>,
    target: Target,
    redo: Option<Arc<dyn Backing>>,
    /// The overlay is an empty file.
    is_new: bool,
    /// This process made the overlay's file, and nothing is in it yet.
    is_made_here: bool,
}

impl SessionFiles {
    /// Opens the overlay of `image` for writing, or makes an empty file of that name.
    ///
    /// # Errors
    /// [`Error::Io`] of the host; [`Error::Invalid`] when both paths lead to one file.
    pub fn of_overlay(image: &Path, child: &Path) -> Result<Self> {
        let base = match FileSource::open(image) {
            Ok(base) => Some(base),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(Error::not_found(format!("{}: no such file", image.display())));
            }
            // Another process may open it for this one, or it is a disk of Windows.
            Err(_) => None,
        };
        if child.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::invalid(format!("{} is no file: an overlay is one", child.display())));
        }
        let (file, is_made_here) = match BackingFile::open(child) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                (Self::create(child)?, true)
            }
            opened => (opened?, false),
        };
        let is_new = file.size() == 0;
        let mut files = Self::new(image, Some(child), file);
        (files.is_new, files.is_made_here) = (is_new, is_made_here);
        let own = reader(&files.file, child)?;
        if base.as_ref().is_some_and(|base| base.id() == own.id()) {
            return Err(Error::invalid(format!(
                "{} is the image itself: name another file for the overlay, or write into the image with --in-place",
                child.display()
            )));
        }
        let kind = if is_new { base.as_ref() } else { Some(&*own) };
        if kind.is_some_and(is_vhd) {
            files.redo = Some(Arc::new(redo::open_beside(child)?));
        }
        Ok(files)
    }

    /// Opens `image` for writing, and the redo file beside it if it has no log.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    pub fn in_place(image: &Path) -> Result<Self> {
        let mut files = Self::new(image, None, open_to_write(image)?);
        let mut head = [0; 8];
        let is_vhdx = files.file.read_exact_at(0, &mut head).is_ok() && head == *b"vhdxfile";
        if !is_vhdx {
            files.redo = Some(Arc::new(redo::open_beside(image)?));
        }
        Ok(files)
    }

    /// Opens `image` for writing, and a redo file only if there is one beside it.
    ///
    /// # Errors
    /// [`Error::Io`] of the host.
    pub fn to_recover(image: &Path) -> Result<Self> {
        match redo::path_beside(image).is_file() {
            true => Self::in_place(image),
            false => Ok(Self::new(image, None, open_to_write(image)?)),
        }
    }

    fn new(image: &Path, child: Option<&Path>, file: BackingFile) -> Self {
        let file = Arc::new(file);
        Self {
            image: image.to_owned(),
            child: child.map(Path::to_owned),
            target: file.clone(),
            file,
            redo: None,
            is_new: false,
            is_made_here: false,
        }
    }

    fn create(child: &Path) -> Result<BackingFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(windows)]
        // FILE_SHARE_READ and FILE_SHARE_DELETE: it is removed while it is open if the session cannot begin.
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 4);
        let file = options.open(child).map_err(|error| Error::io(child.display().to_string(), error))?;
        BackingFile::new(file, child)
    }

    /// The image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        self.child.as_deref().unwrap_or(&self.image)
    }

    /// The redo file that is open beside it. One that is empty at the end is removed by [`super::WritingSession::close`], if the
    /// process may do that, or by [`redo::remove_retired`].
    pub fn redo_path(&self) -> Option<PathBuf> {
        self.redo.as_ref().map(|_| redo::path_beside(self.path()))
    }

    /// Writes that find the host full take space from here before they fail.
    pub fn keep_room(&self, room: Arc<dyn Room>) {
        self.file.keep_room(room);
    }

    pub(super) fn is_overlay(&self) -> bool {
        self.child.is_some()
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The overlay has its content, and its name survives a power cut.
    pub(super) fn made(&mut self) -> Result<()> {
        (self.is_new, self.is_made_here) = (false, false);
        redo::sync_folder(self.path())
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn redo(&self) -> Option<&Arc<dyn Backing>> {
        self.redo.as_ref()
    }

    /// The written file as one that is read.
    pub(super) fn reader(&self) -> Result<Arc<FileSource>> {
        reader(&self.file, self.path())
    }

    /// Removes a redo file that has nothing to apply. Where this process may not remove files it stays, empty.
    pub(super) fn tidy(mut self) -> Result<()> {
        if self.redo.take().is_none() {
            return Ok(());
        }
        match redo::remove_retired(self.path()) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for SessionFiles {
    fn drop(&mut self) {
        // One that a disk still writes to stays.
        let is_idle = |redo: Arc<dyn Backing>| Arc::strong_count(&redo) == 1 && redo.size() == 0;
        if self.redo.take().is_some_and(is_idle) {
            let _ = redo::remove_retired(self.path());
        }
        if self.is_made_here {
            // A file that stays is empty, which is as good as none.
            let _ = std::fs::remove_file(self.path());
        }
    }
}

/// Opens an image that is written itself. Opening a pipe would wait for a reader.
fn open_to_write(image: &Path) -> Result<BackingFile> {
    #[cfg(unix)]
    if let Ok(kind) = image.metadata().map(|metadata| metadata.file_type()) {
        use std::os::unix::fs::FileTypeExt;
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::invalid(format!("{} is neither a file nor a block device", image.display())));
        }
    }
    BackingFile::open(image)
}

/// True for the signatures of a VHD, at its beginning or its end.
fn is_vhd(file: &FileSource) -> bool {
    let starts = |at: Option<u64>| {
        let mut head = [0; 8];
        at.is_some_and(|at| file.read_exact_at(at, &mut head).is_ok() && head == *b"conectix")
    };
    [Some(0), file.size().checked_sub(512), file.size().checked_sub(511)].into_iter().any(starts)
}
