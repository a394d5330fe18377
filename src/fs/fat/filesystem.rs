//! The filesystem traits implemented by [`Fat`].

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use super::{
    Fat, ROOT,
    chain::{Chain, Wanted},
    check,
    deleted::Deleted,
    directory::{DirectoryEntry, Index, Slots},
    format::{ShortEntry, attr},
    name,
    orphans::OrphanAccess,
    time,
};
use crate::{
    Error, Result,
    bytes::{ByteSource, ReadAhead},
    check::FindingSink,
    fs::{
        Check, ContentPlace, DirCursor, DirEntry, FileSystem, LinkTarget, Name, NodeId, NodeKind, Space,
        Stat, Usage, VolumeInfo, deleted::Undelete, orphans::Orphans, runs::RunSource,
    },
};

impl FileSystem for Fat {
    fn volume(&self) -> VolumeInfo {
        self.info.clone()
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        if node == ROOT {
            let size = self.root_directory().map_or(0, |directory| directory.runs.len());
            let root = Stat::empty(NodeKind::Directory);
            return Ok(Stat { size, allocated: size, attributes: 0x10, ..root });
        }
        let entry = self.entry(node)?;
        let cluster_size = u64::from(self.geometry.cluster_size);
        let (kind, size, allocated) = if entry.attr & attr::DIRECTORY != 0 {
            // The entry of a directory has no size.
            let size =
                self.directory_at(self.first_cluster(&entry)).map_or(0, |directory| directory.runs.len());
            (NodeKind::Directory, size, size)
        } else {
            let size = u64::from(entry.file_size.get());
            (NodeKind::File, size, size.next_multiple_of(cluster_size))
        };
        let times = time::times(&entry, self.utc_offset_minutes);
        let attributes = u32::from(entry.attr & attr::FILE_ATTRIBUTES);
        Ok(Stat { kind, size, allocated, links: 1, times, attributes, content: ContentPlace::Own })
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let directory = self.directory(dir)?;
        let index = self.index(dir, &directory)?;
        let found = index.find(&directory, &self.pages, &self.decoder, name.units())?;
        let cluster = self.directory_cluster(dir)?;
        let node = found.map(|DirectoryEntry { short, position, next }| {
            self.entered_from(cluster, position, &short, || {
                Ok(index.is_first(self.first_cluster(&short), next))
            })
        });
        node.transpose()
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let directory = self.directory(dir)?;
        // No directory has that many slots: the listing is at its end.
        let Ok(from) = u32::try_from(from.0) else { return Ok(()) };
        let cluster = self.directory_cluster(dir)?;
        let mut slots = Slots::new(&directory, &self.pages, from);
        let mut name = Vec::with_capacity(name::MAX_LONG_NAME);
        while let Some(DirectoryEntry { short, position, next }) =
            slots.next_entry(&self.decoder, &mut name)?
        {
            let is_directory = short.attr & attr::DIRECTORY != 0;
            let entry = DirEntry {
                name: Name(&name),
                node: self.entered_from(cluster, position, &short, || {
                    Ok(self.index(dir, &directory)?.is_first(self.first_cluster(&short), next))
                })?,
                kind: if is_directory { NodeKind::Directory } else { NodeKind::File },
                next: DirCursor(next.into()),
            };
            if sink(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The parent of a directory, from its `..`; entries of files do not record their directory.
    fn parent(&self, node: NodeId) -> Result<NodeId> {
        if node == ROOT {
            return Ok(ROOT);
        }
        let entry = self.entry(node)?;
        if entry.attr & attr::DIRECTORY == 0 {
            return Err(Error::unsupported("FAT does not record the directory of a file"));
        }
        match self.dot_dot(self.first_cluster(&entry))? {
            0 => Ok(ROOT),
            parent => match self.dot_dot(parent)? {
                0 => self.find_directory(&*self.root_directory()?, parent),
                grandparent => self.find_directory(&*self.directory_at(grandparent)?, parent),
            },
        }
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        if node == ROOT {
            return Err(Error::invalid("a directory has no content"));
        }
        let entry = self.entry(node)?;
        if entry.attr & attr::DIRECTORY != 0 {
            return Err(Error::invalid("a directory has no content"));
        }
        let size = u64::from(entry.file_size.get());
        let clusters = size.div_ceil(self.geometry.cluster_size.into());
        let clusters = u32::try_from(clusters).expect("less than 4 GiB in clusters of at least 512 bytes");
        let runs = if clusters == 0 {
            Arc::default()
        } else {
            let first = self.first_cluster(&entry);
            let chain = self.chains.decode(&self.geometry, &self.pages, first, Wanted::Clusters(clusters))?;
            if let Some(damage) = &chain.damage {
                log::warn!("FAT file at entry {:#x}: {damage}; what is missing cannot be read", node.0);
            }
            chain.runs.clone()
        };
        Ok(ReadAhead::over(Arc::new(RunSource::new(self.pages.volume().clone(), runs, size, size))))
    }

    fn read_link(&self, _node: NodeId) -> Result<LinkTarget> {
        Err(Error::invalid("FAT has no links"))
    }

    fn deleted(&self) -> Option<Box<dyn Undelete + '_>> {
        Some(Box::new(Deleted::new(self)))
    }

    fn orphans(&self) -> Option<Box<dyn Orphans + '_>> {
        Some(Box::new(OrphanAccess::new(self)))
    }

    fn space(&self) -> &dyn Space {
        self
    }

    fn checker(&self) -> Option<&dyn Check> {
        Some(self)
    }
}

impl Space for Fat {
    fn usage(&self) -> Result<Usage> {
        if let Some(usage) = self.usage.get() {
            return Ok(*usage);
        }
        let mut free = 0;
        self.chains.table().scan_free(&**self.pages.volume(), &mut |clusters| {
            free += u64::from(clusters.end - clusters.start);
            ControlFlow::Continue(())
        })?;
        Ok(self.usage_with(free))
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let (mut free, mut whole) = (0, true);
        self.chains.table().scan_free(&**self.pages.volume(), &mut |clusters| {
            free += u64::from(clusters.end - clusters.start);
            let offset = |cluster| self.geometry.cluster_offset(cluster);
            let flow = sink(offset(clusters.start)..offset(clusters.end));
            whole &= flow.is_continue();
            flow
        })?;
        if whole {
            // The scan has seen all ranges: the usage need not be counted again.
            self.usage_with(free);
        }
        Ok(())
    }
}

impl Check for Fat {
    fn check(&self, report: &mut dyn FindingSink) -> Result<()> {
        check::volume(self, report)
    }
}

impl Fat {
    /// The name index of a directory, cached.
    fn index(&self, dir: NodeId, directory: &Chain) -> Result<Arc<Index>> {
        self.indexes.get_or_load(dir, || {
            let first_cluster = |short: &ShortEntry| self.first_cluster(short);
            let index = Index::build(directory, &self.pages, &self.decoder, first_cluster);
            let memory = index.memory();
            Ok::<_, Error>((Arc::new(index), memory))
        })
    }

    /// Caches the number of free clusters.
    fn usage_with(&self, free: u64) -> Usage {
        let cluster_size = u64::from(self.geometry.cluster_size);
        let total = u64::from(self.geometry.clusters) * cluster_size;
        *self.usage.get_or_init(|| Usage { cluster_size, total, free: free * cluster_size })
    }
}
