//! Logs why a request failed: once for each node, with its path.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use vhdmount::{
    Error,
    fs::{DirCursor, NodeId},
    tree::Namespace,
};

/// Slots that remember reported nodes; another node with the same slot makes the line appear again.
const REPORTED_SLOTS: usize = 4096;

/// Log lines that include the path, which costs reading directories; later lines give only the node's number.
const MAX_PATHS: usize = 256;

/// Entries read for one component of a path in a log line.
const MAX_ENTRIES: usize = 1 << 16;

/// Components of a path in a log line; parents may form a cycle on a damaged volume.
const MAX_DEPTH: usize = 64;

/// Logs failed requests, once per node.
pub(crate) struct Reporter {
    reported: Box<[AtomicU64]>,
    paths: AtomicUsize,
}

impl Default for Reporter {
    fn default() -> Self {
        let reported = (0..REPORTED_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { reported, paths: AtomicUsize::new(0) }
    }
}

impl Reporter {
    /// Logs a failed request of a node. `expected`: the request also fails in normal use.
    pub(crate) fn report(
        &self,
        fs: &dyn Namespace,
        node: NodeId,
        request: &str,
        error: &Error,
        expected: bool,
    ) {
        if expected {
            log::debug!("{request} of node {:#x}: {error}", node.0);
        } else if self.is_first(node) {
            let path = self.paths.fetch_add(1, Ordering::Relaxed) < MAX_PATHS;
            match path.then(|| path_of(fs, node)).flatten() {
                Some(path) => log::warn!("{}: {request}: {error}", String::from_utf8_lossy(&path)),
                None => log::warn!("node {:#x}: {request}: {error}", node.0),
            }
        }
    }

    fn is_first(&self, node: NodeId) -> bool {
        // Fibonacci hashing: record numbers of one volume are dense in the low bits.
        let slot = usize::try_from(node.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).unwrap_or(0);
        self.reported[slot % REPORTED_SLOTS].swap(node.0, Ordering::Relaxed) != node.0
    }
}

/// The path of a node below the mountpoint, where it can be found: a stream or an orphan has none.
fn path_of(fs: &dyn Namespace, node: NodeId) -> Option<Vec<u8>> {
    let climb = || {
        let (mut path, mut node) = (Vec::new(), node);
        for _ in 0..MAX_DEPTH {
            if node == fs.root() {
                return Some(path);
            }
            let parent = fs.parent(node).ok()?;
            let mut name = name_in(fs, parent, node)?;
            if !path.is_empty() {
                name.push(b'/');
                name.append(&mut path);
            }
            (path, node) = (name, parent);
        }
        None
    };
    // The reported error may itself be a panic of the filesystem.
    catch_unwind(AssertUnwindSafe(climb)).ok().flatten()
}

fn name_in(fs: &dyn Namespace, dir: NodeId, node: NodeId) -> Option<Vec<u8>> {
    let (mut found, mut left) = (None, MAX_ENTRIES);
    let listed = fs.read_dir(dir, DirCursor(0), &mut |entry| {
        left -= 1;
        if entry.node == node {
            found = Some(entry.name.to_text());
        }
        if found.is_some() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    listed.ok().and(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reported_once() {
        let reporter = Reporter::default();
        assert!(reporter.is_first(NodeId(77)));
        assert!(!reporter.is_first(NodeId(77)));
        assert!(reporter.is_first(NodeId(78)));
    }
}
