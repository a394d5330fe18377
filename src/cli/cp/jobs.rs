//! What a worker is given to do.

use std::{
    fs::File,
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
};

/// Something to copy, and where to.
pub(super) struct Item<'a> {
    pub(super) folder: Arc<Folder<'a>>,
    pub(super) name: ItemName,
    pub(super) node: NodeId,
    pub(super) stat: Stat,
    /// Other names wait for this one.
    pub(super) hold: Option<Hold<'a>>,
}

impl Item<'_> {
    /// Its path inside the image.
    pub(super) fn path(&self) -> Vec<u8> {
        self.folder.path(&self.name.text())
    }
}

/// One thing to do.
pub(super) enum Job<'a> {
    File(Item<'a>),
    /// Bytes of a large file: who takes it copies the first piece of them, and gives the rest back.
    Part(Arc<Large<'a>>, Range<u64>),
    /// Another name of a file.
    HardLink(Item<'a>, Arc<First<'a>>),
    Symlink(Item<'a>),
}

/// A large file while several workers copy it; opened by the first one, completed by the last.
pub(super) struct Large<'a> {
    pub(super) item: Item<'a>,
    pub(super) opened: OnceLock<Option<Opened<'a>>>,
    /// Why it cannot be copied.
    pub(super) trouble: OnceLock<CopyError>,
}

/// Where it comes from and goes to.
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
