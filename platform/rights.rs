//! What a command needs of its host, all of it named by the user: what the sandbox leaves.

use std::path::{Path, PathBuf};

use vhdmount::{bytes::is_of_the_kernel, container};

/// The files and folders of the host that a command needs.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere less is kept back"))]
pub(crate) struct Rights {
    /// The images, and the parents that the user named.
    pub(crate) images: Vec<PathBuf>,
    /// Folders below which files are read.
    pub(crate) folders: Vec<PathBuf>,
    /// No parent is opened outside of `folders`.
    pub(crate) confined: bool,
    /// The destination of a copy: a folder, or a new name in one.
    pub(crate) copy_to: Option<PathBuf>,
    /// Files that are written.
    pub(crate) outputs: Vec<PathBuf>,
    /// A file that is open already is written.
    pub(crate) written: bool,
    /// Files in this folder are removed.
    pub(crate) remove_in: Option<PathBuf>,
    /// What the kernel says of the disk below the root is read.
    pub(crate) running: bool,
}

impl Rights {
    /// For opening images with these options.
    pub(crate) fn to_open<'a>(
        images: impl IntoIterator<Item = &'a PathBuf>,
        options: &container::OpenOptions,
    ) -> Self {
        let mut this = Self { confined: options.confine, images: options.parents.clone(), ..Self::default() };
        for image in images {
            this.images.push(image.clone());
            this.folders.extend(
                container::parent_folders(image, options).into_iter().filter(|folder| holds_images(folder)),
            );
        }
        this.folders.sort();
        this.folders.dedup();
        this
    }
}

/// False for the folder of a block device: what lies beside it is other disks.
fn holds_images(folder: &Path) -> bool {
    !is_of_the_kernel(folder) || folder.starts_with("/dev/shm")
}
