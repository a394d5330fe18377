//! The interface of a mounted namespace beyond that of a filesystem: queries that only a tree of several volumes can
//! answer, or one with files that are generated at each open.

use crate::{
    Result,
    fs::{FileSystem, NodeId, Usage},
};

/// A filesystem as the platform adapters mount it. The default methods are those of a single volume.
pub trait Namespace: FileSystem {
    /// True for a node whose content is generated at each open (`.capacity`): nothing of it may be cached.
    fn is_volatile(&self, _node: NodeId) -> bool {
        false
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
