//! What a format is to the search for one: how it is found and opened, or, where nothing reads it, its name.

use std::sync::Arc;

use super::{Context, FileSystem, Options};
use crate::{Result, bytes::ByteSource};

/// How a format is read: a folder of its own with a value of this type, and a line in [`super::probe`]'s table.
pub(super) struct Reader {
    /// Its name, where it cannot be opened.
    pub(super) name: &'static str,
    /// Whether the first bytes of a volume say that it is in this format.
    pub(super) detect: fn(boot: &[u8]) -> bool,
    /// Whether a copy of a lost boot sector says so.
    pub(super) detect_backup: fn(volume: &dyn ByteSource) -> bool,
    pub(super) open: Open,
}

type Open = fn(Arc<dyn ByteSource>, &Options, &Context) -> Result<Arc<dyn FileSystem>>;

/// Something recognized that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name (`ext4`).
    pub name: &'static str,
    /// Why it is not readable and what the user can do.
    pub hint: &'static str,
}
