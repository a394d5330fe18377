//! Deleted files: records of `$MFT` that are no longer in use. They are read like those in use, by a second [`Ntfs`] whose
//! table has only freed records and whose volume has only unallocated clusters, so that compressed files and streams need no
//! code here. Guards: extension records and parents must have been freed after the reference to them was made; no cluster of
//! another file is read.

mod state;

use std::{ops::ControlFlow, sync::Arc};

use super::{
    Ntfs, assemble,
    attributes::reference::FileReference,
    nodes::{
        home::name_of,
        node::Node,
        numbered::{each, name_and_kind},
    },
    records::{file::File, mft::Mft, number},
    volume::upcase::UpCase,
};
use crate::{
    Error, Result,
    bytes::{ByteSource, MemorySource},
    cache::Cache,
    fs::{
        FileSystem, LinkTarget, Name, NameBuf, NodeId, Stat, StreamInfo, Streams, VolumeInfo,
        deleted::{FreeClusters, Numbered, NumberedFile, State, Unallocated, Undelete},
    },
};

/// Maximum depth: above that of any practical path; parents of deleted directories may form a cycle.
const MAX_DEPTH: usize = 512;
/// Maximum length of a path: longer than those of Windows (32,767 units of at most three bytes) is damage.
const MAX_PATH: usize = 96 << 10;
/// Cache budget for paths of directories: neighbours in the table mostly share a directory.
const PATH_BUDGET: usize = 1 << 20;

/// The path of a directory; `None` if it is unknown.
type Path = Option<Arc<[u8]>>;

/// The second volume and its caches.
pub(super) struct Freed {
    ntfs: Ntfs,
    free: Arc<FreeClusters>,
    /// Paths by file reference.
    paths: Cache<u64, Path>,
}

impl Freed {
    fn of(live: &Ntfs) -> Self {
        let bitmap = live.bitmap().unwrap_or_else(|error| {
            log::warn!("$Bitmap: {error}; their clusters cannot be distinguished from those of other files, so no content of deleted files is read");
            Arc::new(MemorySource::default())
        });
        let free = Arc::new(FreeClusters::new(bitmap, live.clusters()));
        let cluster_size = live.mft.boot.cluster_size;
        let volume = Unallocated::new(live.mft.volume.clone(), free.clone(), cluster_size);
        let mft: Mft = live.mft.freed(Arc::new(volume), &live.context);
        // Names are compared exactly, or by the fallback table: the volume's own would take another 128 KiB.
        let ntfs = assemble(
            live.volume.clone(),
            mft,
            UpCase::fallback(),
            VolumeInfo::default(),
            (&live.options, &live.context),
        );
        Self { ntfs, free, paths: Cache::new(PATH_BUDGET) }
    }
}

/// The deleted files of a volume.
pub(super) struct Deleted<'a> {
    live: &'a Ntfs,
}

impl<'a> Deleted<'a> {
    pub(super) fn new(live: &'a Ntfs) -> Self {
        Self { live }
    }

    fn freed(&self) -> &'a Freed {
        self.live.freed.get_or_init(|| Box::new(Freed::of(self.live)))
    }

    fn file(&self, record: u64) -> Result<File<'a>> {
        self.freed().ntfs.file(record)
    }

    /// The path of `name` in the directory that `parent` refers to, in use or deleted.
    pub(super) fn path_in(&self, parent: FileReference, name: Name<'_>) -> Result<Option<Vec<u8>>> {
        let Some(directory) = self.path_of(parent)? else { return Ok(None) };
        let mut path = directory.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        name.push_text(&mut path);
        Ok(Some(path))
    }

    /// The path of the directory that `reference` refers to.
    fn path_of(&self, reference: FileReference) -> Result<Path> {
        self.freed().paths.get_or_load(reference.0, || {
            let path: Path = self.walk_up(reference)?.map(Into::into);
            let memory = size_of::<Path>() + path.as_ref().map_or(0, |path| path.len());
            Ok((path, memory))
        })
    }

    fn walk_up(&self, mut reference: FileReference) -> Result<Option<Vec<u8>>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut len = 0;
        while reference.record() != number::ROOT {
            let Some(directory) = self.directory(reference)? else { return Ok(None) };
            let Some((name, parent)) = name_of(&directory)? else { return Ok(None) };
            let mut text = Vec::new();
            name.as_name().push_text(&mut text);
            len += text.len() + 1;
            names.push(text);
            // Includes deleted directories that name each other as their parents.
            if names.len() > MAX_DEPTH || len > MAX_PATH {
                return Ok(None);
            }
            reference = parent;
        }
        names.reverse();
        Ok(Some(names.join(&b'/')))
    }

    /// The directory that a reference refers to, in use or deleted; `None` if another file uses its record now.
    fn directory(&self, reference: FileReference) -> Result<Option<File<'a>>> {
        let in_use = self.live.file(reference.record());
        let found = match in_use {
            Err(Error::NotFound(_)) => self.file(reference.record()),
            in_use => in_use,
        };
        match found {
            Ok(file) if file.base.header.directory && file.base.header.answers_to(reference.sequence()) => {
                Ok(Some(file))
            }
            Ok(_) | Err(Error::NotFound(_) | Error::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Numbered for Deleted<'_> {
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()> {
        let mft = &self.freed().ntfs.mft;
        let records = std::iter::successors(mft.next_freed(from), |record| mft.next_freed(record + 1));
        let _ = each(records, |record| self.file(record), "of deleted files", sink);
        Ok(())
    }

    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>> {
        let Some(node) = Node::file(number) else { return Ok(None) };
        Ok(name_and_kind(self.file(number))?.map(|(name, _)| (node, name)))
    }

    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>> {
        let Some((name, parent)) = name_of(&self.file(Node::from(node).record)?)? else { return Ok(None) };
        self.path_in(parent, name.as_name())
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let record = Node::from(node).record;
        if name_and_kind(self.file(record))?.is_none() {
            return Err(Error::not_found(format!("MFT record {record} is not that of a deleted file")));
        }
        self.freed().ntfs.stat(node)
    }
}

impl Undelete for Deleted<'_> {
    fn state(&self, node: NodeId) -> Result<State> {
        state::of(self, node)
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        self.freed().ntfs.open(node)
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        self.freed().ntfs.read_link(node)
    }

    fn streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        self.freed().ntfs.streams().list_streams(node)
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        self.freed().ntfs.streams().lookup_stream(node, name)
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        let node = Node::from(node);
        if node.ordinal != 0 {
            return Ok(None);
        }
        // Security descriptors are in a file of the live volume.
        self.live.read_xattr_of(&|| self.file(node.record), name)
    }
}
