//! The filesystem traits implemented by [`Ntfs`].

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use super::{
    Ntfs,
    attributes::{Attribute, code, ea, efs_size, standard_information::ATTRIBUTE_DIRECTORY},
    check,
    deleted::Deleted,
    nodes::{
        home::name_of,
        interix,
        node::{self, Node, Summary},
    },
    opening,
    orphans::OrphanAccess,
    records::{file::File, number},
    reparse::Data,
    volume::allocation,
};
use crate::{
    Error, Result,
    bytes::ByteSource,
    check::FindingSink,
    fs::{
        Check, DirCursor, DirEntry, FileSystem, LinkTarget, Name, NameBuf, NodeId, NodeKind, Ownership,
        Posix, Space, Stat, StatAhead, Stored, StreamInfo, Streams, Usage, VolumeInfo, Xattrs,
        deleted::Undelete, orphans::Orphans,
    },
};

/// Maximum length of a target that is read from a file's content: Linux' PATH_MAX.
const MAX_TARGET: usize = 4096;

impl Ntfs {
    /// The `stat` of a node from the file's own records.
    pub(super) fn full_stat(&self, node: Node) -> Result<Stat> {
        let file = self.file(node.record)?;
        let summary = Summary::of(&file)?;
        let stream = match node.ordinal {
            0 => None,
            ordinal => Some(node::stream(&file, ordinal)?.1),
        };
        Ok(summary.stat(&file, stream, self.options.efs_raw))
    }
}

impl FileSystem for Ntfs {
    fn volume(&self) -> VolumeInfo {
        self.info.clone()
    }

    fn root(&self) -> NodeId {
        NodeId(number::ROOT)
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let node = Node::from(node);
        if self.root_is_lost && node == (Node { record: number::ROOT, ordinal: 0 }) {
            return Ok(self.lost_root());
        }
        match self.stats.record(node.record).filter(|_| node.ordinal == 0) {
            Some(record) => Ok(record.stat()),
            None => self.full_stat(node),
        }
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        self.directory(dir)?.lookup(self, name.units())
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.directory(dir)?.list(self, from, sink)
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        let node = Node::from(node);
        if node.record == number::ROOT {
            return Ok(self.root());
        }
        if let Some(parent) =
            self.stats.record(node.record).and_then(|record| Node::file(record.parent().record()))
        {
            return Ok(parent);
        }
        let file = self.file(node.record)?;
        let parent = match file.base.header.directory {
            true => name_of(&file)?.map(|(_, parent)| parent),
            false => Summary::of(&file)?.parent,
        };
        let parent = parent.map(|parent| parent.record());
        let parent = parent.and_then(Node::file);
        parent.ok_or_else(|| file.base.corrupt("no name that leads to a parent"))
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        self.open_content(node)
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        let Node { record, ordinal } = node.into();
        let file = self.file(record)?;
        let summary = Summary::of(&file)?;
        let target = match &summary.reparse {
            _ if ordinal != 0 => None,
            Some(reparse) if reparse.data == Data::LxSymlinkInContent => {
                file.bytes(code::DATA, &[], MAX_TARGET)?.map(LinkTarget::Posix)
            }
            Some(reparse) => reparse.target(),
            None if summary.may_be_interix() => interix::read(&file)?.and_then(|special| special.target()),
            None => None,
        };
        target.ok_or_else(|| Error::invalid(format!("MFT record {record} is no link")))
    }

    fn deleted(&self) -> Option<Box<dyn Undelete + '_>> {
        Some(Box::new(Deleted::new(self)))
    }

    fn orphans(&self) -> Option<Box<dyn Orphans + '_>> {
        Some(Box::new(OrphanAccess::new(self)))
    }

    fn stat_ahead(&self) -> Option<&dyn StatAhead> {
        Some(self)
    }

    fn stored(&self) -> Option<&dyn Stored> {
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

    fn space(&self) -> &dyn Space {
        self
    }

    fn checker(&self) -> Option<&dyn Check> {
        Some(self)
    }
}

impl StatAhead for Ntfs {
    fn expect_stats(&self, dir: NodeId, from: DirCursor) {
        // Read errors surface through the listing.
        let _ = self.expect(dir, from);
    }
}

impl Stored for Ntfs {
    fn open_stored(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        let summary = Summary::of(&self.file(Node::from(node).record)?)?;
        match summary.reparse.and_then(|reparse| reparse.kept_in()) {
            Some(place) => Err(Error::unsupported(format!("its own content is kept in {place}"))),
            None => self.open_content(node),
        }
    }
}

impl Streams for Ntfs {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        let mut streams = Vec::new();
        let node = Node::from(node);
        if node.ordinal == 0 {
            self.each_stream(&self.file(node.record)?, &mut |_, attribute| {
                let raw = efs_size::shown_size(attribute).filter(|_| self.options.efs_raw);
                let size = raw.unwrap_or_else(|| attribute.size());
                streams.push(StreamInfo { name: NameBuf(attribute.name_units()), size });
                ControlFlow::Continue(())
            })?;
        }
        Ok(streams)
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let node = Node::from(node);
        let mut found = None;
        if node.ordinal != 0 {
            return Ok(None);
        }
        self.each_stream(&self.file(node.record)?, &mut |ordinal, attribute| {
            let exact = attribute.is_named(name.units());
            if exact || found.is_none() && self.upcase.eq(&attribute.name_units(), name.units()) {
                found = Some(Node { ordinal, ..node }.into());
            }
            if exact { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }
}

impl Xattrs for Ntfs {
    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        self.read_xattr(node, name)
    }
}

impl Ownership for Ntfs {
    fn posix(&self, node: NodeId) -> Result<Posix> {
        let node = Node::from(node);
        let chain = self.file(node.record)?.bytes(code::EA, &[], ea::MAX_EA)?;
        Ok(chain.map(|chain| ea::posix(&chain)).unwrap_or_default())
    }
}

impl Space for Ntfs {
    fn usage(&self) -> Result<Usage> {
        let cluster_size = self.mft.boot.cluster_size;
        let free = match self.free.get() {
            Some(free) => *free,
            None => {
                let mut free = 0;
                allocation::free_clusters(&*self.bitmap()?, self.clusters(), &mut |range| {
                    free += range.end - range.start;
                    ControlFlow::Continue(())
                })?;
                *self.free.get_or_init(|| free)
            }
        };
        Ok(Usage { cluster_size, total: self.mft.boot.size(), free: free * cluster_size })
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let size = self.mft.boot.cluster_size;
        let (mut total, mut whole) = (0, true);
        allocation::free_clusters(&*self.bitmap()?, self.clusters(), &mut |free| {
            total += free.end - free.start;
            let flow = sink(free.start * size..free.end * size);
            whole &= flow.is_continue();
            flow
        })?;
        if whole {
            // The caller has seen all free ranges: they need not be counted again.
            self.free.get_or_init(|| total);
        }
        Ok(())
    }
}

impl Check for Ntfs {
    fn check(&self, report: &mut dyn FindingSink) -> Result<()> {
        check::volume(self, report)
    }
}

impl Ntfs {
    /// The visible streams: with the metadata files shown, also the stream that Windows hides in a compressed file.
    fn each_stream(
        &self,
        file: &File<'_>,
        f: &mut dyn FnMut(u16, &Attribute<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.options.show_system { node::each_stream(file, f) } else { node::each_visible_stream(file, f) }
    }

    /// Opens the record of the root directory.
    pub(super) fn root_record(&self) -> Result<File<'_>> {
        let root = self.file(number::ROOT)?;
        if root.base.header.directory { Ok(root) } else { Err(root.base.corrupt("the root is no directory")) }
    }

    /// The `stat` of a root directory that is lost.
    fn lost_root(&self) -> Stat {
        Stat { attributes: ATTRIBUTE_DIRECTORY, ..Stat::empty(NodeKind::Directory) }
    }

    pub(super) fn bitmap(&self) -> Result<Arc<dyn ByteSource>> {
        let file = self.file(number::BITMAP)?;
        file.source(code::DATA, &[])?.ok_or_else(|| Error::corrupt("$Bitmap", None, "no data"))
    }

    /// Number of clusters that the source really has room for.
    pub(super) fn clusters(&self) -> u64 {
        self.mft.boot.clusters.min(self.mft.volume.size() / self.mft.boot.cluster_size)
    }

    /// True if `hiberfil.sys` holds the memory of a hibernated system.
    pub(super) fn find_hibernation(&self) -> bool {
        let read = || -> Result<bool> {
            let Some(node) = self.lookup(self.root(), NameBuf::literal("hiberfil.sys").as_name())? else {
                return Ok(false);
            };
            let content = self.open(node)?;
            let mut start = [0; 4];
            Ok(content.size() >= 4
                && content.read_exact_at(0, &mut start).is_ok()
                && opening::is_hibernation_signature(&start))
        };
        read().unwrap_or(false)
    }
}
