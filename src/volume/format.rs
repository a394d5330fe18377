//! What a volume format is: how it is recognized, and which volumes it makes of others.

use std::ops::Range;

use super::Volume;
use crate::{Result, bytes::ByteSource};

/// A format that lies between partitions and filesystems.
pub(super) trait Format: Sync {
    /// Its name, and what the user can do with what is not read here.
    fn known(&self) -> Known;

    /// Whether a volume is in this format. Asked at each [`Stage`]; bounded reads only.
    ///
    /// # Errors
    /// When the volume cannot be read where a signature would be.
    fn detect(&self, look: &Look<'_>) -> Result<bool>;

    /// The volumes that it makes of `all`; `fresh` are those that it was not asked about before. None for a format that is only
    /// recognized.
    fn volumes(&self, _all: &[Volume], _fresh: Range<usize>) -> Vec<Volume> {
        Vec::new()
    }
}

/// Something recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// `BitLocker`, `LVM2`
    pub name: &'static str,
    /// A sentence on what the user can do.
    pub hint: &'static str,
}

/// When a format's detection runs. Filesystems are detected in between, as one may lie in a member of another format, or over
/// the remains of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before all filesystems: what only looks like one.
    First,
    /// Before filesystems that have no reader here: what a filesystem would have overwritten.
    Front,
    /// After all filesystems that begin where a volume does: what may be left over, or be the content of one.
    Last,
}

/// The volume that is examined, and the stage.
pub struct Look<'a> {
    /// When.
    pub stage: Stage,
    /// The volume.
    pub volume: &'a dyn ByteSource,
    /// Its beginning, as far as it was read: at [`Stage::First`] the boot sector.
    pub front: &'a [u8],
}
