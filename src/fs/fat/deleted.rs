//! Deleted files: directory slots that begin with 0xE5, and everything in deleted directories. Deletion clears their chains
//! in the table, so the content is a guess: the free clusters from the first one on, skipping clusters of other files (as
//! The Sleuth Kit does). Guards: directories are entered once, the volume size bounds the number of slots read, and a budget
//! bounds memory.

mod walk;

use std::{ops::ControlFlow, sync::Arc};

use super::{
    Fat,
    format::{ShortEntry, attr, slot},
    time,
};
use crate::{
    Error, Place, Result,
    bytes::ByteSource,
    fs::{
        ContentPlace, LinkTarget, NameBuf, NodeId, NodeKind, Stat,
        deleted::{FreeClusters, Layout, Numbered, NumberedFile, State, Undelete},
        runs::{RunList, RunSource},
    },
};

/// Maximum number of runs of a guess, 16 MiB: a more fragmented guess is certainly not one file.
const MAX_RUNS: usize = 1 << 20;

/// A deleted file or directory.
struct DeletedEntry {
    /// Position of the short entry in slots of 32 bytes from the volume's start: the node number.
    node: u64,
    short: ShortEntry,
    name: Box<[u16]>,
    /// Index in [`Index::directories`].
    directory: usize,
    /// Only slots of the long name are left: `short` is empty.
    name_alone: bool,
}

impl DeletedEntry {
    fn check_place(&self) -> Result<()> {
        let problem = "of the file only its long name is left: another one has the slot that said where its content lies";
        if self.name_alone {
            Err(Error::corrupt("deleted FAT entry", Place::Byte(self.node * u64::from(slot::SIZE)), problem))
        } else {
            Ok(())
        }
    }
}

/// A directory that may contain deleted files.
struct Directory {
    name: Box<[u16]>,
    /// Index of the parent; the root is its own parent.
    parent: usize,
    /// False if no entry leads to the directory any more.
    known: bool,
}

/// All deleted files of a volume, and its free clusters.
pub(super) struct Index {
    files: Vec<DeletedEntry>,
    directories: Vec<Directory>,
    free: FreeClusters,
    /// The reason why the list may be incomplete.
    incomplete: Option<String>,
}

/// The deleted files of a volume.
pub(super) struct Deleted<'a> {
    fat: &'a Fat,
}

impl<'a> Deleted<'a> {
    pub(super) fn new(fat: &'a Fat) -> Self {
        Self { fat }
    }

    fn index(&self) -> Result<&'a Index> {
        if let Some(index) = self.fat.deleted.get() {
            return Ok(index);
        }
        let index = Box::new(walk::walk(self.fat));
        Ok(self.fat.deleted.get_or_init(|| index))
    }

    fn get(&self, node: NodeId) -> Result<Option<&'a DeletedEntry>> {
        let files = &self.index()?.files;
        Ok(files.binary_search_by_key(&node.0, |lost| lost.node).ok().map(|at| &files[at]))
    }

    fn lost(&self, node: NodeId) -> Result<&'a DeletedEntry> {
        let absent = || Error::not_found(format!("no deleted FAT entry {:#x}", node.0));
        self.get(node)?.ok_or_else(absent)
    }

    /// The number of clusters of the content, and the first cluster; `None` if that is no data cluster.
    fn wanted(&self, lost: &DeletedEntry) -> (u64, Option<u64>) {
        let size = u64::from(lost.short.file_size.get());
        let first = self.fat.first_cluster(&lost.short);
        let clusters = if kind(lost) == NodeKind::File { size } else { 0 };
        let clusters = clusters.div_ceil(self.fat.geometry.cluster_size.into());
        (clusters, self.fat.geometry.is_data_cluster(first).then(|| first.into()))
    }
}

fn kind(lost: &DeletedEntry) -> NodeKind {
    if lost.short.attr & attr::DIRECTORY != 0 { NodeKind::Directory } else { NodeKind::File }
}

impl Numbered for Deleted<'_> {
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()> {
        let index = self.index()?;
        let first = self.fat.node_of_number(from).map_or(0, |node| node.0);
        let start = index.files.partition_point(|lost| lost.node < first);
        for lost in &index.files[start..] {
            let name = crate::fs::Name(&lost.name);
            let (number, node) = (self.fat.number_of(NodeId(lost.node)), NodeId(lost.node));
            if sink(NumberedFile { number, node, name, kind: kind(lost) }).is_break() {
                return Ok(());
            }
        }
        match &index.incomplete {
            Some(why) => Err(Error::corrupt("FAT directories", None, why.clone())),
            None => Ok(()),
        }
    }

    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>> {
        let Some(node) = self.fat.node_of_number(number) else { return Ok(None) };
        Ok(self.get(node)?.map(|lost| (node, NameBuf(lost.name.to_vec()))))
    }

    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>> {
        let lost = self.lost(node)?;
        let directories = &self.index()?.directories;
        let mut names = vec![&lost.name];
        let mut at = lost.directory;
        // A parent has a smaller index than its directories, so the loop ends.
        while at != 0 {
            if !directories[at].known {
                return Ok(None);
            }
            names.push(&directories[at].name);
            at = directories[at].parent;
        }
        let texts: Vec<_> = names.iter().rev().map(|name| crate::fs::Name(name).to_text()).collect();
        Ok(Some(texts.join(&b'/')))
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let lost = self.lost(node)?;
        let kind = kind(lost);
        let size = if kind == NodeKind::File { u64::from(lost.short.file_size.get()) } else { 0 };
        let times = time::times(&lost.short, self.fat.utc_offset_minutes);
        let attributes = u32::from(lost.short.attr & attr::FILE_ATTRIBUTES);
        let allocated = size.next_multiple_of(self.fat.geometry.cluster_size.into());
        Ok(Stat { kind, size, allocated, links: 1, times, attributes, content: ContentPlace::Own })
    }
}

impl Undelete for Deleted<'_> {
    fn state(&self, node: NodeId) -> Result<State> {
        let lost = self.lost(node)?;
        lost.check_place()?;
        let (clusters, first) = self.wanted(lost);
        let free = &self.index()?.free;
        let first = match first {
            Some(first) if clusters > 0 && free.all(first..first + 1)? => first,
            _ => return Ok(State { clusters, ..State::default() }),
        };
        let layout = match () {
            () if clusters == 1 => Layout::Recorded,
            () if free.all(first..first + clusters)? => Layout::Contiguous,
            () => Layout::Split,
        };
        let left = free.count(first..u64::MAX)?.min(clusters);
        let unstored = walk::unstored(self.fat, first, left)?.min(left);
        Ok(State { clusters, free: left, unstored, layout })
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        let lost = self.lost(node)?;
        lost.check_place()?;
        if kind(lost) == NodeKind::Directory {
            return Err(Error::invalid("a directory has no content"));
        }
        let (mut left, first) = self.wanted(lost);
        let (mut runs, mut failed) = (RunList::new(), None);
        let free = &self.index()?.free;
        if let Some(first) = first
            && free.all(first..first + 1)?
        {
            let geometry = &self.fat.geometry;
            free.each_from(first, &mut |range| {
                let take = (range.end - range.start).min(left);
                let start = u32::try_from(range.start).expect("FAT has fewer clusters");
                let bytes = take * u64::from(geometry.cluster_size);
                failed = runs.push(bytes, Some(geometry.cluster_offset(start))).err();
                left -= take;
                let go_on = left > 0 && failed.is_none() && runs.count() < MAX_RUNS;
                if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let size = u64::from(lost.short.file_size.get());
        Ok(Arc::new(RunSource::new(self.fat.pages.volume().clone(), Arc::new(runs), size, size)))
    }

    fn read_link(&self, _node: NodeId) -> Result<LinkTarget> {
        Err(Error::invalid("FAT has no links"))
    }
}
