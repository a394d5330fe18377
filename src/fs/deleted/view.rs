//! The directory `.deleted/` of one volume: flat, as only record numbers are unambiguous. Entries are `NUMBER-NAME`; a
//! look-up of the number alone also succeeds. Extended attributes hold the former path and the recovery state. Deleted
//! directories are listed, empty.

use std::{ops::ControlFlow, sync::Arc};

use super::{ADDED, DIRECTORY, PATH, Undelete, Verdict};
use crate::{
    Error, Result,
    bytes::ByteSource,
    fs::{
        DirCursor, DirEntry, FileSystem, LinkTarget, Name, NodeId, NodeKind, Space, Stat, StreamInfo,
        Streams, VolumeInfo, Xattrs,
    },
};

/// `full`, `partial 40%`, `overwritten`, …
const STATE: &str = "user.vhdmount.state";

/// The deleted files of a volume as a filesystem.
pub struct View {
    fs: Arc<dyn FileSystem>,
}

impl View {
    /// Lists the deleted files of `fs`; empty if [`FileSystem::deleted`] returns `None`.
    pub fn new(fs: Arc<dyn FileSystem>) -> Self {
        Self { fs }
    }

    fn undelete(&self) -> Result<Box<dyn Undelete + '_>> {
        self.fs.deleted().ok_or_else(|| Error::not_found("deleted files are not recovered from this format"))
    }

    /// A file or stream by the filesystem's own number.
    fn local(&self, node: NodeId) -> Result<(Box<dyn Undelete + '_>, NodeId)> {
        let local = ADDED.local(node).ok_or_else(|| Error::invalid("not a deleted file"))?;
        Ok((self.undelete()?, local))
    }

    fn check_directory(&self, node: NodeId) -> Result<()> {
        let (undelete, local) = self.local(node)?;
        match undelete.stat(local)?.kind {
            NodeKind::Directory => Ok(()),
            _ => Err(Error::invalid("not a directory")),
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
        let (undelete, local) = self.local(node)?;
        undelete.stat(local)
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if dir != DIRECTORY {
            return self.check_directory(dir).map(|()| None);
        }
        self.fs.deleted().map_or(Ok(None), |undelete| ADDED.lookup(&*undelete, name))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if dir != DIRECTORY {
            return self.check_directory(dir);
        }
        self.fs.deleted().map_or(Ok(()), |undelete| ADDED.read_dir(&*undelete, from, sink))
    }

    fn parent(&self, _node: NodeId) -> Result<NodeId> {
        Ok(DIRECTORY)
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        let (undelete, local) = self.local(node)?;
        if undelete.stat(local)?.kind == NodeKind::File
            && undelete.state(local)?.verdict() == Verdict::Overwritten
        {
            return Err(Error::corrupt("deleted file", None, "other files have all of its clusters now"));
        }
        undelete.open(local)
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        let (undelete, local) = self.local(node)?;
        undelete.read_link(local)
    }

    fn space(&self) -> &dyn Space {
        self.fs.space()
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }
}

impl Streams for View {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        let (undelete, local) = self.local(node)?;
        undelete.streams(local)
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        let (undelete, local) = self.local(node)?;
        Ok(undelete.lookup_stream(local, name)?.map(|node| ADDED.global(node)))
    }
}

impl Xattrs for View {
    fn xattr_names(&self, node: NodeId) -> Result<Vec<String>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        let names =
            [PATH, STATE].into_iter().filter(|name| matches!(self.xattrs().xattr(node, name), Ok(Some(_))));
        Ok(names.map(str::to_owned).collect())
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        let (undelete, local) = self.local(node)?;
        match name {
            PATH => undelete.path(local),
            STATE => Ok(Some(undelete.state(local)?.to_string().into_bytes())),
            _ => undelete.xattr(local, name),
        }
    }
}
