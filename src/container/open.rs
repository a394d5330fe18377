//! From a path to a disk: opens the image, finds its parents, and keeps what the host knows about each file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Disk, LayerInfo, chain, image::Image, refusal::explain};
use crate::{
    Error, Result,
    bytes::{ByteSource, FileSource, windows_path},
};

/// How to open an image and its parents.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Folders that are searched for parents, by identity.
    pub parent_dirs: Vec<PathBuf>,
    /// Files that are parents, in any order: each is used where its identity fits.
    pub parents: Vec<PathBuf>,
    /// Reads on with one of `parents` whose identity does not fit, and without a missing parent (what only it has is then
    /// unreadable). What an image names is never taken by force.
    pub force_parent: bool,
    /// Opens only what lies in the image's folder, the folders of `parents` and `parent_dirs`, and below them.
    pub confine: bool,
    /// Replays a dirty VHDX log (in memory).
    pub replay: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            parent_dirs: Vec::new(),
            parents: Vec::new(),
            force_parent: false,
            confine: false,
            replay: true,
        }
    }
}

/// An open image with its parents.
pub struct Container {
    /// The virtual disk.
    pub disk: Arc<Disk>,
    /// What the user should know before trusting the disk: forced parents, differing sizes.
    pub warnings: Vec<String>,
    files: Vec<Option<Arc<FileSource>>>,
    pieces: Vec<Arc<FileSource>>,
}

impl Container {
    /// What each image says of itself, top first.
    pub fn infos(&self) -> impl Iterator<Item = &LayerInfo> {
        self.disk.layers().iter().map(|layer| layer.info())
    }

    /// Bytes per logical sector, if the container says.
    pub fn logical_sector_size(&self) -> Option<u32> {
        self.infos().next().map(|info| info.logical_sector_size).filter(|size| *size != 0)
    }

    /// The host's file of each layer, top first; `None` for a source that is not a file of the host.
    pub fn files(&self) -> &[Option<Arc<FileSource>>] {
        &self.files
    }

    /// The files of each layer that is a split image, in order.
    pub fn pieces(&self) -> &[Arc<FileSource>] {
        &self.pieces
    }

    pub(super) fn new(images: Vec<Image>, warnings: Vec<String>) -> Self {
        let pieces = images.iter().flat_map(|image| image.pieces.iter().cloned()).collect();
        let (layers, files) = images.into_iter().map(|image| (image.layer, image.file)).unzip();
        Self { disk: Arc::new(Disk::new(layers)), warnings, files, pieces }
    }
}

/// Opens an image file or block device and its parents, read-only.
///
/// # Errors
/// [`Error::NotFound`] for a missing image or parent, with where it was looked for; [`Error::Denied`] for a locked or
/// protected one; [`Error::Unsupported`] for a known format that is not read; what the format's own structures say.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Container> {
    let image = Image::open(path, options)?;
    chain::open(image, options)
}

/// Opens an image that is not a file of the host (an image inside an image). It has no folder, so no parents.
///
/// # Errors
/// As [`open`].
pub fn open_source(source: Arc<dyn ByteSource>, options: &OpenOptions) -> Result<Container> {
    let image = Image::from_source(source, "", options)?;
    if image.linkage.is_some() && !options.force_parent {
        return Err(Error::not_found(
            "a differencing image inside another image: its parent cannot be found from here; copy it and its parents \
             out and open them there",
        ));
    }
    let warnings = if image.linkage.is_some() { vec![chain::WITHOUT_PARENT.to_owned()] } else { Vec::new() };
    Ok(Container::new(vec![image], warnings))
}

/// Opens a file or device of the host.
///
/// # Errors
/// As [`open`], of what is wrong with the file itself; the text says what to do.
pub fn open_file(path: &Path) -> Result<FileSource> {
    let shown = path.display();
    // Nothing can be asked of a disk of Windows that is not open.
    let is_device = cfg!(windows) && path.to_str().and_then(windows_path::device).is_some();
    if !is_device {
        let metadata = std::fs::metadata(path).map_err(|e| explain(path, Error::io(shown.to_string(), e)))?;
        if metadata.is_dir() {
            // Which Windows would call a matter of rights.
            return Err(Error::invalid(format!("{shown} is a directory, not a disk image")));
        }
        if !readable_kind(&metadata) {
            // Opening a pipe would wait for a writer.
            return Err(Error::invalid(format!("{shown} is neither a file nor a block device")));
        }
    }
    FileSource::open(path).map_err(|e| explain(path, e))
}

#[cfg(unix)]
fn readable_kind(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    !(kind.is_fifo() || kind.is_socket() || kind.is_char_device())
}

#[cfg(not(unix))]
fn readable_kind(_metadata: &std::fs::Metadata) -> bool {
    true
}
