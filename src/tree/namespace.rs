//! The interface of a mounted namespace beyond that of a filesystem: queries that only a tree of several volumes can
//! answer, or one with files that are generated at each open.

use crate::{
    Result,
    fs::{FileSystem, NodeId, Usage},
};

/// The part of a disk that a node shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// None: the node is the tree's own.
    None,
    /// It is the raw view of this name.
    Raw(&'a str),
    /// It lies in the volume of this name.
    Volume(&'a str),
    /// No node has this number, or none any more.
    Gone,
}

/// A filesystem as the platform adapters mount it. The default methods are those of a single volume.
pub trait Namespace: FileSystem {
    /// True for a node whose content is generated at each open (`.capacity`): nothing of it may be cached.
    fn is_volatile(&self, _node: NodeId) -> bool {
        false
    }

    /// Which part of a disk the node shows: what may not be read while another program writes that part.
    fn part_of(&self, _node: NodeId) -> Part<'_> {
        Part::None
    }

    /// [`crate::fs::Space::usage`] of the volume that holds `node`.
    ///
    /// # Errors
    /// As [`crate::fs::Space::usage`].
    fn usage_at(&self, _node: NodeId) -> Result<Usage> {
        self.space().usage()
    }

    /// The text of a symbolic link for the host's kernel: absolute targets lead to the volume that holds them.
    ///
    /// # Errors
    /// As [`FileSystem::read_link`].
    fn read_link_text(&self, node: NodeId) -> Result<Vec<u8>> {
        Ok(self.read_link(node)?.to_text())
    }
}
