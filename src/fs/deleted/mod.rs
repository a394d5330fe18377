//! Deleted files: what a filesystem still knows of them, and the directory `.deleted/` that shows it.
//!
//! A filesystem answers [`Undelete`]; [`View`] makes a directory of the answers. Node numbers stay computed: the highest
//! bit of a filesystem's says that the rest names a deleted file. Clusters that belong to another file by now are
//! never read: their bytes are an error.

mod free;
mod unallocated;
mod view;

use std::{ops::ControlFlow, sync::Arc};

pub(crate) use free::FreeClusters;
pub(crate) use unallocated::Unallocated;
pub use view::View;

pub use super::numbered::Found;
use super::{LinkTarget, Name, NameBuf, NodeId, Stat, StreamInfo};
use crate::{Result, bytes::ByteSource};

/// Marks the node number of a deleted file.
pub const BIT: u64 = 1 << (NodeId::OWN_BITS + 2);

/// The directory of a volume's deleted files: a number that no file of any format has.
pub const DIRECTORY: NodeId = NodeId(BIT | (BIT - 1));

/// The directory's name in the root of its volume.
pub const NAME: &str = ".deleted";

/// Extended attribute of deleted files and orphans: the path from the root of the volume where the file was, or should be.
/// Absent when its directory is gone.
pub const PATH: &str = "user.vhdmount.path";

/// How it is known where the content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The disk still says so.
    #[default]
    Recorded,
    /// Only the beginning is recorded: the free clusters from there on are taken, without a gap.
    Contiguous,
    /// As `Contiguous`, but clusters of other files lie between and were passed over.
    Split,
}

/// How much of a deleted file's content is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Clusters that the content needs; 0 where it lies in metadata, or there is none.
    pub clusters: u64,
    /// Of these, unallocated: no other file has them.
    pub free: u64,
    /// Of the free ones, those for which the disk stores nothing any more (a thin disk was trimmed): they read as zeros.
    pub unstored: u64,
    /// Is the place of the content recorded or guessed?
    pub layout: Layout,
}

/// [`State`] in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every cluster is unallocated and stored. Another file may have used them in between nevertheless.
    Full,
    /// This many percent are; 0 is less than one.
    Partial(u8),
    /// No cluster is unallocated.
    Overwritten,
    /// Unallocated, but nothing is stored: the disk was trimmed.
    Trimmed,
}

impl State {
    /// The state in a word.
    pub fn verdict(&self) -> Verdict {
        let left = self.free.saturating_sub(self.unstored).min(self.clusters);
        match () {
            () if left == self.clusters => Verdict::Full,
            () if self.free == 0 => Verdict::Overwritten,
            () if left == 0 => Verdict::Trimmed,
            () => {
                let percent = u128::from(left) * 100 / u128::from(self.clusters);
                Verdict::Partial(u8::try_from(percent).expect("below 100: `left` is less than all"))
            }
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.verdict() {
            Verdict::Full => "full".into(),
            Verdict::Partial(percent) => format!("partial {percent}%"),
            Verdict::Overwritten => "overwritten".into(),
            Verdict::Trimmed => "trimmed".into(),
        };
        let layout = match self.layout {
            Layout::Recorded => "",
            Layout::Contiguous => ", guessed",
            Layout::Split => ", guessed in pieces",
        };
        f.pad(&(word + layout))
    }
}

/// What a filesystem knows of its deleted files. Nodes are without [`BIT`]; those of streams come from
/// [`Self::lookup_stream`].
pub trait Undelete: Send + Sync {
    /// Calls `sink` for each deleted file whose number is at least `from`, ascending, until it breaks. Damaged records are
    /// passed over and counted in the log.
    ///
    /// # Errors
    /// When the table of files cannot be read any further.
    fn each(&self, from: u64, sink: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> Result<()>;

    /// The node and the name of deleted file `number`; `None` when there is no such file.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>>;

    /// The path that it had, as text without a leading `/`; of a stream that of its file. Deleted directories count as
    /// long as they are known. `None`: the directory that held it is gone.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>>;

    /// What is left of the content of a file or stream.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when where it lay is lost.
    fn state(&self, node: NodeId) -> Result<State>;

    /// As [`super::FileSystem::stat`].
    ///
    /// # Errors
    /// As there.
    fn stat(&self, node: NodeId) -> Result<Stat>;

    /// The content. Where another file has the clusters now a read is an error.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when nothing of it is left; else as [`super::FileSystem::open`].
    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>>;

    /// As [`super::FileSystem::read_link`].
    ///
    /// # Errors
    /// As there.
    fn read_link(&self, node: NodeId) -> Result<LinkTarget>;

    /// As [`super::FileSystem::streams`].
    ///
    /// # Errors
    /// As there.
    fn streams(&self, _node: NodeId) -> Result<Vec<StreamInfo>> {
        Ok(Vec::new())
    }

    /// As [`super::FileSystem::lookup_stream`].
    ///
    /// # Errors
    /// As there.
    fn lookup_stream(&self, _node: NodeId, _name: Name<'_>) -> Result<Option<NodeId>> {
        Ok(None)
    }

    /// As [`super::FileSystem::xattr`].
    ///
    /// # Errors
    /// As there.
    fn xattr(&self, _node: NodeId, _name: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_a_word() {
        let word = |clusters, free, unstored, layout| State { clusters, free, unstored, layout }.to_string();
        assert_eq!(word(0, 0, 0, Layout::Recorded), "full");
        assert_eq!(word(7, 7, 0, Layout::Contiguous), "full, guessed");
        assert_eq!(word(7, 7, 0, Layout::Split), "full, guessed in pieces");
        assert_eq!(word(1000, 999, 0, Layout::Recorded), "partial 99%");
        assert_eq!(word(1000, 1, 0, Layout::Recorded), "partial 0%");
        assert_eq!(word(7, 0, 0, Layout::Recorded), "overwritten");
        assert_eq!(word(7, 7, 7, Layout::Recorded), "trimmed");
        assert_eq!(word(4, 4, 1, Layout::Recorded), "partial 75%");
        assert_eq!(word(u64::MAX, u64::MAX - 1, u64::MAX, Layout::Recorded), "trimmed");
    }
}
