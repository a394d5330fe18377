//! The tree's own nodes: the root, aliases to the volumes, and files that are generated when they are opened. The set of
//! nodes is fixed when the tree is built.

use std::{ops::ControlFlow, sync::Arc};

use super::{RawView, Tree, Volume};
use crate::{
    Error, Result,
    bytes::{ByteSource, MemorySource},
    fs::{DirCursor, DirEntry, Name, NameBuf, NodeId, NodeKind, Stat, Times, Timestamp, Usage},
};

/// FILE_ATTRIBUTE_DIRECTORY
const ATTRIBUTE_DIRECTORY: u32 = 0x10;

/// Generates the content of the synthetic files, anew at each call.
pub trait Generator: Send + Sync {
    /// The content of `.capacity`
    ///
    /// # Errors
    /// When the host or the block table cannot be read.
    fn capacity(&self) -> Result<String>;

    /// The content of `.capacity.json`
    ///
    /// # Errors
    /// As [`Self::capacity`].
    fn capacity_json(&self) -> Result<String>;

    /// The content of `.vhdmount/info.json`
    ///
    /// # Errors
    /// When a part of the report cannot be read.
    fn info_json(&self) -> Result<String>;

    /// Space usage of the disk, limited by what the host can back.
    ///
    /// # Errors
    /// As [`Self::capacity`].
    fn disk_usage(&self) -> Result<Usage>;

    /// Space usage of a volume, limited by what the host can back. `index`: its index in [`super::Parts::volumes`].
    ///
    /// # Errors
    /// As [`Self::capacity`].
    fn volume_usage(&self, index: usize) -> Result<Usage>;
}

/// One of the tree's own nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Root,
    Capacity,
    CapacityJson,
    /// `.vhdmount/`: found by lookup but not listed, so that `cp -r` and `grep -r` do not read the disk twice.
    Hidden,
    Info,
    /// `esp`, a link to the volume of this index.
    Esp(usize),
    ByLabel,
    /// A link in `by-label/`.
    Label(usize),
    Raw(usize),
}

const LABELS: u64 = 1 << 16;
const RAWS: u64 = 1 << 17;

impl Own {
    fn number(self) -> NodeId {
        NodeId(match self {
            Self::Root => Tree::ROOT.0,
            Self::Capacity => 2,
            Self::CapacityJson => 3,
            Self::Hidden => 4,
            Self::Info => 5,
            Self::Esp(_) => 6,
            Self::ByLabel => 7,
            Self::Label(index) => LABELS + index as u64,
            Self::Raw(index) => RAWS + index as u64,
        })
    }

    pub(super) fn parent(self) -> NodeId {
        let parent = match self {
            Self::Info | Self::Raw(_) => Self::Hidden,
            Self::Label(_) => Self::ByLabel,
            _ => Self::Root,
        };
        parent.number()
    }

    pub(super) fn is_volatile(self) -> bool {
        matches!(self, Self::Capacity | Self::CapacityJson | Self::Info)
    }

    fn kind(self) -> NodeKind {
        match self {
            Self::Root | Self::Hidden | Self::ByLabel => NodeKind::Directory,
            Self::Esp(_) | Self::Label(_) => NodeKind::Symlink,
            Self::Capacity | Self::CapacityJson | Self::Info | Self::Raw(_) => NodeKind::File,
        }
    }
}

/// The tree's own nodes and their data.
pub(super) struct Synthetic {
    pub(super) generator: Box<dyn Generator>,
    /// Labels, unique, each with its volume index.
    pub(super) labels: Vec<(NameBuf, usize)>,
    esp: Option<usize>,
    raw_views: Vec<RawView>,
    time: Timestamp,
}

impl Synthetic {
    pub(super) fn new(
        volumes: &[Volume],
        raw_views: Vec<RawView>,
        generator: Box<dyn Generator>,
        time: Timestamp,
    ) -> Self {
        let mut labels: Vec<(NameBuf, usize)> = Vec::new();
        for (index, volume) in volumes.iter().enumerate() {
            let label = NameBuf::literal(&volume.fs.volume().label);
            // If two volumes share a label, the first one gets the link, which can have only one target.
            if !label.0.is_empty() && labels.iter().all(|(taken, _)| *taken != label) {
                labels.push((label, index));
            }
        }
        let esp = volumes.iter().position(|volume| volume.esp);
        Self { generator, labels, esp, raw_views, time }
    }

    /// The own node with this number.
    pub(super) fn own(&self, node: NodeId) -> Result<Own> {
        let index =
            |base: u64, count: usize| usize::try_from(node.0 - base).ok().filter(|index| *index < count);
        let own = match node.0 {
            1 => Some(Own::Root),
            2 => Some(Own::Capacity),
            3 => Some(Own::CapacityJson),
            4 => Some(Own::Hidden),
            5 => Some(Own::Info),
            6 => self.esp.map(Own::Esp),
            7 => Some(Own::ByLabel),
            RAWS.. => index(RAWS, self.raw_views.len()).map(Own::Raw),
            LABELS.. => index(LABELS, self.labels.len()).map(Own::Label),
            _ => None,
        };
        own.ok_or_else(|| Error::not_found("no such node"))
    }

    /// The name of a raw view.
    pub(super) fn raw_view(&self, own: Own) -> Option<&str> {
        match own {
            Own::Raw(index) => Some(&self.raw_views[index].name),
            _ => None,
        }
    }

    pub(super) fn stat(&self, own: Own) -> Result<Stat> {
        let size = match own {
            Own::Capacity | Own::CapacityJson | Own::Info | Own::Raw(_) => self.open(own)?.size(),
            _ => 0,
        };
        let allocated = if matches!(own, Own::Raw(_)) { 0 } else { size };
        let time = self.time;
        let times = Times { created: time, modified: time, changed: time, accessed: time };
        // Windows distinguishes links to directories from links to files.
        let attributes = if own.kind() == NodeKind::Symlink { ATTRIBUTE_DIRECTORY } else { 0 };
        Ok(Stat { size, allocated, times, attributes, ..Stat::empty(own.kind()) })
    }

    pub(super) fn open(&self, own: Own) -> Result<Arc<dyn ByteSource>> {
        let text = match own {
            Own::Raw(index) => return Ok(self.raw_views[index].bytes.clone()),
            Own::Capacity => self.generator.capacity(),
            Own::CapacityJson => self.generator.capacity_json(),
            Own::Info => self.generator.info_json(),
            _ => Err(Error::invalid("not a file")),
        };
        Ok(Arc::new(MemorySource(text?.into_bytes())))
    }

    /// The entries of one of the tree's own directories, without those that are `hidden` from listings.
    fn entries(&self, dir: Own) -> Result<Vec<(NameBuf, Own)>> {
        let text = |text: &str| NameBuf::literal(text);
        match dir {
            Own::Root => {
                let mut entries =
                    vec![(text(".capacity"), Own::Capacity), (text(".capacity.json"), Own::CapacityJson)];
                if !self.labels.is_empty() {
                    entries.push((text("by-label"), Own::ByLabel));
                }
                entries.extend(self.esp.map(|volume| (text("esp"), Own::Esp(volume))));
                Ok(entries)
            }
            Own::Hidden => {
                let raws =
                    self.raw_views.iter().enumerate().map(|(index, raw)| (text(&raw.name), Own::Raw(index)));
                Ok(std::iter::once((text("info.json"), Own::Info)).chain(raws).collect())
            }
            Own::ByLabel => {
                let labels = self.labels.iter().enumerate();
                Ok(labels.map(|(index, (label, _))| (label.clone(), Own::Label(index))).collect())
            }
            _ => Err(Error::invalid("not a directory")),
        }
    }

    /// Looks up `name` as on the volumes: ignoring case, but preferring an exact match. Volumes' directories are not
    /// included.
    pub(super) fn lookup(&self, dir: Own, name: Name<'_>) -> Result<Option<NodeId>> {
        let mut entries = self.entries(dir)?;
        if dir == Own::Root {
            entries.push((NameBuf::literal(".vhdmount"), Own::Hidden));
        }
        let exact = entries.iter().find(|(entry, _)| entry.as_name() == name);
        let alike = || entries.iter().find(|(entry, _)| entry.as_name().is_alike(name));
        Ok(exact.or_else(alike).map(|(_, own)| own.number()))
    }

    /// Looks up a synthetic file that stays reachable when a volume is mounted as the root.
    pub(super) fn lookup_hidden(&self, name: Name<'_>) -> Option<NodeId> {
        let known =
            [(".capacity", Own::Capacity), (".capacity.json", Own::CapacityJson), (".vhdmount", Own::Hidden)];
        known
            .iter()
            .find(|(text, _)| name.is_alike(NameBuf::literal(text).as_name()))
            .map(|(_, own)| own.number())
    }

    /// Lists `dir`, beginning with the volumes' directories, given by name and node.
    pub(super) fn read_dir(
        &self,
        dir: Own,
        volumes: Vec<(String, NodeId)>,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let volumes =
            volumes.into_iter().map(|(name, node)| (NameBuf::literal(&name), node, NodeKind::Directory));
        let own = self.entries(dir)?.into_iter().map(|(name, own)| (name, own.number(), own.kind()));
        let entries: Vec<_> = volumes.chain(own).collect();
        let start = usize::try_from(from.0).unwrap_or(usize::MAX);
        for (index, (name, node, kind)) in entries.iter().enumerate().skip(start) {
            let next = DirCursor(index as u64 + 1);
            if sink(DirEntry { name: name.as_name(), node: *node, kind: *kind, next }).is_break() {
                break;
            }
        }
        Ok(())
    }
}
