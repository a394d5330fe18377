//! Orphans: files and directories in use to which no directory leads, because an index block, a whole directory or the root
//! is lost; and the directory `.orphans/` that shows them.
//!
//! A filesystem answers [`Orphans`]; [`View`] makes a tree of the answers. Node numbers stay those of the filesystem; a bit
//! marks what is reached this way. Nothing is looked for before someone asks.

mod view;

use std::ops::ControlFlow;

pub use view::View;

pub use super::numbered::Found;
use super::{DirCursor, DirEntry, Name, NameBuf, NodeId, Stat};
use crate::Result;

/// Marks the node number of an orphan, and of what lies below one.
pub const BIT: u64 = 1 << (NodeId::OWN_BITS + 1);

/// The directory of a volume's orphans: a number that no file of any format has.
pub const DIRECTORY: NodeId = NodeId(BIT | (BIT - 1));

/// The directory's name in the root of its volume.
pub const NAME: &str = ".orphans";

/// What a filesystem finds in use and without a way to it. Nodes are without [`BIT`]; what is not asked here (content, links,
/// streams, attributes) is asked of the filesystem by the same node.
pub trait Orphans: Send + Sync {
    /// True when most of the volume is known to be here, so that it is to be listed even where nobody asked for it: the root
    /// directory is lost. Costs nothing.
    fn is_main(&self) -> bool {
        false
    }

    /// Calls `sink` for each orphan that lies in no other one, and whose number is at least `from`, ascending, until it
    /// breaks.
    ///
    /// # Errors
    /// When the table of files cannot be read any further, or when there may be more of them.
    fn each(&self, from: u64, sink: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> Result<()>;

    /// The node and the name of orphan `number`; `None` when there is no such one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>>;

    /// The number of a node, as [`Found::number`].
    fn number(&self, node: NodeId) -> u64;

    /// The path that it should have, as text without a leading `/`. `None`: its directory is not known.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>>;

    /// As [`super::FileSystem::stat`].
    ///
    /// # Errors
    /// As there.
    fn stat(&self, node: NodeId) -> Result<Stat>;

    /// As [`super::FileSystem::lookup`], in an orphaned directory.
    ///
    /// # Errors
    /// As there.
    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>>;

    /// As [`super::FileSystem::read_dir`], of an orphaned directory: what it lists itself, then what only its own record says
    /// to lie in it, as `NUMBER-NAME`.
    ///
    /// # Errors
    /// As there.
    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The orphaned directory in which it is shown; `None`: directly in `.orphans`.
    ///
    /// # Errors
    /// As [`super::FileSystem::parent`].
    fn parent(&self, node: NodeId) -> Result<Option<NodeId>>;
}
