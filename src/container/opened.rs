//! An open image: the disk, and what the host knows about each file of the chain.

use std::sync::Arc;

use super::{Disk, LayerInfo, image::Image, pending::Writer};
use crate::bytes::FileSource;

/// An open image with its parents.
#[derive(Clone)]
pub struct Container {
    /// The virtual disk.
    pub disk: Arc<Disk>,
    /// What the user should know before trusting the disk: forced parents, differing sizes.
    pub warnings: Vec<String>,
    files: Vec<Option<Arc<FileSource>>>,
    pieces: Vec<Arc<FileSource>>,
    writers: Vec<String>,
    pending: Vec<String>,
    is_written: bool,
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

    /// The chain below the top image; `None` where that is all. The files are the same ones, and are not opened again.
    pub fn below(&self) -> Option<Self> {
        let layers = self.disk.layers().get(1..).filter(|layers| !layers.is_empty())?.to_vec();
        let files = self.files.get(1..).map(<[_]>::to_vec).unwrap_or_default();
        Some(Self {
            disk: Arc::new(Disk::new(layers)),
            warnings: Vec::new(),
            files,
            pieces: self.pieces.clone(),
            writers: Vec::new(),
            pending: Vec::new(),
            is_written: false,
        })
    }

    /// For each file that another program was writing when the image was opened, what that means. They are among the warnings as well.
    pub fn writers(&self) -> &[String] {
        &self.writers
    }

    /// Of these, what is in a file and not seen before a session publishes it.
    pub fn pending(&self) -> &[String] {
        &self.pending
    }

    /// True for the chain of a session, whose first file changes with what is written.
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    pub(super) fn of_session(self) -> Self {
        Self { is_written: true, ..self }
    }

    pub(super) fn with_writers(mut self, writers: &[Writer]) -> Self {
        self.writers = writers.iter().map(Writer::text).collect();
        self.pending = writers.iter().filter_map(Writer::pending).collect();
        self
    }

    pub(super) fn new(images: Vec<Image>, warnings: Vec<String>) -> Self {
        let pieces = images.iter().flat_map(|image| image.pieces.iter().cloned()).collect();
        let (layers, files) = images.into_iter().map(|image| (image.layer, image.file)).unzip();
        Self {
            disk: Arc::new(Disk::new(layers)),
            warnings,
            files,
            pieces,
            writers: Vec::new(),
            pending: Vec::new(),
            is_written: false,
        }
    }
}
