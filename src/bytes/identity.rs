//! Which file of the host it is, whatever its name: two paths may lead to one.

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
    /// Where the host does not tell: its canonical path.
    Path(PathBuf),
}

impl FileSource {
    /// Which file this is.
    pub fn id(&self) -> FileId {
        #[cfg(unix)]
        if let Ok(metadata) = self.file().metadata() {
            use std::os::unix::fs::MetadataExt;
            return FileId::Inode { device: metadata.dev(), inode: metadata.ino() };
        }
        FileId::Path(self.path().canonicalize().unwrap_or_else(|_| self.path().to_owned()))
    }
}
