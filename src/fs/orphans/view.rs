//! The directory `.orphans/` of one volume: `NUMBER-NAME` for each orphan that is in no other one, and the trees below
//! those. An extended attribute holds the path of an orphan.

use std::{ops::ControlFlow, sync::Arc};

use super::{ADDED, DIRECTORY, Orphans};
use crate::{
    Error, Result,
    bytes::ByteSource,
    fs::{
        DirCursor, DirEntry, FileSystem, LinkTarget, Name, NodeId, NodeKind, Ownership, Posix, Space, Stat,
        StatAhead, StreamInfo, Streams, VolumeInfo, Xattrs, deleted::PATH,
    },
};

/// The orphans of a volume as a filesystem.
pub struct View {
    fs: Arc<dyn FileSystem>,
}

impl View {
    /// Lists the orphans of `fs`; empty if [`FileSystem::orphans`] returns `None`.
    pub fn new(fs: Arc<dyn FileSystem>) -> Self {
        Self { fs }
    }

    /// A node by the filesystem's own number.
    fn local(&self, node: NodeId) -> Result<(Box<dyn Orphans + '_>, NodeId)> {
        let local = ADDED.local(node).ok_or_else(|| Error::invalid("not an orphan"))?;
        let orphans = self.fs.orphans();
        let orphans = orphans.ok_or_else(|| Error::not_found("orphans are not looked for in this format"))?;
        Ok((orphans, local))
    }

    /// As [`Self::local`], for nodes with content: a directory has none, and may not exist for the filesystem.
    fn file(&self, node: NodeId) -> Result<NodeId> {
        if node == DIRECTORY {
            return Err(Error::invalid("a directory has no content"));
        }
        let (orphans, local) = self.local(node)?;
        match orphans.stat(local)?.kind {
            NodeKind::Directory => Err(Error::invalid("a directory has no content")),
            _ => Ok(local),
        }
    }
}

impl FileSystem for View {
    fn volume(&self) -> VolumeInfo {
        self.fs.volume()
    }

    fn root(&self) -> NodeId {
        DIRECTORY
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        if node == DIRECTORY {
            return Ok(ADDED.stat(&*self.fs));
        }
        let (orphans, local) = self.local(node)?;
        orphans.stat(local)
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if dir != DIRECTORY {
            let (orphans, local) = self.local(dir)?;
            return Ok(orphans.lookup(local, name)?.map(|node| ADDED.global(node)));
        }
        self.fs.orphans().map_or(Ok(None), |orphans| ADDED.lookup(&*orphans, name))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if dir != DIRECTORY {
            let (orphans, local) = self.local(dir)?;
            return orphans.read_dir(local, from, &mut |entry| {
                sink(DirEntry { node: ADDED.global(entry.node), ..entry })
            });
        }
        self.fs.orphans().map_or(Ok(()), |orphans| ADDED.read_dir(&*orphans, from, sink))
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        if node == DIRECTORY {
            return Ok(DIRECTORY);
        }
        let (orphans, local) = self.local(node)?;
        Ok(orphans.parent(local)?.map_or(DIRECTORY, |node| ADDED.global(node)))
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        self.fs.open(self.file(node)?)
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        self.fs.read_link(self.file(node)?)
    }

    fn space(&self) -> &dyn Space {
        self.fs.space()
    }

    fn stat_ahead(&self) -> Option<&dyn StatAhead> {
        Some(self)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }

    fn ownership(&self) -> Option<&dyn Ownership> {
        Some(self)
    }
}

impl StatAhead for View {
    fn expect_stats(&self, dir: NodeId, from: DirCursor) {
        if let Ok((_, local)) = self.local(dir) {
            self.fs.stat_ahead().expect_stats(local, from);
        }
    }
}

impl Streams for View {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        self.fs.streams().list_streams(self.local(node)?.1)
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        Ok(self.fs.streams().lookup_stream(self.local(node)?.1, name)?.map(|node| ADDED.global(node)))
    }
}

impl Xattrs for View {
    fn xattr_names(&self, node: NodeId) -> Result<Vec<String>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        let (orphans, local) = self.local(node)?;
        let mut names = self.fs.xattrs().xattr_names(local)?;
        names.extend(orphans.path(local)?.map(|_| PATH.to_owned()));
        Ok(names)
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        let (orphans, local) = self.local(node)?;
        if name == PATH { orphans.path(local) } else { self.fs.xattrs().xattr(local, name) }
    }
}

impl Ownership for View {
    fn posix(&self, node: NodeId) -> Result<Posix> {
        if node == DIRECTORY {
            return Ok(Posix::default());
        }
        self.fs.ownership().posix(self.local(node)?.1)
    }
}
