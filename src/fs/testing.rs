//! A walk for tests of which entry leads into a directory.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::{DirCursor, DirEntry, FileSystem, NodeId, NodeKind};

/// Called with a directory, an entry of it, and the entry's path.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(NodeId, &DirEntry<'_>, &str);

/// Every path of a filesystem in order, with a `!` behind directories that cannot be listed, and the number of directories
/// entered. Enters each listed directory, as programs do; fails above `most` directories.
pub(crate) fn all_paths(fs: &dyn FileSystem, most: usize, visit: Visit<'_>) -> (Vec<String>, usize) {
    let (mut entered, mut out) = (0, BTreeSet::new());
    let mut pending = vec![(fs.root(), String::new())];
    while let Some((dir, path)) = pending.pop() {
        entered += 1;
        assert!(entered <= most, "more directories are entered than there are entries");
        let listed = fs.read_dir(dir, DirCursor(0), &mut |entry| {
            let path = format!("{path}/{}", entry.name);
            visit(dir, &entry, &path);
            if entry.kind == NodeKind::Directory {
                assert_eq!(fs.stat(entry.node).unwrap().kind, NodeKind::Directory, "{path}");
                pending.push((entry.node, path.clone()));
            }
            out.insert(path);
            ControlFlow::Continue(())
        });
        if listed.is_err() {
            out.insert(format!("{path}!"));
        }
    }
    (out.into_iter().collect(), entered)
}
