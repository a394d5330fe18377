//! Visits what lies below a directory, each directory before its content, in the order of the disk's own listings. Keeps one path
//! and, for each directory on it, the entries still to be visited.

use std::ops::ControlFlow;

use vhdmount::{
    Error,
    fs::{DirCursor, FileSystem, NodeId, NodeKind, reach},
    tree::Tree,
};

use crate::cli::ls::{MAX_PATH, Notes};

/// An entry that was reached.
pub(super) struct Visited<'a> {
    /// The whole path.
    pub(super) path: &'a [u8],
    /// Its last part.
    pub(super) name: &'a [u8],
    pub(super) node: NodeId,
    /// As the directory states it: a link may be a file here.
    pub(super) kind: NodeKind,
    /// The directory that lists it.
    pub(super) dir: NodeId,
    /// 1 for an entry of the directory where the walk began.
    pub(super) depth: usize,
}

/// A directory on the path to the current entry.
struct Level {
    node: NodeId,
    /// Length of its path in bytes.
    path: usize,
    /// Its entries still to be visited, the next one last.
    left: Vec<(Vec<u8>, NodeId, NodeKind)>,
}

/// Calls `visit` for everything below `root`, whose path is `path`, down to `max_depth` levels. What cannot be listed is noted.
/// `stats`: the visitor asks for the metadata of most entries.
///
/// # Errors
/// The visitor's.
pub(super) fn walk(
    tree: &Tree,
    (path, root): (&[u8], NodeId),
    max_depth: usize,
    stats: bool,
    notes: &mut Notes,
    visit: &mut dyn FnMut(&mut Notes, &Visited<'_>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if max_depth == 0 {
        return Ok(());
    }
    let mut path = path.to_vec();
    let mut levels = vec![list(tree, &path, root, stats, notes)];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(()) };
        path.truncate(level.path);
        let Some((name, node, kind)) = level.left.pop() else {
            levels.pop();
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        visit(notes, &Visited { path: &path, name: &name, node, kind, dir: level.node, depth })?;
        if kind != NodeKind::Directory || depth >= max_depth {
            continue;
        }
        if path.len() > MAX_PATH {
            let shown = [&path[..path.len().min(40)], b"\xe2\x80\xa6/", &name].concat();
            let problem = format!("{depth} directories deep, in a path of over {MAX_PATH} bytes");
            notes.error(&shown, Error::unsupported(problem + ": found, not entered"));
        } else if reach::is_misplaced(node) {
            notes.misplaced(&path, || {
                let read = tree.read_dir(node, DirCursor::default(), &mut |_| ControlFlow::Break(()));
                read.err().unwrap_or_else(|| Error::not_found("no way leads there"))
            });
        } else {
            levels.push(list(tree, &path, node, stats, notes));
        }
    }
}

/// Reads a directory; what cannot be read of it is noted.
fn list(tree: &Tree, path: &[u8], node: NodeId, stats: bool, notes: &mut Notes) -> Level {
    if let (true, Some(ahead)) = (stats, tree.stat_ahead()) {
        ahead.expect_stats(node, DirCursor::default());
    }
    let mut left = Vec::new();
    let read = tree.read_dir(node, DirCursor::default(), &mut |entry| {
        left.push((entry.name.to_text(), entry.node, entry.kind));
        ControlFlow::Continue(())
    });
    if let Err(error) = read {
        notes.error(if path.is_empty() { b"/" } else { path }, error);
    }
    left.reverse();
    Level { node, path: path.len(), left }
}
