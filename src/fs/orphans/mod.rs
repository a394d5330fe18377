//! Orphans: files and directories in use to which no directory leads, because an index block, a whole directory or the root
//! is lost; and the directory `.orphans/` that shows them.
//!
//! A filesystem implements [`Orphans`]; [`View`] presents it as a tree. Node numbers stay those of the filesystem; a bit
//! marks nodes that are reached this way. The search starts with the first access.

mod view;

use std::ops::ControlFlow;

pub use view::View;

pub use super::numbered::Found;
use super::{DirCursor, DirEntry, Name, NameBuf, NodeId, Stat};
use crate::Result;

/// Marks the node number of an orphan, and of nodes below one.
pub const BIT: u64 = 1 << (NodeId::OWN_BITS + 1);

/// The directory of a volume's orphans: a number that no file of any format has.
pub const DIRECTORY: NodeId = NodeId(BIT | (BIT - 1));

/// The directory's name in the root of its volume.
pub const NAME: &str = ".orphans";

/// A filesystem's access to its orphans. Nodes are passed without [`BIT`]; for everything else (content, links, streams,
/// attributes) the filesystem itself accepts the same node.
pub trait Orphans: Send + Sync {
    /// True if most of the volume's files are known to be orphans, so that they are listed even without the option: the root
    /// directory is lost. Costs nothing.
    fn is_main(&self) -> bool {
        false
    }

    /// Calls `sink` for each orphan that is in no other orphan, and whose number is at least `from`, ascending, until it
    /// breaks.
    ///
    /// # Errors
    /// When the file table cannot be read further, or when the search is incomplete.
    fn each(&self, from: u64, sink: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> Result<()>;

    /// The node and the name of orphan `number`; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>>;

    /// The number of a node, as [`Found::number`].
    fn number(&self, node: NodeId) -> u64;

    /// The path that its own metadata states, as text without a leading `/`. `None`: its parent directory is unknown.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>>;

    /// As [`super::FileSystem::stat`].
    ///
    /// # Errors
    /// As [`super::FileSystem::stat`].
    fn stat(&self, node: NodeId) -> Result<Stat>;

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
