//! Counts the bytes to copy, in parallel to the copy, when its progress is displayed.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use vhdmount::fs::{DirCursor, FileSystem, NodeId, NodeKind};

use super::{Context, nodes::NodeSet, places::Source};

/// Most directories waiting to be counted; beyond that there is no total.
const MAX_WAITING: usize = 1 << 20;

/// The total size, once it is known.
#[derive(Default)]
pub(super) struct Total {
    bytes: AtomicU64,
    known: AtomicBool,
    stopped: AtomicBool,
}

impl Total {
    /// Total bytes of content; `None` until they are counted.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.known.load(Ordering::Acquire).then(|| self.bytes.load(Ordering::Relaxed))
    }

    /// Stops the count.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Counts; a file with several names counts once per path that the user gave.
    pub(super) fn count(&self, context: &Context<'_>, sources: &[Source]) {
        let complete = sources.iter().all(|source| self.count_one(context, source.node).is_some());
        self.known.store(complete, Ordering::Release);
    }

    fn count_one(&self, context: &Context<'_>, node: NodeId) -> Option<()> {
        let (mut seen, mut todo) = (NodeSet::default(), vec![node]);
        while let Some(node) = todo.pop() {
            if self.stopped.load(Ordering::Relaxed) || todo.len() > MAX_WAITING {
                return None;
            }
            let Ok(stat) = context.tree.stat(node) else { continue };
            if !seen.insert(node.0) {
                continue;
            }
            match stat.kind {
                NodeKind::Directory => {
                    // A directory that cannot be read is not copied either.
                    let _ = context.tree.read_dir(node, DirCursor::default(), &mut |entry| {
                        todo.push(entry.node);
                        match todo.len() > MAX_WAITING {
                            true => ControlFlow::Break(()),
                            false => ControlFlow::Continue(()),
                        }
                    });
                }
                NodeKind::File => drop(self.bytes.fetch_add(stat.size, Ordering::Relaxed)),
                _ => {}
            }
        }
        Some(())
    }
}
