//! Filesystems: one trait, one module per format, and what they share (names, run lists, caches, recognition).
//!
//! Node numbers are computed, never handed out, so there is no table to grow: the lower 50 bits belong to the
//! filesystem (NTFS: record number and stream), those above to the tree that mounts several volumes: see [`NodeId`].

mod capabilities;
pub mod deleted;
pub mod fat;
mod findings;
mod name;
mod neighbours;
mod node;
pub mod ntfs;
pub mod numbered;
pub mod orphans;
pub mod probe;
pub mod reach;
mod reader;
mod recognize;
pub mod runs;
mod volume_info;
pub mod wim;
pub mod windows;

use std::{ops::ControlFlow, sync::Arc};

pub use capabilities::{Check, Ownership, Space, StatAhead, Stored, Streams, Xattrs, check, open_stored};
pub use name::{Name, NameBuf};
pub use neighbours::Neighbours;
pub use node::{
    ContentPlace, DirCursor, DirEntry, LinkTarget, NodeId, NodeKind, Posix, Stat, StreamInfo, Times,
    Timestamp, Usage,
};
pub use volume_info::{FsKind, Journal, VolumeInfo};

use crate::{
    Result,
    bytes::{ByteSource, Decoders},
};

/// A filesystem, opened read-only; immutable, shared between threads.
///
/// Damage is local: an operation on a damaged node is [`crate::Error::Corrupt`], its siblings stay readable. Every
/// operation is bounded by the size of the volume, whatever the image says. What cannot be decoded is an error that
/// names the feature, never zeros.
///
/// The core is what every format has. What only some have is a trait of its own, which the accessors below hand out; asking
/// for one costs nothing.
pub trait FileSystem: Send + Sync {
    /// Label, serial, state: what `info` shows.
    fn volume(&self) -> VolumeInfo;

    /// The root directory.
    fn root(&self) -> NodeId;

    /// Size, times, kind of a node.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when no such node exists; `Corrupt`, `Io` as for every operation here.
    fn stat(&self, node: NodeId) -> Result<Stat>;

    /// The entry of `dir` with this name, by the filesystem's own rule of equality; an exact match wins over one that
    /// differs in case. Absence is no error.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when `dir` is not a directory.
    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;

    /// Calls `sink` for each entry from the cursor on, without `.` and `..`, until it breaks or the directory ends.
    /// A damaged part of a directory is reported as an error after the readable entries before it; asking again from
    /// the last entry's `next` cursor may fail again.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when `dir` is not a directory.
    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The directory that holds `node` (one of them, for hard links); the root is its own parent.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] where the format does not record it.
    fn parent(&self, node: NodeId) -> Result<NodeId>;

    /// A file's content. Also the content of a stream, for a node that [`Streams::lookup_stream`] returned.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] or [`crate::Error::Denied`] when the content cannot be decoded.
    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>>;

    /// The target of a node of kind [`NodeKind::Symlink`], as the disk states it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for any other kind.
    fn read_link(&self, node: NodeId) -> Result<LinkTarget>;

    /// How full the volume is.
    fn space(&self) -> &dyn Space;

    /// Named streams of files and directories.
    fn streams(&self) -> Option<&dyn Streams> {
        None
    }

    /// The format's own extended attributes.
    fn xattrs(&self) -> Option<&dyn Xattrs> {
        None
    }

    /// Owners and modes.
    fn ownership(&self) -> Option<&dyn Ownership> {
        None
    }

    /// The examination of the volume: see [`check`].
    fn checker(&self) -> Option<&dyn Check> {
        None
    }

    /// Reading ahead for listings.
    fn stat_ahead(&self) -> Option<&dyn StatAhead> {
        None
    }

    /// Where files can hold the content of others: content that is stored in the file itself. See [`open_stored`].
    fn stored(&self) -> Option<&dyn Stored> {
        None
    }

    /// What is left of deleted files; `None` where the format keeps nothing, or nothing is read of it. Asking costs nothing.
    fn deleted(&self) -> Option<Box<dyn deleted::Undelete + '_>> {
        None
    }

    /// Files and directories in use to which no directory leads; `None` where the format cannot have any, or none are looked
    /// for. Asking costs nothing.
    fn orphans(&self) -> Option<Box<dyn orphans::Orphans + '_>> {
        None
    }
}

/// What filesystems show and how, where the user may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// NTFS: list the metadata files (`$MFT`, …), and the stream that holds the data of a file compressed by WOF.
    pub show_system: bool,
    /// List `.deleted` and `.orphans`, the directories of deleted files and of files without a way to them, in the root of each
    /// volume.
    pub list_deleted: bool,
    /// NTFS: do not list files with the hidden attribute.
    pub hide_hidden: bool,
    /// NTFS: encrypted files in ntfs-3g's raw form, instead of an error.
    pub efs_raw: bool,
    /// FAT: the OEM code page of short names; `None`: 437.
    pub codepage: Option<u16>,
    /// FAT: what its local times are ahead of UTC, in minutes.
    pub utc_offset_minutes: i16,
    /// How many volumes there are: beyond a few they share the memory for caches. 0 counts as 1.
    pub volumes: usize,
    /// The threads that decode compressed content, for all volumes together; none runs before there is such content.
    pub decoders: Arc<Decoders>,
    /// NTFS: the other volumes of the disk, which may hold content of its files; told when all are opened.
    pub neighbours: Arc<Neighbours>,
}

/// Up to this many volumes each have the full budget; ordinary disks have fewer.
const FULL_BUDGETS: usize = 4;
/// No budget is cut below this: a cache keeps nothing that is larger than a sixteenth of its budget.
const MIN_BUDGET: usize = 1 << 20;

impl Options {
    /// What is left of a cache's budget when all volumes have one.
    pub(crate) fn share(&self, budget: usize) -> usize {
        let parts = self.volumes.div_ceil(FULL_BUDGETS).max(1);
        (budget / parts).max(MIN_BUDGET.min(budget))
    }
}
