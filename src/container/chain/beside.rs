//! Finds the children of an image in its own folder: who opens the base of a chain sees the disk as it was before them, which
//! is the usual mistake with checkpoints.

use std::{path::PathBuf, sync::Arc};

use super::{Image, OpenOptions, Search, bounds::folder_of, folder};

/// Images that are opened to read whose children they are: opening one costs a few reads.
const MAX_OPENED: usize = 256;

/// The images in the folder of `parent` that name it as their parent, sorted. Those that cannot be listed or read are left out.
pub(in crate::container) fn children(parent: &Image, options: &OpenOptions) -> Vec<PathBuf> {
    let (Some(file), Some(folder)) = (&parent.file, folder_of(&parent.path)) else { return Vec::new() };
    if parent.identity.is_zero() || !parent.identity.is_of_file() {
        return Vec::new();
    }
    let search = Search::new(&parent.path, options);
    let mut names = search.names(folder).unwrap_or_default();
    names.retain(folder::is_usual);
    names.sort();
    let own = file.id();
    let is_child = |path: &PathBuf| {
        let Ok(opened) = search.open(path) else { return false };
        let child = Arc::new(opened.file);
        child.id() != own
            && Image::of_file(child, path, options)
                .is_ok_and(|image| image.linkage.is_some_and(|linkage| linkage.accepts(parent.identity)))
    };
    let paths = names.iter().take(MAX_OPENED).map(|name| folder.join(name));
    paths.filter(is_child).collect()
}
