//! Filesystems: one trait, one module per format, and shared parts (names, run lists, caches, recognition).
//!
//! Node numbers are computed from the disk, not allocated, so there is no inode table to grow: the lower 50 bits belong to
//! the filesystem (NTFS: record number and stream), those above to the tree that mounts several volumes: see [`NodeId`].

mod capabilities;
mod context;
pub mod deleted;
pub mod fat;
mod findings;
mod name;
mod neighbours;
mod node;
pub mod ntfs;
pub mod numbered;
mod options;
pub mod orphans;
pub mod probe;
pub mod reach;
mod reader;
mod recognize;
pub mod runs;
#[cfg(test)]
mod testing;
mod volume_info;
pub mod wim;
pub mod windows;

use std::{ops::ControlFlow, sync::Arc};

pub use capabilities::{Check, Ownership, Space, StatAhead, Stored, Streams, Xattrs, check, open_stored};
pub use context::Context;
pub use name::{Name, NameBuf};
pub use neighbours::Neighbours;
pub use node::{
    ContentPlace, DirCursor, DirEntry, LinkTarget, NodeId, NodeKind, Posix, Stat, StreamInfo, Times,
    Timestamp, Usage,
};
pub use options::Options;
pub use volume_info::{FsKind, Journal, VolumeInfo};

use crate::{Result, bytes::ByteSource};

/// A filesystem, opened read-only; immutable, shared between threads.
///
/// Damage is local: an operation on a damaged node is [`crate::Error::Corrupt`], its siblings stay readable. Every operation
/// is bounded by the size of the volume, whatever the image claims. Content that cannot be decoded is an error that names
/// the feature, never zeros.
///
/// The core is common to every format. Optional capabilities are traits of their own, which the accessors below return; an
/// accessor costs nothing.
pub trait FileSystem: Send + Sync {
    /// Label, serial number, state: the data of the command `info`.
    fn volume(&self) -> VolumeInfo;

    /// The root directory.
    fn root(&self) -> NodeId;

    /// Size, times and kind of a node.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when no such node exists; `Corrupt`, `Io` as for every operation here.
    fn stat(&self, node: NodeId) -> Result<Stat>;

    /// The entry of `dir` with this name, by the filesystem's own rule of equality; an exact match takes precedence over one
    /// that differs in case. Absence is no error.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when `dir` is not a directory.
    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;

    /// Calls `sink` for each entry from the cursor on, without `.` and `..`, until it breaks or the directory ends. A
    /// damaged part of a directory is reported as an error after the readable entries before it; a listing from the last
    /// entry's `next` cursor may fail again.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when `dir` is not a directory.
    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The parent directory of `node` (one of them, for hard links); the root is its own parent.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] where the format does not record it.
    fn parent(&self, node: NodeId) -> Result<NodeId>;

    /// The content of a file, or of a stream for a node that [`Streams::lookup_stream`] returned.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] or [`crate::Error::Denied`] when the content cannot be decoded.
    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>>;

    /// The target of a node of kind [`NodeKind::Symlink`], as stored on the disk.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for any other kind.
    fn read_link(&self, node: NodeId) -> Result<LinkTarget>;

    /// Used and free space of the volume.
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

    /// Read-ahead of metadata for directory listings.
    fn stat_ahead(&self) -> Option<&dyn StatAhead> {
        None
    }

    /// Opens only content that is stored in the file itself, where files can hold the content of others. See
    /// [`open_stored`].
    fn stored(&self) -> Option<&dyn Stored> {
        None
    }

    /// Deleted files; `None` where the format keeps no remains, or this library does not read them. The accessor costs
    /// nothing.
    fn deleted(&self) -> Option<Box<dyn deleted::Undelete + '_>> {
        None
    }

    /// Files and directories in use to which no directory leads; `None` where the format cannot have any, or this library
    /// does not search for them. The accessor costs nothing.
    fn orphans(&self) -> Option<Box<dyn orphans::Orphans + '_>> {
        None
    }
}
