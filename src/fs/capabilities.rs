//! Optional capabilities of a filesystem beside the core of [`super::FileSystem`], one trait each. The core has an accessor
//! for each capability; it returns `None` where the format lacks it. A caller that treats absence as emptiness calls the
//! trait on the `Option` itself: `fs.streams().list_streams(node)`.
//!
//! Nodes are those of the filesystem that returned the capability. The core's contract applies here, too: damage is local,
//! every operation is bounded by the size of the volume, and one without its own "Errors" fails with `Corrupt`, `Io` or
//! `NotFound`.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use super::{DirCursor, FileSystem, Name, NodeId, Posix, StreamInfo, Usage};
use crate::{
    Result,
    bytes::ByteSource,
    check::{Finding, FindingSink},
};

/// Used and free space of a volume. Every format has it.
pub trait Space {
    /// Total and free bytes, from the allocation bitmap: the free bytes are the sum of [`Self::free_ranges`].
    ///
    /// # Errors
    /// When the bitmap cannot be read.
    fn usage(&self) -> Result<Usage>;

    /// Calls `sink` with each maximal free range, in bytes of the volume, ascending, until it breaks.
    ///
    /// # Errors
    /// When the bitmap cannot be read.
    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()>;
}

/// Named streams of files and directories.
pub trait Streams {
    /// The named streams of a file or directory. A stream itself has none.
    ///
    /// # Errors
    /// As stated for the module.
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>>;

    /// The node of a named stream; [`FileSystem::stat`] and [`FileSystem::open`] treat it as a file of the size that
    /// [`Self::list_streams`] returns. Absence is no error.
    ///
    /// # Errors
    /// As stated for the module.
    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;
}

/// The format's own extended attributes (`system.ntfs_acl`, …), without streams.
pub trait Xattrs {
    /// The names to list, each of which has a value. More attributes may be readable by name.
    ///
    /// # Errors
    /// As stated for the module.
    fn xattr_names(&self, _node: NodeId) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The value of one attribute. Absence is no error.
    ///
    /// # Errors
    /// As stated for the module.
    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>>;
}

/// Owners and modes, where the format (or a system that uses it) stores some.
pub trait Ownership {
    /// The owner and mode that are stored for a node.
    ///
    /// # Errors
    /// As stated for the module.
    fn posix(&self, node: NodeId) -> Result<Posix>;
}

/// The examination of a volume.
pub trait Check {
    /// Examines the whole volume and reports every contradiction to its specification and the volume's state (dirty,
    /// hibernated, damage that opening worked around). Damage is a finding, never an error.
    ///
    /// # Errors
    /// When the examination itself cannot continue, which is then reported as one more finding.
    fn check(&self, sink: &mut dyn FindingSink) -> Result<()>;
}

/// Read-ahead of metadata for directory listings.
pub trait StatAhead {
    /// Announces a [`FileSystem::read_dir`] whose caller will call [`FileSystem::stat`] for each entry: the filesystem may
    /// read the metadata of many entries at once. Changes no result, and never fails.
    fn expect_stats(&self, dir: NodeId, from: DirCursor);
}

/// Files whose content may be stored in other files.
pub trait Stored {
    /// As [`FileSystem::open`], but only for content that is stored in the file itself. Used to read files that may hold the
    /// content of others, so that no chain or cycle of files is followed.
    ///
    /// # Errors
    /// As [`FileSystem::open`]; [`crate::Error::Unsupported`] also for content that is stored in another file.
    fn open_stored(&self, node: NodeId) -> Result<Arc<dyn ByteSource>>;
}

/// No streams where the format has none.
impl Streams for Option<&dyn Streams> {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        self.map_or_else(|| Ok(Vec::new()), |streams| streams.list_streams(node))
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        self.map_or(Ok(None), |streams| streams.lookup_stream(node, name))
    }
}

/// No attributes where the format has none.
impl Xattrs for Option<&dyn Xattrs> {
    fn xattr_names(&self, node: NodeId) -> Result<Vec<String>> {
        self.map_or_else(|| Ok(Vec::new()), |xattrs| xattrs.xattr_names(node))
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        self.map_or(Ok(None), |xattrs| xattrs.xattr(node, name))
    }
}

/// No owners or modes where the format stores none.
impl Ownership for Option<&dyn Ownership> {
    fn posix(&self, node: NodeId) -> Result<Posix> {
        self.map_or_else(|| Ok(Posix::default()), |owners| owners.posix(node))
    }
}

/// A no-op where the format has no read-ahead.
impl StatAhead for Option<&dyn StatAhead> {
    fn expect_stats(&self, dir: NodeId, from: DirCursor) {
        if let Some(ahead) = self {
            ahead.expect_stats(dir, from);
        }
    }
}

/// [`Check::check`]; for a format without it, reports the problems found by opening, and that nothing else was examined.
///
/// # Errors
/// As [`Check::check`].
pub fn check(fs: &dyn FileSystem, sink: &mut dyn FindingSink) -> Result<()> {
    if let Some(checker) = fs.checker() {
        return checker.check(sink);
    }
    let volume = fs.volume();
    for problem in &volume.problems {
        let meaning = "found while opening; what can be read is read";
        sink.finding(Finding::warning(volume.filesystem.name(), problem, meaning));
    }
    let problem = "its structures are not examined: there is no check for this filesystem yet";
    let meaning = "says nothing of the volume's state";
    sink.finding(Finding::note(volume.filesystem.name(), problem, meaning));
    Ok(())
}

/// [`Stored::open_stored`]; in a format where no file holds the content of another one, [`FileSystem::open`].
///
/// # Errors
/// As [`Stored::open_stored`].
pub fn open_stored(fs: &dyn FileSystem, node: NodeId) -> Result<Arc<dyn ByteSource>> {
    match fs.stored() {
        Some(stored) => stored.open_stored(node),
        None => fs.open(node),
    }
}
