//! Files on the volumes of a disk, by the paths that boot loaders write: either separator, any case.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind, probe::Probe, windows},
    image::Image,
    partition::Partition,
    volume::Volume,
};

/// Longest path in names: no firmware reads longer ones.
const MAX_NAMES: usize = 64;
/// Most names of a directory that are looked at.
const MAX_ENTRIES: usize = 1024;

/// A disk whose files are asked for.
pub(super) struct Files<'a> {
    pub(super) image: &'a Image,
}

/// A volume that can be read.
#[derive(Clone, Copy)]
pub(super) struct Readable<'a> {
    pub(super) volume: &'a Volume,
    pub(super) fs: &'a Arc<dyn FileSystem>,
}

impl<'a> Files<'a> {
    pub(super) fn new(image: &'a Image) -> Self {
        Self { image }
    }

    /// The volumes that can be read.
    pub(super) fn volumes(&self) -> impl Iterator<Item = Readable<'a>> + use<'a> {
        self.image.readable().map(|(volume, fs)| Readable { volume, fs })
    }

    /// The volumes that cannot be read, but may hold files.
    pub(super) fn unread(&self) -> impl Iterator<Item = (&'a Volume, &'a Probe)> + use<'a> {
        let unread = |probe: &Probe| !matches!(probe, Probe::Readable(_) | Probe::Unformatted);
        self.image.volumes().filter(move |(_, probe)| unread(probe))
    }

    /// The volume of a partition, where it can be read.
    pub(super) fn of_partition(&self, partition: &Partition) -> Option<Readable<'a>> {
        let name = format!("p{}", partition.number);
        self.volumes().find(|readable| readable.volume.name == name)
    }
}

impl Readable<'_> {
    pub(super) fn name(&self) -> &str {
        &self.volume.name
    }

    /// The file or directory at a path.
    ///
    /// # Errors
    /// When a directory on the way cannot be read.
    pub(super) fn find(&self, path: &str) -> Result<Option<NodeId>> {
        let mut node = self.fs.root();
        for (depth, name) in path.split(['/', '\\']).filter(|name| !name.is_empty()).enumerate() {
            if depth == MAX_NAMES {
                return Err(Error::unsupported("the path is too long"));
            }
            match self.fs.stat(node)?.kind {
                NodeKind::Directory => {}
                _ => return Ok(None),
            }
            match self.fs.lookup(node, NameBuf::literal(name).as_name())? {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The content of the file at a path; `None` if there is no such file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(&self, path: &str) -> Result<Option<Arc<dyn ByteSource>>> {
        let Some(node) = self.find(path)? else { return Ok(None) };
        match self.fs.stat(node)?.kind {
            NodeKind::File => self.fs.open(node).map(Some),
            _ => Ok(None),
        }
    }

    /// The logs of the registry hive at a path, those that can be opened.
    pub(super) fn logs(&self, path: &str) -> Vec<Arc<dyn ByteSource>> {
        let log = |suffix| self.open(&format!("{path}{suffix}")).ok().flatten();
        windows::LOGS.into_iter().filter_map(log).filter(|log| log.size() > 0).collect()
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `max`.
    pub(super) fn read(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(source) = self.open(path)? else { return Ok(None) };
        let len = usize::try_from(source.size()).ok().filter(|len| *len <= max);
        let len = len.ok_or_else(|| Error::unsupported(format!("a file of {} bytes", source.size())))?;
        read_vec(&*source, 0, len).map(Some)
    }

    /// The text of a file; bytes that are not UTF-8 become replacements.
    pub(super) fn text(&self, path: &str, max: usize) -> Result<Option<String>> {
        Ok(self.read(path, max)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Names in a directory, those of directories or those of files; none where there is no such directory.
    pub(super) fn names(&self, path: &str, directories: bool) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(Some(node)) = self.find(path) else { return names };
        let mut seen = 0;
        // Names before a damaged part count.
        let _ = self.fs.read_dir(node, DirCursor::default(), &mut |entry| {
            seen += 1;
            if matches!(entry.kind, NodeKind::Directory) == directories {
                names.push(String::from_utf16_lossy(entry.name.units()));
            }
            if seen < MAX_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        names.sort();
        names
    }
}
