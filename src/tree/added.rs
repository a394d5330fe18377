//! The directories that are added to the root of a volume: `.deleted` and `.orphans`. They are found in any case, and listed
//! where that was asked for; a file of the same name hides them.

use std::sync::Arc;

use crate::fs::{DirCursor, FileSystem, Name, NameBuf, NodeId, deleted, orphans};

/// Where a listing of a volume's root goes on with these: beyond the cursors of every filesystem.
const CURSOR: u64 = 1 << 62;

/// One of the directories.
pub(super) struct Added {
    pub(super) name: &'static str,
    /// Its number in the volume.
    pub(super) node: NodeId,
    /// Marks the numbers of what is in it.
    bit: u64,
    pub(super) fs: Box<dyn FileSystem>,
    /// Listed by default.
    pub(super) is_main: bool,
    /// What the volume's root goes on with after it.
    pub(super) next: DirCursor,
}

/// Those of one volume.
pub(super) struct AddedDirectories(Vec<Added>);

impl AddedDirectories {
    pub(super) fn of(fs: &Arc<dyn FileSystem>) -> Self {
        let mut all = Vec::new();
        if fs.deleted().is_some() {
            let view = Box::new(deleted::View::new(fs.clone()));
            all.push((deleted::NAME, deleted::DIRECTORY, deleted::BIT, view as Box<dyn FileSystem>, false));
        }
        if let Some(found) = fs.orphans() {
            let view = Box::new(orphans::View::new(fs.clone()));
            all.push((orphans::NAME, orphans::DIRECTORY, orphans::BIT, view, found.is_main()));
        }
        let all = all.into_iter().zip(CURSOR..).map(|((name, node, bit, fs, is_main), cursor)| Added {
            name,
            node,
            bit,
            fs,
            is_main,
            next: DirCursor(cursor + 1),
        });
        Self(all.collect())
    }

    /// The directory to which a node of the volume belongs, itself included.
    pub(super) fn holds(&self, node: NodeId) -> Option<&Added> {
        self.0.iter().find(|added| node.0 & added.bit != 0)
    }

    pub(super) fn named(&self, name: Name<'_>) -> Option<&Added> {
        self.0.iter().find(|added| name.is_alike(NameBuf::literal(added.name).as_name()))
    }

    /// Those that a listing of the root from `from` on still has to show.
    pub(super) fn from(&self, from: DirCursor) -> impl Iterator<Item = &Added> {
        self.0.iter().filter(move |added| from.0 < added.next.0)
    }
}

/// True where only these are left of a listing of the root.
pub(super) fn is_beyond(from: DirCursor) -> bool {
    from.0 > CURSOR
}

/// True for a node of a volume that belongs to one of these directories: a number that the filesystem itself does not use.
pub(super) fn is_added(node: NodeId) -> bool {
    node.0 & (deleted::BIT | orphans::BIT) != 0
}
