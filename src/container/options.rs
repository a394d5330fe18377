//! The caller's choices about an image and its parents.

use std::{path::PathBuf, sync::Arc};

use crate::host::{Host, System};

/// How to open an image and its parents.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Folders that are searched for parents, by identity.
    pub parent_dirs: Vec<PathBuf>,
    /// Files that are parents, in any order: each is used where its identity fits.
    pub parents: Vec<PathBuf>,
    /// Reads on with one of `parents` whose identity does not fit, and without a missing parent (what only it has is then
    /// unreadable). What an image names is never taken by force.
    pub force_parent: bool,
    /// Opens only what lies in the image's folder, the folders of `parents` and `parent_dirs`, and below them.
    pub confine: bool,
    /// Replays a dirty VHDX log (in memory).
    pub replay: bool,
    /// Looks for children in the image's own folder, for a warning; each file there that is named as a virtual disk costs a few
    /// reads.
    pub find_children: bool,
    /// Asked about disks, and about the space below image files.
    pub host: Arc<dyn Host>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            parent_dirs: Vec::new(),
            parents: Vec::new(),
            force_parent: false,
            confine: false,
            replay: true,
            find_children: false,
            host: Arc::new(System),
        }
    }
}
