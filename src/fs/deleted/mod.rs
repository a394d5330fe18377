//! Deleted files: the remains that a filesystem can read, and the directory `.deleted/` that lists them.
//!
//! A filesystem implements [`Undelete`]; [`View`] presents it as a directory. Node numbers stay computed: the highest bit of
//! a filesystem's number marks a deleted file. Guards: clusters that belong to another file by now are never read; their
//! bytes are an error.

mod free;
mod unallocated;
mod view;

use std::sync::Arc;

pub(crate) use free::FreeClusters;
pub(crate) use unallocated::Unallocated;
pub use view::View;

pub use super::numbered::{Numbered, NumberedFile};
use super::{LinkTarget, Name, NodeId, StreamInfo, numbered::NumberedDirectory};
use crate::{Result, bytes::ByteSource};

/// Marks the node number of a deleted file.
pub const BIT: u64 = 1 << (NodeId::OWN_BITS + 2);

const ADDED: NumberedDirectory = NumberedDirectory { bit: BIT };

/// The directory of a volume's deleted files.
pub const DIRECTORY: NodeId = ADDED.node();

/// The directory's name in the root of its volume.
pub const NAME: &str = ".deleted";

/// Extended attribute with a path from the root of the volume: of a deleted file its former path, of an orphan the one that
/// its metadata states. Absent if the parent directory is unknown.
pub const PATH: &str = "user.vhdmount.path";

/// How reliable the location of the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The run list on the disk still states it.
    #[default]
    Recorded,
    /// Only the first cluster is recorded: the content is assumed in the free clusters from there on, without a gap.
    Contiguous,
    /// As `Contiguous`, but with clusters of other files in between, which are skipped.
    Split,
}

/// How much of a deleted file's content can still be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Clusters of the content; 0 if it is resident in metadata, or empty.
    pub clusters: u64,
    /// Clusters of the content that are unallocated: no other file uses them.
    pub free: u64,
    /// Free clusters that are not stored in the disk image (a thin disk was trimmed): they read as zeros.
    pub unstored: u64,
    /// Whether the location of the content is recorded or guessed.
    pub layout: Layout,
}

/// Summary of [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every cluster is unallocated and stored. Another file may nevertheless have used them in between.
    Full,
    /// The percentage of clusters that are unallocated and stored; 0 means less than one.
    Partial(u8),
    /// No cluster is unallocated.
    Overwritten,
    /// Unallocated, but nothing is stored: the disk was trimmed.
    Trimmed,
}

impl State {
    /// The summary of this state.
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

/// A filesystem's access to its deleted files. Nodes of streams come from [`Self::lookup_stream`].
pub trait Undelete: Numbered {
    /// The recoverable part of the content of a file or stream.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when the location of the content is lost.
    fn state(&self, node: NodeId) -> Result<State>;

    /// The content. Reads of clusters that another file uses now fail.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when nothing of it can be recovered; else as [`super::FileSystem::open`].
    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>>;

    /// As [`super::FileSystem::read_link`].
    ///
    /// # Errors
    /// As [`super::FileSystem::read_link`].
    fn read_link(&self, node: NodeId) -> Result<LinkTarget>;

    /// As [`super::Streams::list_streams`].
    ///
    /// # Errors
    /// As [`super::Streams::list_streams`].
    fn streams(&self, _node: NodeId) -> Result<Vec<StreamInfo>> {
        Ok(Vec::new())
    }

    /// As [`super::Streams::lookup_stream`].
    ///
    /// # Errors
    /// As [`super::Streams::lookup_stream`].
    fn lookup_stream(&self, _node: NodeId, _name: Name<'_>) -> Result<Option<NodeId>> {
        Ok(None)
    }

    /// As [`super::Xattrs::xattr`].
    ///
    /// # Errors
    /// As [`super::Xattrs::xattr`].
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
