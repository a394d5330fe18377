//! The mounted namespace: a directory `pN` per readable volume, aliases, and the synthetic files. It is itself a
//! [`FileSystem`], so the platform adapters and the conformance tests use only that trait.
//!
//! Node numbers ([`NodeId`]): the bits above those of a filesystem hold the volume's number, which is its index (from 1) unless it
//! was opened anew. Number 0 marks the tree's own nodes, of which 1 is always the root, even when one volume is mounted as the root. The root of a volume also
//! has `.deleted/` and `.orphans/`, listed on request, `.orphans/` also when the volume's own root directory is lost.

mod added;
mod capabilities;
mod links;
mod mounted_devices;
mod namespace;
mod path;
pub mod stream;
mod synthetic;
#[cfg(test)]
mod tests;

use std::{
    ops::ControlFlow,
    sync::{Arc, OnceLock},
};

use added::AddedDirectories;
use mounted_devices::MountedDevices;
pub use namespace::{Namespace, Part};
pub use path::{Resolved, Resolver};
pub use synthetic::Generator;
use synthetic::{Own, Synthetic};

use crate::{
    Error, Result,
    bytes::ByteSource,
    fs::{
        DirCursor, DirEntry, FileSystem, FsKind, LinkTarget, Name, NameBuf, NodeId, NodeKind, Ownership,
        Space, Stat, StatAhead, Streams, Timestamp, Usage, VolumeInfo, Xattrs, deleted,
    },
    identity::PartitionId,
    volume::MAX_VOLUMES,
};

const VOLUME_SHIFT: u32 = NodeId::LOCAL_BITS;
const LOCAL: u64 = (1 << VOLUME_SHIFT) - 1;
const _: () = assert!(MAX_VOLUMES < 1 << NodeId::VOLUME_BITS);

/// A readable volume and how it appears in the tree.
pub struct Volume {
    /// `p3`
    pub name: String,
    /// The identifier that Windows uses for it; `None` on a disk without an identifier.
    pub id: Option<PartitionId>,
    /// True for an EFI system partition.
    pub esp: bool,
    /// Its files.
    pub fs: Arc<dyn FileSystem>,
}

/// A raw view of a disk or volume: hidden in `.vhdmount/`, for tools that read bytes.
pub struct RawView {
    /// `disk.raw`, `p3.raw`
    pub name: String,
    /// The bytes.
    pub bytes: Arc<dyn ByteSource>,
}

/// A volume that has no directory in the tree.
#[derive(Debug, Clone)]
pub struct HiddenVolume {
    /// `p2`
    pub name: String,
    /// True for an EFI system partition.
    pub esp: bool,
    /// What it holds, and why its files are not shown.
    pub why: String,
    /// False for a partition that by its type never holds a filesystem.
    pub has_files: bool,
}

/// The parts of a tree.
pub struct Parts {
    /// Readable volumes by number.
    pub volumes: Vec<Volume>,
    /// The other ones.
    pub hidden: Vec<HiddenVolume>,
    /// The index in `volumes` of the only volume to mount, as the root.
    pub only: Option<usize>,
    /// Raw views.
    pub raw_views: Vec<RawView>,
    /// Generates the content of the synthetic files: `.capacity`, `.capacity.json`, `.vhdmount/info.json`.
    pub generator: Box<dyn Generator>,
    /// List `.deleted` and `.orphans` in the root of each volume that has them; lookup always finds them.
    pub list_deleted: bool,
    /// The time of synthetic nodes: the image's own.
    pub time: Timestamp,
}

/// The namespace that is mounted.
pub struct Tree {
    volumes: Vec<Volume>,
    hidden: Vec<HiddenVolume>,
    /// The drive letters known to the Windows on each volume; read when a link needs them.
    databases: Vec<OnceLock<Option<MountedDevices>>>,
    /// The added directories of each volume.
    added: Vec<AddedDirectories>,
    list_deleted: bool,
    only: Option<usize>,
    /// The number of each volume in node numbers.
    numbers: Vec<u64>,
    synthetic: Synthetic,
}

/// A node number, decoded.
enum Place<'a> {
    Own(Own),
    In(usize, &'a dyn FileSystem, NodeId),
}

impl Tree {
    /// The root's number, whichever volumes are mounted.
    pub const ROOT: NodeId = NodeId(1);

    /// Assembles the tree; volumes beyond [`MAX_VOLUMES`] are left out.
    pub fn new(mut parts: Parts) -> Self {
        parts.volumes.truncate(MAX_VOLUMES);
        let only = parts.only.filter(|index| *index < parts.volumes.len());
        let synthetic = Synthetic::new(&parts.volumes, parts.raw_views, parts.generator, parts.time);
        let databases = parts.volumes.iter().map(|_| OnceLock::new()).collect();
        let added = parts.volumes.iter().map(|volume| AddedDirectories::of(&volume.fs)).collect();
        let numbers = (1..=parts.volumes.len() as u64).collect();
        let (volumes, hidden, list_deleted) = (parts.volumes, parts.hidden, parts.list_deleted);
        Self { volumes, hidden, databases, added, list_deleted, only, numbers, synthetic }
    }

    /// The same tree with other numbers of its volumes, in their order: one that was opened anew takes a number that leads nowhere
    /// yet, so that no node of before is taken for one of now.
    ///
    /// # Panics
    /// When there are not as many numbers as volumes, or one of them is no number of a volume.
    #[must_use]
    pub fn with_numbers(self, numbers: Vec<u64>) -> Self {
        assert!(numbers.len() == self.volumes.len(), "a number for each volume");
        assert!(numbers.iter().all(|number| (1..=MAX_VOLUMES as u64).contains(number)), "numbers of volumes");
        Self { numbers, ..self }
    }

    /// The index of the volume with this number.
    fn index_of(&self, number: u64) -> Option<usize> {
        let own = usize::try_from(number.checked_sub(1)?).ok()?;
        match self.numbers.get(own) {
            Some(found) if *found == number => Some(own),
            _ => self.numbers.iter().position(|found| *found == number),
        }
    }

    /// The volumes, in the order of their directories.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The volumes that have no directory here.
    pub fn hidden_volumes(&self) -> &[HiddenVolume] {
        &self.hidden
    }

    /// The number of the volume that holds a node; 0 for one of the tree's own.
    pub fn volume_number(node: NodeId) -> u64 {
        node.0 >> VOLUME_SHIFT
    }

    fn place(&self, node: NodeId) -> Result<Place<'_>> {
        if let (Self::ROOT, Some(index)) = (node, self.only) {
            let fs = &*self.volumes[index].fs;
            return Ok(Place::In(index, fs, fs.root()));
        }
        let (volume, local) = (Self::volume_number(node), node.0 & LOCAL);
        if volume == 0 {
            return Ok(Place::Own(self.synthetic.own(node)?));
        }
        let index = self.index_of(volume).ok_or_else(|| Error::not_found("no such volume"))?;
        let volume = &self.volumes[index];
        let local = NodeId(local);
        match self.added[index].holds(local) {
            Some(added) => Ok(Place::In(index, &*added.fs, local)),
            None if added::is_added(local) => Err(Error::not_found("no such file")),
            None => Ok(Place::In(index, &*volume.fs, local)),
        }
    }

    /// The tree's number for a volume's node.
    fn number(&self, volume: usize, node: NodeId) -> NodeId {
        if self.only == Some(volume) && node == self.volumes[volume].fs.root() {
            return Self::ROOT;
        }
        debug_assert!(node.0 <= LOCAL, "a filesystem keeps to its bits");
        NodeId(self.numbers[volume] << VOLUME_SHIFT | node.0 & LOCAL)
    }

    /// The volume whose root directory is `node`.
    pub fn volume_at(&self, node: NodeId) -> Option<&Volume> {
        match self.place(node) {
            Ok(Place::In(index, fs, local)) if local == fs.root() && !added::is_added(local) => {
                self.volumes.get(index)
            }
            _ => None,
        }
    }

    /// The directories added to `dir`, if it is the root of a volume.
    fn added(&self, volume: usize, dir: NodeId) -> Option<&AddedDirectories> {
        (dir == self.volumes[volume].fs.root()).then(|| &self.added[volume])
    }

    /// The number of a volume's root directory.
    fn volume_root(&self, volume: usize) -> NodeId {
        self.number(volume, self.volumes[volume].fs.root())
    }

    fn own_target(&self, own: Own) -> Option<Vec<u8>> {
        let (up, volume) = match own {
            Own::Esp(volume) => ("", volume),
            Own::Label(index) => ("../", self.synthetic.labels[index].1),
            _ => return None,
        };
        Some(format!("{up}{}", self.volumes[volume].name).into_bytes())
    }
}

impl FileSystem for Tree {
    fn volume(&self) -> VolumeInfo {
        match self.only {
            Some(index) => self.volumes[index].fs.volume(),
            None => VolumeInfo { filesystem: FsKind::Other("vhdmount"), ..VolumeInfo::default() },
        }
    }

    fn root(&self) -> NodeId {
        Self::ROOT
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.stat(local),
            Place::Own(own) => self.synthetic.stat(own),
        }
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        match self.place(dir)? {
            Place::In(index, fs, local) => {
                // If the volume's root directory cannot be read, no file hides the added directories.
                let added =
                    || self.added(index, local)?.named(name).map(|added| self.number(index, added.node));
                let found = match fs.lookup(local, name) {
                    Err(error) => return added().map_or(Err(error), |node| Ok(Some(node))),
                    Ok(found) => found.map(|found| self.number(index, found)),
                };
                // With a single volume as the root the synthetic files can still be looked up, unless it has files of
                // these names.
                let hidden = || (dir == Self::ROOT).then(|| self.synthetic.lookup_hidden(name)).flatten();
                Ok(found.or_else(hidden).or_else(added))
            }
            Place::Own(own) => {
                let volume = || {
                    let alike = |volume: &Volume| name.is_alike(NameBuf::literal(&volume.name).as_name());
                    let index = self.volumes.iter().position(alike)?;
                    Some(self.volume_root(index))
                };
                let found = self.synthetic.lookup(own, name)?;
                Ok(found.or_else(|| matches!(own, Own::Root).then(volume).flatten()))
            }
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        match self.place(dir)? {
            Place::In(index, fs, local) => {
                let (mut flow, mut listed) = (ControlFlow::Continue(()), Ok(()));
                if !added::is_beyond(from) {
                    listed = fs.read_dir(local, from, &mut |entry| {
                        flow = sink(DirEntry { node: self.number(index, entry.node), ..entry });
                        flow
                    });
                }
                for added in self.added(index, local).into_iter().flat_map(|added| added.from(from)) {
                    if flow.is_break() {
                        break;
                    }
                    let name = NameBuf::literal(added.name);
                    let is_hidden = || matches!(fs.lookup(local, name.as_name()), Ok(Some(_)));
                    if (self.list_deleted || added.is_main) && !is_hidden() {
                        let node = self.number(index, added.node);
                        let (kind, next) = (NodeKind::Directory, added.next);
                        flow = sink(DirEntry { name: name.as_name(), node, kind, next });
                    }
                }
                listed
            }
            Place::Own(own) => {
                let mut roots = Vec::new();
                if matches!(own, Own::Root) {
                    let named = self.volumes.iter().enumerate();
                    roots.extend(named.map(|(index, volume)| (volume.name.clone(), self.volume_root(index))));
                }
                self.synthetic.read_dir(own, roots, from, sink)
            }
        }
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        match self.place(node)? {
            Place::In(index, fs, local) if local == fs.root() && added::is_added(local) => {
                Ok(self.volume_root(index))
            }
            Place::In(index, fs, local) if local == fs.root() => {
                Ok(if self.only == Some(index) { node } else { Self::ROOT })
            }
            Place::In(index, fs, local) => Ok(self.number(index, fs.parent(local)?)),
            Place::Own(own) => Ok(own.parent()),
        }
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.open(local),
            Place::Own(own) => self.synthetic.open(own),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        match self.place(node)? {
            Place::In(_, fs, local) => fs.read_link(local),
            Place::Own(own) => {
                let target = self.own_target(own).ok_or_else(|| Error::invalid("not a symbolic link"))?;
                Ok(LinkTarget::Posix(target))
            }
        }
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

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Namespace for Tree {
    fn read_link_text(&self, node: NodeId) -> Result<Vec<u8>> {
        let target = self.read_link(node)?;
        match self.place(node)? {
            // The place of a deleted link was not that in which it is shown.
            Place::In(_, _, local) if local.0 & deleted::BIT != 0 => Ok(links::inert_text(&target)),
            Place::In(index, _, local) => Ok(self.link_text(index, local, &target)),
            Place::Own(_) => Ok(target.to_text()),
        }
    }

    fn is_volatile(&self, node: NodeId) -> bool {
        matches!(self.place(node), Ok(Place::Own(own)) if own.is_volatile())
    }

    fn part_of(&self, node: NodeId) -> Part<'_> {
        match self.place(node) {
            Ok(Place::In(index, ..)) => Part::Volume(&self.volumes[index].name),
            Ok(Place::Own(own)) => self.synthetic.raw_view(own).map_or(Part::None, Part::Raw),
            Err(_) => Part::Gone,
        }
    }

    /// Space usage of the volume that holds `node`, limited by what the host can back.
    fn usage_at(&self, node: NodeId) -> Result<Usage> {
        match self.place(node)? {
            Place::In(index, ..) => self.synthetic.generator.volume_usage(index),
            Place::Own(_) => self.synthetic.generator.disk_usage(),
        }
    }
}
