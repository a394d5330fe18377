//! Orphans: files and directories in use to which no directory leads, because an index block, a whole directory or the root
//! is lost; and the directory `.orphans/` that shows them.
//!
//! A filesystem implements [`Orphans`]; [`View`] presents it as a tree. Node numbers stay those of the filesystem; a bit
//! marks nodes that are reached this way. The search starts with the first access.

mod view;

use std::ops::ControlFlow;

pub use view::View;

pub use super::numbered::{Numbered, NumberedFile};
use super::{DirCursor, DirEntry, Name, NodeId, numbered::NumberedDirectory};
use crate::Result;

/// Marks the node number of an orphan, and of nodes below one.
pub const BIT: u64 = 1 << (NodeId::OWN_BITS + 1);

const ADDED: NumberedDirectory = NumberedDirectory { bit: BIT };

/// The directory of a volume's orphans.
pub const DIRECTORY: NodeId = ADDED.node();

/// The directory's name in the root of its volume.
pub const NAME: &str = ".orphans";

/// A filesystem's access to its orphans. For everything that is not here (content, links, streams, attributes), the filesystem
/// itself accepts the same node.
pub trait Orphans: Numbered {
    /// True if most of the volume's files are known to be orphans, so that they are listed even without the option: the root
    /// directory is lost. Costs nothing.
    fn is_main(&self) -> bool {
        false
    }

    /// The number of a node, as [`NumberedFile::number`].
    fn number(&self, node: NodeId) -> u64;

    /// As [`super::FileSystem::lookup`], in an orphaned directory.
    ///
    /// # Errors
    /// As [`super::FileSystem::lookup`].
    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;

    /// As [`super::FileSystem::read_dir`], of an orphaned directory: its own entries, then, as `NUMBER-NAME`, the files that
    /// only by their own records are in it.
    ///
    /// # Errors
    /// As [`super::FileSystem::read_dir`].
    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The orphaned directory that contains it; `None`: directly in `.orphans`.
    ///
    /// # Errors
    /// As [`super::FileSystem::parent`].
    fn parent(&self, node: NodeId) -> Result<Option<NodeId>>;
}
