//! The jobs of the workers.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use vhdmount::{
    bytes::ByteSource,
    fs::{NodeId, Stat},
};

use super::{
    CopyError,
    folder::Folder,
    links::{First, Hold},
    names::ItemName,
    part::Part,
    target::File,
};

/// An entry to copy, and its destination.
pub(super) struct Item<'a> {
    pub(super) folder: Arc<Folder<'a>>,
    pub(super) name: ItemName,
    pub(super) node: NodeId,
    pub(super) stat: Stat,
    /// Set for a first name of a file, for which other names wait.
    pub(super) hold: Option<Hold<'a>>,
}

impl Item<'_> {
    /// Its path inside the image.
    pub(super) fn path(&self) -> Vec<u8> {
        self.folder.path(&self.name.text())
    }
}

/// One job.
pub(super) enum Job<'a> {
    File(Item<'a>),
    /// A range of a large file: the worker copies its first piece and returns the rest to the queue.
    Part(Arc<Large<'a>>, Range<u64>),
    /// A further name of a file.
    HardLink(Item<'a>, Arc<First<'a>>),
    Symlink(Item<'a>),
}

/// A large file that several workers copy; opened by the first one, completed by the last.
pub(super) struct Large<'a> {
    pub(super) item: Item<'a>,
    pub(super) opened: OnceLock<Option<Opened<'a>>>,
    /// Why it cannot be copied.
    pub(super) trouble: OnceLock<CopyError>,
}

/// The open source and destination.
pub(super) struct Opened<'a> {
    pub(super) source: Arc<dyn ByteSource>,
    pub(super) part: Part<'a>,
    pub(super) file: File,
}

impl<'a> Large<'a> {
    pub(super) fn new(item: Item<'a>) -> Self {
        Self { item, opened: OnceLock::new(), trouble: OnceLock::new() }
    }
}
