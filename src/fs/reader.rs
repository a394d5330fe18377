//! How probing detects and opens a format, or the name of one that is not read.

use std::sync::Arc;

use super::{Context, FileSystem, Options};
use crate::{Result, bytes::ByteSource};

/// Detection and opening of a format: each format has a folder with a value of this type, and a line in [`super::probe`]'s
/// table.
pub(super) struct Reader {
    /// Name of the format, for when opening fails.
    pub(super) name: &'static str,
    /// True if the first bytes of a volume are of this format.
    pub(super) detect: fn(boot: &[u8]) -> bool,
    /// True if the backup of a lost boot sector is of this format.
    pub(super) detect_backup: fn(volume: &dyn ByteSource) -> bool,
    pub(super) open: Open,
}

type Open = fn(Arc<dyn ByteSource>, &Options, &Context) -> Result<Arc<dyn FileSystem>>;

/// A format that is recognized but not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Name of the format (`ext4`).
    pub name: &'static str,
    /// Why it is not readable, and what the user can do.
    pub hint: &'static str,
}
