//! The capabilities of a tree: each is that of the volume that holds the node.

use std::ops::{ControlFlow, Range};

use super::{Namespace, Place, Tree};
use crate::{
    Result,
    fs::{DirCursor, Name, NodeId, Ownership, Posix, Space, StatAhead, StreamInfo, Streams, Usage, Xattrs},
};

impl StatAhead for Tree {
    fn expect_stats(&self, dir: NodeId, from: DirCursor) {
        if let Ok(Place::In(_, fs, local)) = self.place(dir) {
            fs.stat_ahead().expect_stats(local, from);
        }
    }
}

impl Streams for Tree {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.streams().list_streams(local),
            Place::Own(_) => Ok(Vec::new()),
        }
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        match self.place(node)? {
            Place::In(index, fs, local) => {
                Ok(fs.streams().lookup_stream(local, name)?.map(|stream| self.number(index, stream)))
            }
            Place::Own(_) => Ok(None),
        }
    }
}

impl Xattrs for Tree {
    fn xattr_names(&self, node: NodeId) -> Result<Vec<String>> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.xattrs().xattr_names(local),
            Place::Own(_) => Ok(Vec::new()),
        }
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.xattrs().xattr(local, name),
            Place::Own(_) => Ok(None),
        }
    }
}

impl Ownership for Tree {
    fn posix(&self, node: NodeId) -> Result<Posix> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.ownership().posix(local),
            Place::Own(_) => Ok(Posix::default()),
        }
    }
}

impl Space for Tree {
    /// Space usage of the whole disk, or of the one mounted volume, limited by what the host can back.
    fn usage(&self) -> Result<Usage> {
        self.usage_at(Self::ROOT)
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        match self.only {
            Some(index) => self.volumes[index].fs.space().free_ranges(sink),
            None => Ok(()),
        }
    }
}
