//! The rule that keeps every tree a tree: a directory is entered by one entry, which the format decides on (NTFS: the one
//! at the place that the directory's own record states; FAT: by its `..`). Any other entry that leads to it is listed,
//! with the directory's attributes, but its node is marked, and entering that is an error.
//!
//! The same holds for symbolic links, whose relative targets count from the directory that holds them: through an entry in a
//! directory that the link's own record does not name, its node is marked, and its target never goes up.
//!
//! Listings read no records of files. So an entry that a listing calls a file, and `stat` a directory or a link, has to be
//! looked up by its name before it is entered or followed: see [`settle`].

use super::{FileSystem, Name, NodeId, NodeKind, Stat};
use crate::Result;

/// Marks the node number of a directory or link as seen through an entry that does not lead to it.
pub const MISPLACED: u64 = 1 << NodeId::OWN_BITS;

/// The node of an entry that the listing of `dir` calls `listed`, when `stat` is what its node says: the entry's own, or the
/// one of a look-up where only that decides whether the entry leads to it.
///
/// # Errors
/// Those of [`FileSystem::lookup`].
pub fn settle(
    fs: &dyn FileSystem,
    dir: NodeId,
    name: Name<'_>,
    node: NodeId,
    listed: NodeKind,
    stat: &Stat,
) -> Result<NodeId> {
    if !is_unsettled(listed, stat.kind) {
        return Ok(node);
    }
    Ok(fs.lookup(dir, name)?.unwrap_or(NodeId(node.0 | MISPLACED)))
}

/// True for the node of an entry that does not lead into its directory, or from which its link does not go up.
pub fn is_misplaced(node: NodeId) -> bool {
    // The numbers of the directories that are added to a volume, `.orphans` and `.deleted`, have all bits below as well.
    let is_added = !node.0 & (MISPLACED - 1) == 0;
    node.0 & MISPLACED != 0 && !is_added
}

/// True where an entry that a listing calls `listed` has to be looked up, as its node is a directory or a link.
pub fn is_unsettled(listed: NodeKind, kind: NodeKind) -> bool {
    listed != kind && matches!(kind, NodeKind::Directory | NodeKind::Symlink)
}
