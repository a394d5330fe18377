//! Bounded walks over any filesystem, damaged ones included.

use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow,
};

use vhdmount::{
    Result,
    fs::{DirCursor, FileSystem, LinkTarget, NodeId, NodeKind, Streams},
};

use super::super::sha256_source;

/// Largest file that is hashed, in bytes: damaged sizes reach exabytes.
const MAX_HASHED: u64 = 4 << 30;

/// The limits of a walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) entries: usize,
    pub(crate) depth: usize,
}

impl Default for Limits {
    /// Limits far above the content of any test volume.
    fn default() -> Self {
        Self { entries: 1_000_000, depth: 300 }
    }
}

/// An entry found by a walk.
#[derive(Debug)]
pub(crate) struct Walked {
    /// The path from the root, without a leading slash.
    pub(crate) path: String,
    pub(crate) parent: NodeId,
    pub(crate) node: NodeId,
    /// The kind that the directory lists.
    pub(crate) kind: NodeKind,
}

/// Every entry below the root, parents first. Fails the test when the tree exceeds the limits.
pub(crate) fn walk(fs: &dyn FileSystem, limits: Limits) -> Vec<Walked> {
    let mut nodes = Vec::new();
    let complete = visit(fs, limits, &mut |walked, listing: Result<()>| {
        listing.unwrap_or_else(|e| panic!("list {}: {e}", walked.path));
        nodes.push(walked);
    });
    assert!(complete, "the tree does not end within {limits:?}");
    nodes
}

/// Calls `sink` for every entry, and for every directory whose listing failed, with the error. A directory is entered
/// once, whatever its entries state. Returns false when a limit was reached.
pub(crate) fn visit(fs: &dyn FileSystem, limits: Limits, sink: &mut dyn FnMut(Walked, Result<()>)) -> bool {
    let mut seen = HashSet::from([fs.root()]);
    let mut pending = vec![(String::new(), fs.root(), fs.root(), 0)];
    let mut count = 0;
    let mut complete = true;
    while let Some((dir, grandparent, parent, depth)) = pending.pop() {
        let mut deeper = Vec::new();
        let listing = fs.read_dir(parent, DirCursor::default(), &mut |entry| {
            count += 1;
            let text = String::from_utf8_lossy(&entry.name.to_text()).into_owned();
            let path = if dir.is_empty() { text } else { format!("{dir}/{text}") };
            if entry.kind == NodeKind::Directory && seen.insert(entry.node) {
                deeper.push((path.clone(), parent, entry.node, depth + 1));
            }
            sink(Walked { path, parent, node: entry.node, kind: entry.kind }, Ok(()));
            if count < limits.entries { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if listing.is_err() {
            sink(Walked { path: dir, parent: grandparent, node: parent, kind: NodeKind::Directory }, listing);
        }
        if count >= limits.entries {
            return false;
        }
        complete &= deeper.is_empty() || depth < limits.depth;
        if depth < limits.depth {
            pending.extend(deeper.into_iter().rev());
        }
    }
    complete
}

/// The content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A directory, a device, …
    None,
    /// Length and SHA-256 of a file or stream.
    File(u64, String),
    /// A link's target.
    Link(LinkTarget),
    /// The error of unreadable content.
    Unreadable(String),
}

/// The whole tree by path, streams as `path:name`; damaged parts appear with the error. A directory whose listing failed
/// has a second row, `path/`.
pub(crate) fn tree_listing(fs: &dyn FileSystem) -> BTreeMap<String, (NodeKind, Content)> {
    let mut rows = BTreeMap::new();
    let complete = visit(fs, Limits::default(), &mut |walked, listing| {
        let Walked { path, node, .. } = walked;
        if let Err(e) = listing {
            rows.insert(path + "/", (NodeKind::Directory, Content::Unreadable(e.to_string())));
            return;
        }
        let kind = match fs.stat(node) {
            Ok(stat) => stat.kind,
            Err(e) => {
                rows.insert(path, (walked.kind, Content::Unreadable(e.to_string())));
                return;
            }
        };
        let unreadable = |e: vhdmount::Error| Content::Unreadable(e.to_string());
        match fs.streams().list_streams(node) {
            Ok(streams) => rows.extend(streams.iter().map(|stream| {
                let content =
                    fs.streams().lookup_stream(node, stream.name.as_name()).and_then(|found| match found {
                        Some(found) => hashed(fs, found),
                        None => Err(vhdmount::Error::not_found("listed stream")),
                    });
                let content = content.unwrap_or_else(unreadable);
                (format!("{path}:{}", stream.name), (NodeKind::File, content))
            })),
            Err(e) => drop(rows.insert(format!("{path}:"), (kind, unreadable(e)))),
        }
        let content = match kind {
            NodeKind::File => hashed(fs, node).unwrap_or_else(unreadable),
            NodeKind::Symlink => fs.read_link(node).map_or_else(unreadable, Content::Link),
            _ => Content::None,
        };
        rows.insert(path, (kind, content));
    });
    assert!(complete, "the tree does not end");
    rows
}

fn hashed(fs: &dyn FileSystem, node: NodeId) -> Result<Content> {
    let content = fs.open(node)?;
    if content.size() > MAX_HASHED {
        return Ok(Content::Unreadable(format!("{} bytes: too many to hash in a test", content.size())));
    }
    Ok(Content::File(content.size(), sha256_source(&*content)?))
}
