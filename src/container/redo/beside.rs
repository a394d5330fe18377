//! The redo file as a file of the host, beside its image.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, Result,
    bytes::{BackingFile, ByteSource, FileSource},
};

/// The name of an image's redo file: `disk.vhd.redo`.
pub fn path_beside(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".redo");
    name.into()
}

/// Opens the redo file of an image for writing; makes it where there is none. When this returns, the name survives a power cut.
///
/// # Errors
/// [`Error::Io`] of the host.
pub fn open_beside(image: &Path) -> Result<BackingFile> {
    let path = path_beside(image);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| Error::io(path.display().to_string(), error))?;
    let backing = BackingFile::new(file, &path)?;
    sync_folder(&path)?;
    Ok(backing)
}

/// An image as it is once the redo file beside it is applied, which happens in memory. `None` where there is none, or nothing in it.
///
/// # Errors
/// As [`super::laid_over`].
pub(in crate::container) fn over_beside(
    image: &Arc<dyn ByteSource>,
    path: &Path,
) -> Result<Option<Arc<dyn ByteSource>>> {
    // No pipe or device of that name is opened.
    match FileSource::open_guarded(&path_beside(path), &|_| true) {
        Ok(redo) => super::laid_over(image.clone(), &redo.file),
        // Also where this process may look at the image alone.
        Err(_) => Ok(None),
    }
}

/// Removes the redo file of an image if it has nothing to apply.
///
/// # Errors
/// [`Error::Io`] of the host.
pub fn remove_retired(image: &Path) -> Result<()> {
    let path = path_beside(image);
    let file = match FileSource::open(&path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if file.size() > 0 {
        return Ok(());
    }
    drop(file);
    std::fs::remove_file(&path).map_err(|error| Error::io(path.display().to_string(), error))
}

/// Returns when the name of a file survives a power cut.
#[cfg(unix)]
pub(in crate::container) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(format!("{}: syncing it", folder.display()), error))
}

/// Windows has no such call; its filesystems log names.
#[cfg(not(unix))]
pub(in crate::container) fn sync_folder(_: &Path) -> Result<()> {
    Ok(())
}
