//! What is asked of a namespace that is mounted, beyond its files: what only a tree of several volumes can answer, or one with
//! files that are made when they are opened.

use crate::{
    Result,
    fs::{FileSystem, NodeId, Usage},
};

/// A filesystem as the platform adapters mount it. The defaults are those of a single volume.
pub trait Namespace: FileSystem {
    /// True for a node whose content is made anew at each open (`.capacity`): nothing of it may be cached.
    fn is_volatile(&self, _node: NodeId) -> bool {
        false
    }

    /// [`crate::fs::Space::usage`] of the volume in which `node` lies.
    ///
    /// # Errors
    /// As there.
    fn usage_at(&self, _node: NodeId) -> Result<Usage> {
        self.space().usage()
    }

    /// The text of a symbolic link as the host's kernel is to follow it: absolute targets lead to the volume that holds them.
    ///
    /// # Errors
    /// As [`FileSystem::read_link`].
    fn read_link_text(&self, node: NodeId) -> Result<Vec<u8>> {
        Ok(self.read_link(node)?.to_text())
    }
}
