//! The identity of a host file, whatever its name: two paths may lead to one file.

use std::path::PathBuf;

use super::FileSource;

/// Identifies a file of the host while it exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileId {
    /// Device number of the filesystem and inode number.
    Inode {
        /// `st_dev`
        device: u64,
        /// `st_ino`
        inode: u64,
    },
    /// Canonical path, where the host reports no device and inode.
    Path(PathBuf),
}

impl FileSource {
    /// The identity of this file.
    pub fn id(&self) -> FileId {
        #[cfg(unix)]
        if let Ok(metadata) = self.file().metadata() {
            use std::os::unix::fs::MetadataExt;
            return FileId::Inode { device: metadata.dev(), inode: metadata.ino() };
        }
        FileId::Path(self.path().canonicalize().unwrap_or_else(|_| self.path().to_owned()))
    }
}
