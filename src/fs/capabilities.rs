//! What formats can do beside the core of [`super::FileSystem`]: one trait for each capability. The core has an accessor for
//! each, which returns `None` where the format has no such thing. What only asks, and takes absence for emptiness, uses the
//! `Option` itself: `fs.streams().list_streams(node)`.
//!
//! Nodes are those of the filesystem that hands the capability out. What holds for it holds here: damage is local, every
//! operation is bounded by the size of the volume, and one without its own "Errors" fails with `Corrupt`, `Io` or `NotFound`.

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

/// How full a volume is. Every format has it.
pub trait Space {
    /// Total and free bytes, from the allocation bitmap: the free bytes are the sum of [`Self::free_ranges`].
    ///
    /// # Errors
    /// When the bitmap cannot be read.
    fn usage(&self) -> Result<Usage>;

    /// Calls `sink` with each free range, in bytes of the volume, ascending, as long as possible each, until it breaks.
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
    /// As said above.
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>>;

    /// The node of a named stream; [`FileSystem::stat`] and [`FileSystem::open`] serve it as a file of the size that
    /// [`Self::list_streams`] states. Absence is no error.
    ///
    /// # Errors
    /// As said above.
    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;
}

/// The format's own extended attributes (`system.ntfs_acl`, …), without streams.
pub trait Xattrs {
    /// The names that are listed, each of which has a value. More may be readable by name.
    ///
    /// # Errors
    /// As said above.
    fn xattr_names(&self, _node: NodeId) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The value of one attribute. Absence is no error.
    ///
    /// # Errors
    /// As said above.
    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>>;
}

/// Owners and modes, where the format (or a system that uses it) stores some.
pub trait Ownership {
    /// What is stored for a node.
    ///
    /// # Errors
    /// As said above.
    fn posix(&self, node: NodeId) -> Result<Posix>;
}

/// The examination of a volume.
pub trait Check {
    /// Examines the whole volume and reports what contradicts its specification, the volume's state included (dirty,
    /// hibernated, what opening had to get around). Damage is a finding, never an error.
    ///
    /// # Errors
    /// When the examination itself cannot go on, which is then reported as one more finding.
    fn check(&self, sink: &mut dyn FindingSink) -> Result<()>;
}

/// Reading ahead for listings.
pub trait StatAhead {
    /// Comes before [`FileSystem::read_dir`], from a caller who will ask for [`FileSystem::stat`] of each entry: what that
    /// needs may be read for many entries at once. Changes no answer, and never fails.
    fn expect_stats(&self, dir: NodeId, from: DirCursor);
}

/// Files whose content is kept in other files.
pub trait Stored {
    /// As [`FileSystem::open`], but only content that is stored in the file itself. Used to read files that may hold the
    /// content of others, so that no chain of files is followed, nor a circle.
    ///
    /// # Errors
    /// As [`FileSystem::open`]; [`crate::Error::Unsupported`] also for content that is kept in another file.
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

/// Nothing stored where the format has no owners.
impl Ownership for Option<&dyn Ownership> {
    fn posix(&self, node: NodeId) -> Result<Posix> {
        self.map_or_else(|| Ok(Posix::default()), |owners| owners.posix(node))
    }
}

/// Nothing to do where nothing is read ahead.
impl StatAhead for Option<&dyn StatAhead> {
    fn expect_stats(&self, dir: NodeId, from: DirCursor) {
        if let Some(ahead) = self {
            ahead.expect_stats(dir, from);
        }
    }
}

/// [`Check::check`], or for a format without it what opening found, and that nothing else was examined.
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
