//! Orphans: records in use that no readable directory lists, and directories that cannot be reached from the root. Their own
//! records name their parent directory: children of an orphaned directory are shown below it. Guards: each directory is
//! shown in one place, also if directories name each other as their parents.

mod scan;

use std::ops::ControlFlow;

use super::{
    Ntfs,
    deleted::Deleted,
    nodes::{
        home::name_of,
        node::Node,
        numbered::{each, name_and_kind},
    },
    records::number,
};
use crate::{
    Error, Result,
    fs::{
        DirCursor, DirEntry, FileSystem, Name, NameBuf, NodeId, NodeKind, Stat,
        numbered::{entry_name, is_entry, number as number_in},
        orphans::{Numbered, NumberedFile, Orphans},
        reach,
    },
};

pub(super) use scan::Index;

/// Cursors from here on count the adopted records, which the directory's index does not list: above the cursors of every
/// index.
const ADOPTED: u64 = 1 << 61;

/// The orphans of a volume.
pub(super) struct OrphanAccess<'a> {
    ntfs: &'a Ntfs,
}

impl<'a> OrphanAccess<'a> {
    pub(super) fn new(ntfs: &'a Ntfs) -> Self {
        Self { ntfs }
    }

    fn index(&self) -> &'a Index {
        self.ntfs.orphans.get_or_init(|| Box::new(scan::scan(self.ntfs)))
    }

    fn found(&self, record: u64) -> Result<Option<(NameBuf, NodeKind)>> {
        name_and_kind(self.ntfs.file(record))
    }

    fn is_top(&self, record: u64) -> bool {
        self.index().tops.binary_search(&record).is_ok()
    }

    /// The records from `from` on whose parent is the orphaned directory `dir`, but which it does not list.
    fn adopted(&self, dir: u64, from: u64) -> impl Iterator<Item = u64> {
        let adopted = &self.index().adopted;
        let start = adopted.partition_point(|pair| *pair < (dir, from));
        adopted[start..].iter().take_while(move |(parent, _)| *parent == dir).map(|(_, child)| *child)
    }

    /// The node as shown: a top orphan, which is entered from `.orphans`, is marked when it is reached through another
    /// entry.
    fn shown(&self, node: NodeId, kind: NodeKind) -> NodeId {
        match kind == NodeKind::Directory && self.is_top(Node::from(node).record) {
            true => NodeId(node.0 | reach::MISPLACED),
            false => node,
        }
    }
}

impl Numbered for OrphanAccess<'_> {
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()> {
        let Index { tops, incomplete, .. } = self.index();
        let records = tops[tops.partition_point(|record| *record < from)..].iter().copied();
        match each(records, |record| self.ntfs.file(record), "without a way to them", sink) {
            ControlFlow::Break(()) => Ok(()),
            ControlFlow::Continue(()) => {
                incomplete.map_or(Ok(()), |why| Err(Error::corrupt("NTFS volume", None, why)))
            }
        }
    }

    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>> {
        let Some(node) = Node::file(number).filter(|_| self.is_top(number)) else { return Ok(None) };
        Ok(self.found(number)?.map(|(name, _)| (node, name)))
    }

    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>> {
        let Some((name, parent)) = name_of(&self.ntfs.file(Node::from(node).record)?)? else {
            return Ok(None);
        };
        Deleted::new(self.ntfs).path_in(parent, name.as_name())
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        self.ntfs.stat(node)
    }
}

impl Orphans for OrphanAccess<'_> {
    fn is_main(&self) -> bool {
        self.ntfs.root_is_lost
    }

    fn number(&self, node: NodeId) -> u64 {
        Node::from(node).record
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let record = Node::from(dir).record;
        let listed = self.ntfs.lookup(dir, name);
        if let Ok(Some(node)) = listed {
            let kind = self.ntfs.stat(node).map_or(NodeKind::File, |stat| stat.kind);
            return Ok(Some(self.shown(node, kind)));
        }
        let number =
            number_in(name.units()).filter(|number| self.adopted(record, *number).next() == Some(*number));
        if let Some(number) = number
            && let Some((found, _)) = self.found(number)?
            && is_entry(number, &found, name)
        {
            return Ok(Node::file(number));
        }
        // If the directory's index is lost, its adopted records are all that is left.
        match listed {
            Err(error) if dir.0 & reach::MISPLACED != 0 || self.adopted(record, 0).next().is_none() => {
                Err(error)
            }
            _ => Ok(None),
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let (mut flow, mut listed) = (ControlFlow::Continue(()), Ok(()));
        if from.0 < ADOPTED {
            listed = self.ntfs.read_dir(dir, from, &mut |entry| {
                flow = sink(DirEntry { node: self.shown(entry.node, entry.kind), ..entry });
                flow
            });
        }
        if flow.is_break() || dir.0 & reach::MISPLACED != 0 {
            return listed;
        }
        let mut entry = Vec::new();
        for number in self.adopted(Node::from(dir).record, from.0.saturating_sub(ADOPTED)) {
            let Ok(Some((name, kind))) = self.found(number) else { continue };
            entry_name(number, name.as_name(), &mut entry);
            let next = DirCursor(ADOPTED + number + 1);
            if sink(DirEntry { name: Name(&entry), node: NodeId(number), kind, next }).is_break() {
                break;
            }
        }
        listed
    }

    fn parent(&self, node: NodeId) -> Result<Option<NodeId>> {
        let record = Node::from(node).record;
        if self.is_top(record) {
            return Ok(None);
        }
        let parent = self.ntfs.parent(node)?;
        // A file with several names, one of them in a reachable directory.
        Ok(Some(parent).filter(|parent| parent.0 != number::ROOT))
    }
}
