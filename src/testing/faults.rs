//! Reads that fail: what is read then is right, or an error, and never something else; nothing seems to be absent or empty.

use std::{collections::BTreeMap, sync::Arc};

use super::walk::{Trust, Walked, walk};
use crate::{
    bytes::{
        ByteSource,
        testing::{Flaky, Sparse},
    },
    image::{Image, OpenOptions},
};

/// Walks a sound image without faults, and then with them.
///
/// # Panics
/// When an answer differs.
pub(super) fn image(image: Sparse, cases: u64, seed: u64) {
    let source: Arc<dyn ByteSource> = Arc::new(image);
    let mut options = OpenOptions::default();
    options.fs.show_system = true;
    let walked = |source, trust| -> Option<Walked> {
        let image = Image::open_source(source, &options).ok()?;
        Some(walk(&image.tree(None).ok()?, trust))
    };
    let expected = walked(source.clone(), Trust::Sound).expect("a sound image is opened");
    let Some(found) = walked(Arc::new(Flaky::new(source, cases, seed)), Trust::Unreadable) else { return };
    // What is generated tells of the damage that opening found.
    let is_stored = |path: &str| !path.starts_with("/.");
    let files: BTreeMap<_, _> = expected.files.iter().map(|(path, content)| (path, content)).collect();
    for (path, content) in found.files.iter().filter(|(path, _)| is_stored(path)) {
        let right = files.get(path).unwrap_or_else(|| panic!("{path} does not exist"));
        if let Ok(content) = content {
            assert_eq!(right.as_ref().ok(), Some(content), "{path}");
        }
    }
    let directories: BTreeMap<_, _> =
        expected.directories.iter().map(|(path, names, _)| (path, names)).collect();
    for (path, names, complete) in found.directories.iter().filter(|(path, ..)| is_stored(path)) {
        // A volume that could not be opened is missing in the tree's own root.
        let Some(right) = directories.get(path) else { panic!("{path} does not exist") };
        assert!(names.iter().all(|name| right.contains(name)), "{path}: {names:?} instead of {right:?}");
        assert!(!complete || path.is_empty() || names.len() == right.len(), "{path}: {names:?} of {right:?}");
    }
}
