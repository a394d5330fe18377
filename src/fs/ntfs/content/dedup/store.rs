//! A chunk store: the container files in the folders of `\System Volume Information\Dedup\ChunkStore\{GUID}.ddp`, named by
//! number and generation. Guards: containers are read as the volume stores them; one with a reparse point is refused.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use crate::{
    Error, Result,
    bytes::ByteSource,
    cache::Cache,
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId,
        ntfs::{
            Ntfs,
            attributes::{FLAG_COMPRESSION_MASK, FLAG_ENCRYPTED, code},
            nodes::node::Node,
            records::{
                file::{File, Place},
                mft::Mft,
            },
        },
        runs::RunSource,
    },
    guid::Guid,
};

/// Maximum number of containers: at up to 1 GiB each, 64 TiB, the largest volume that Windows deduplicates.
const MAX_CONTAINERS: usize = 64 << 10;
/// Maximum number of generations tried for one container: it has one, or two while it is rewritten.
const MAX_GENERATIONS: usize = 4;
/// Open containers of all stores, by MFT record.
pub(in crate::fs::ntfs) type Open = Cache<u64, Arc<dyn ByteSource>>;

/// MFT records of containers, by number and generation.
type Containers = BTreeMap<(u32, u32), u64>;

/// The kinds of folders with chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Chunks of content: `Data`, and `Hotspot` for chunks that many files share.
    Content,
    /// Chunks with stream maps: `Stream`.
    Maps,
}

/// An open chunk store.
pub(in crate::fs::ntfs) struct Store {
    mft: Arc<Mft>,
    guid: Guid,
    content: Containers,
    maps: Containers,
    open: Arc<Open>,
}

impl Store {
    /// Opens the store and lists its containers.
    pub(in super::super) fn open(volume: &Ntfs, guid: Guid) -> Result<Self> {
        let folder = format!("{{{guid}}}.ddp");
        let path = ["System Volume Information", "Dedup", "ChunkStore", &folder];
        let mut at = volume.root();
        for name in path {
            let found = volume.lookup(at, NameBuf::literal(name).as_name())?;
            at = found.ok_or_else(|| Error::not_found("the volume does not have the chunk store"))?;
        }
        let (mft, open) = (volume.mft.clone(), volume.containers.clone());
        let mut store = Self { mft, guid, content: Containers::new(), maps: Containers::new(), open };
        // If both folders have a container of one name, that of Data is used.
        list(volume, at, "Hotspot", &mut store.content)?;
        list(volume, at, "Data", &mut store.content)?;
        list(volume, at, "Stream", &mut store.maps)?;
        Ok(store)
    }

    /// Approximate memory in bytes.
    pub(in super::super) fn memory(&self) -> usize {
        (self.content.len() + self.maps.len()) * 32 + 1024
    }

    /// The error for a damaged chunk of a container.
    pub(in super::super) fn corrupt(
        &self,
        container: u32,
        chunk: u32,
        problem: impl std::fmt::Display,
    ) -> Error {
        let structure = format!("chunk store {{{}}}", self.guid);
        Error::corrupt(structure, None, format!("chunk {chunk:#x} of container {container:08x}: {problem}"))
    }

    /// True if the container holds stream maps.
    pub(in super::super) fn has_maps(&self, container: u32) -> bool {
        self.maps.range((container, 0)..=(container, u32::MAX)).next().is_some()
    }

    /// Calls `f` with the generations of a container, the given one first, then from the newest on, until it finds
    /// something.
    pub(in super::super) fn find<T>(
        &self,
        kind: Kind,
        container: u32,
        generation: Option<u32>,
        mut f: impl FnMut(&Arc<dyn ByteSource>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let containers = match kind {
            Kind::Content => &self.content,
            Kind::Maps => &self.maps,
        };
        let stated = generation.and_then(|generation| containers.get(&(container, generation)));
        let others = containers.range((container, 0)..=(container, u32::MAX)).rev().map(|(_, record)| record);
        let others = others.filter(|record| Some(*record) != stated);
        for record in stated.into_iter().chain(others).take(MAX_GENERATIONS) {
            if let Some(found) = f(&self.container(*record)?)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn container(&self, record: u64) -> Result<Arc<dyn ByteSource>> {
        self.open.get_or_load(record, || {
            let file = File::open(&self.mft, record)?;
            if file.find(code::REPARSE_POINT, &[], |_| Ok(()))?.is_some() {
                return Err(file.base.corrupt("a container of a chunk store with a reparse point"));
            }
            let value = file.value(code::DATA, &[])?.ok_or_else(|| file.base.corrupt("no data"))?;
            match value.place {
                Place::Clusters(runs) if value.flags & (FLAG_COMPRESSION_MASK | FLAG_ENCRYPTED) == 0 => {
                    let (volume, memory) = (self.mft.volume.clone(), runs.memory() + size_of::<RunSource>());
                    let source = RunSource::new(volume, runs, value.size, value.valid);
                    Ok((Arc::new(source) as Arc<dyn ByteSource>, memory))
                }
                _ => Err(file.base.corrupt("a container of a chunk store that is not stored as one")),
            }
        })
    }
}

/// Adds the containers in a folder of the store, which may be absent. Containers that a damaged folder does not list are
/// errors only for the files that need them.
fn list(volume: &Ntfs, store: NodeId, folder: &str, containers: &mut Containers) -> Result<()> {
    let Some(node) = volume.lookup(store, NameBuf::literal(folder).as_name())? else { return Ok(()) };
    let listed = volume.read_dir(node, DirCursor(0), &mut |entry| {
        if let Some(name) = parse_name(entry.name.units()) {
            containers.insert(name, Node::from(entry.node).record);
        }
        if containers.len() < MAX_CONTAINERS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Err(error) = listed {
        log::warn!("the folder {folder} of a chunk store is not read whole: {error}");
    }
    Ok(())
}

/// Parses number and generation from a container's name: `00000001.00000002.ccc`.
fn parse_name(name: &[u16]) -> Option<(u32, u32)> {
    let name = String::from_utf16(name).ok()?.to_ascii_lowercase();
    let (number, generation) = name.strip_suffix(".ccc")?.split_once('.')?;
    let parse = |digits: &str| {
        let hex = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    Some((parse(number)?, parse(generation)?))
}
