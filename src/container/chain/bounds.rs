//! The files of the host that an image may lead to. In the folders of the image, of `parents` and of `parent_dirs`, and below
//! them, files are opened and described. A locator may lead elsewhere, as Hyper-V's do, but only to a VHD or VHDX of the right
//! identity; anything else there is not described, as that would disclose which files exist to the author of the image.
//! With `confine` nothing outside of those folders is opened.

use std::path::{Path, PathBuf};

use crate::bytes::is_of_the_kernel;
use crate::container::options::OpenOptions;

pub(super) struct Bounds {
    /// Canonical folders, with everything below them.
    roots: Vec<PathBuf>,
    confined: bool,
}

impl Bounds {
    pub(super) fn new(top: &Path, options: &OpenOptions) -> Self {
        let confined = options.confine;
        // The image may be named through a link: its parents then lie beside the link or beside the file.
        let real = if confined { None } else { std::fs::canonicalize(top).ok() };
        let named = [Some(top), real.as_deref()].into_iter().flatten();
        let files = named.chain(options.parents.iter().map(PathBuf::as_path));
        let folders = files.filter_map(folder_of).chain(options.parent_dirs.iter().map(PathBuf::as_path));
        let mut roots: Vec<_> = folders.filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
        roots.sort();
        roots.dedup();
        Self { roots, confined }
    }

    pub(super) fn into_roots(self) -> Vec<PathBuf> {
        self.roots
    }

    /// True when a canonical path lies inside.
    pub(super) fn holds(&self, real: &Path) -> bool {
        self.roots.iter().any(|root| real.starts_with(root))
    }

    /// True when a file with this canonical path may be opened.
    pub(super) fn allows(&self, real: &Path) -> bool {
        self.holds(real) || !self.confined && !is_of_the_kernel(real)
    }

    /// True when a path may be tried at all. A link that leads out is noticed when it is opened.
    pub(super) fn may_open(&self, path: &Path) -> bool {
        !self.confined || self.describes(path)
    }

    /// True when a folder may be listed.
    pub(super) fn may_list(&self, folder: &Path) -> bool {
        std::fs::canonicalize(folder).is_ok_and(|real| self.allows(&real))
    }

    /// True when it may be said what lies at a path, whether or not anything does.
    pub(super) fn describes(&self, path: &Path) -> bool {
        let mut rest = path;
        loop {
            let here = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
            if let Ok(real) = std::fs::canonicalize(here) {
                return self.holds(&real);
            }
            // A link that leads nowhere, or to where this user may not look, says so by being described; and `..` behind
            // what does not exist could mean anything.
            let is_link = std::fs::symlink_metadata(here).is_ok_and(|metadata| metadata.is_symlink());
            let (Some(parent), Some(_), false) = (rest.parent(), rest.file_name(), is_link) else {
                return false;
            };
            rest = parent;
        }
    }
}

/// The folder that a path's file lies in.
pub(super) fn folder_of(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}
