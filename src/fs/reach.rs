//! The rule that keeps the tree free of cycles: each directory is entered through one entry, which the format decides on
//! (NTFS: the one at the place that the directory's own record states; FAT: by its `..`). Any other entry that leads to it
//! is listed, with the directory's attributes, but its node is marked, and entering that node is an error.
//!
//! The same holds for symbolic links, whose relative targets start at the directory that contains them: through an entry in
//! a directory that the link's own record does not name, its node is marked, and its target never goes up.
//!
//! Listings read no file records. An entry that is a file in the listing, but a directory or link by `stat`, must therefore
//! be looked up by name before it is entered or followed: see [`settle`].

use super::{FileSystem, Name, NodeId, NodeKind, Stat};
use crate::Result;

/// Marks the node number of a directory or link as seen through an entry that does not lead to it.
pub const MISPLACED: u64 = 1 << NodeId::OWN_BITS;

/// The node to use for an entry of `dir`, given its type in the listing and its `stat`: `node` itself, or the result of a
/// look-up where only that decides whether the entry leads to the node.
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

/// True for the marked node of a directory that must not be entered through this entry, or of a link whose target must not
/// go up.
pub fn is_misplaced(node: NodeId) -> bool {
    // `.orphans` and `.deleted`, the directories that are added to a volume, have all lower bits set as well.
    let is_added = !node.0 & (MISPLACED - 1) == 0;
    node.0 & MISPLACED != 0 && !is_added
}

/// True if an entry of type `listed` in the listing must be looked up, as its node is a directory or a link.
pub fn is_unsettled(listed: NodeKind, kind: NodeKind) -> bool {
    listed != kind && matches!(kind, NodeKind::Directory | NodeKind::Symlink)
}
