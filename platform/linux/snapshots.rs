//! Files whose content is made anew whenever they are opened (`.capacity`). The kernel opens without asking and keeps what it
//! has read, so each lookup of such a name leads to a node of its own, whose content never changes: a snapshot. A reader
//! that holds one sees it whole, whatever happens meanwhile; who looks again, a moment later, gets the next one.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use vhdmount::{bytes::ByteSource, fs::NodeId};

/// In a snapshot's number: above those of all volumes.
const SPACE: u64 = NodeId::ADAPTER;

/// How long a name leads to the same snapshot: cp and others look at a name, open it, and give up if the two are not the same file.
pub(super) const TTL: Duration = Duration::from_millis(300);

/// Snapshots that are kept, and the memory for them: each is a few KiB, read at once by whoever looked.
const MAX_KEPT: usize = 256;
const BUDGET: u64 = 8 << 20;

/// A file as it was when its name was looked up.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The node that it was made of.
    pub(super) of: NodeId,
    pub(super) source: Arc<dyn ByteSource>,
}

/// The latest snapshots.
#[derive(Default)]
pub(super) struct Snapshots {
    next: AtomicU64,
    /// By number, oldest first.
    kept: Mutex<VecDeque<(u64, Snapshot)>>,
}

impl Snapshots {
    /// Keeps one, and pushes out the oldest.
    pub(super) fn insert(&self, snapshot: Snapshot) -> NodeId {
        let number = SPACE | self.next.fetch_add(1, Ordering::Relaxed) & !SPACE;
        let mut kept = self.kept();
        kept.push_back((number, snapshot));
        let size =
            |kept: &VecDeque<(u64, Snapshot)>| kept.iter().map(|(_, one)| one.source.size()).sum::<u64>();
        while kept.len() > 1 && (kept.len() > MAX_KEPT || size(&kept) > BUDGET) {
            kept.pop_front();
        }
        NodeId(number)
    }

    /// True for the number of a snapshot, kept or not.
    pub(super) fn is_one(node: NodeId) -> bool {
        node.0 & SPACE == SPACE
    }

    /// `None` for one that was pushed out.
    pub(super) fn get(&self, node: NodeId) -> Option<Snapshot> {
        self.kept().iter().find(|(number, _)| *number == node.0).map(|(_, snapshot)| snapshot.clone())
    }

    /// The kernel has no more use for it.
    pub(super) fn forget(&self, node: NodeId) {
        if Self::is_one(node) {
            self.kept().retain(|(number, _)| *number != node.0);
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(u64, Snapshot)>> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use vhdmount::bytes::MemorySource;

    use super::*;

    #[test]
    fn snapshots_are_kept_until_forgotten_or_pushed_out() {
        let snapshots = Snapshots::default();
        let insert = |len: usize| {
            let source = Arc::new(MemorySource(vec![0; len]));
            snapshots.insert(Snapshot { of: NodeId(2), source })
        };
        let size = |node| snapshots.get(node).map(|snapshot: Snapshot| snapshot.source.size());
        let nodes: Vec<NodeId> = (0..MAX_KEPT + 2).map(insert).collect();
        assert_eq!((size(nodes[1]), size(nodes[2]), size(nodes[257])), (None, Some(2), Some(257)));
        assert!(
            nodes.iter().all(|node| Snapshots::is_one(*node))
                && !Snapshots::is_one(NodeId(NodeId::ADAPTER - 1))
        );
        snapshots.forget(nodes[2]);
        assert_eq!((size(nodes[2]), size(nodes[3])), (None, Some(3)));
        // One that exceeds the budget alone is read all the same.
        let large = insert(9 << 20);
        assert_eq!((size(nodes[257]), size(large)), (None, Some(9 << 20)));
    }
}
