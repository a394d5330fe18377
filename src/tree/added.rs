//! The directories added to the root of a volume: `.deleted` and `.orphans`. Lookup always finds them; listings show them
//! on request, and `.orphans` also when the root directory is lost. A file of the same name hides them.

use std::sync::Arc;

use crate::fs::{DirCursor, FileSystem, Name, NameBuf, NodeId, deleted, orphans};

/// Cursor from which a listing of a volume's root continues with the added directories: above the cursors of every
/// filesystem.
const CURSOR: u64 = 1 << 62;

/// An added directory.
pub(super) struct Added {
    pub(super) name: &'static str,
    /// Its node number in the volume.
    pub(super) node: NodeId,
    /// The bit set in the numbers of the nodes in it.
    bit: u64,
    pub(super) fs: Box<dyn FileSystem>,
    /// True when it is listed by default.
    pub(super) is_main: bool,
    /// The cursor of the root's listing after it.
    pub(super) next: DirCursor,
}

/// The added directories of one volume.
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

    /// The added directory to which a node of the volume belongs, which may be the node itself.
    pub(super) fn holds(&self, node: NodeId) -> Option<&Added> {
        self.0.iter().find(|added| node.0 & added.bit != 0)
    }

    pub(super) fn named(&self, name: Name<'_>) -> Option<&Added> {
        self.0.iter().find(|added| name.is_alike(NameBuf::literal(added.name).as_name()))
    }

    /// The added directories that a listing of the root still has to show from the cursor `from` on.
    pub(super) fn from(&self, from: DirCursor) -> impl Iterator<Item = &Added> {
        self.0.iter().filter(move |added| from.0 < added.next.0)
    }
}

/// True when only added directories are left in a listing of the root.
pub(super) fn is_beyond(from: DirCursor) -> bool {
    from.0 > CURSOR
}

/// True for a volume's node that belongs to an added directory: a number that the filesystem itself does not use.
pub(super) fn is_added(node: NodeId) -> bool {
    node.0 & (deleted::BIT | orphans::BIT) != 0
}
