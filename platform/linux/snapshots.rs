//! Snapshots of files whose content is generated at each open (`.capacity`). The kernel opens without a request and
//! caches the content, so each lookup of such a name returns a new node whose content never changes. A reader that holds
//! one sees it unchanged; a later lookup returns the next one.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use vhdmount::{bytes::ByteSource, fs::NodeId};

/// Bit set in a snapshot's node number, which lies above those of all volumes.
const SPACE: u64 = NodeId::ADAPTER;

/// How long a name leads to the same snapshot: cp and others stat a name, open it, and fail if the two are not the same
/// file.
pub(super) const TTL: Duration = Duration::from_millis(300);

/// Most snapshots kept, and their memory: each is a few KiB, usually read right after the lookup.
const MAX_KEPT: usize = 256;
const BUDGET: u64 = 8 << 20;

/// The content of a file at the time of its lookup.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The node that the snapshot was taken of.
    pub(super) of: NodeId,
    pub(super) source: Arc<dyn ByteSource>,
}

/// The latest snapshots, within a limit.
#[derive(Default)]
pub(super) struct Snapshots {
    next: AtomicU64,
    /// Snapshots by number, oldest first.
    kept: Mutex<VecDeque<(u64, Snapshot)>>,
}

impl Snapshots {
    /// Keeps a snapshot and evicts the oldest.
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

    /// True for the number of a snapshot, evicted or not.
    pub(super) fn is_one(node: NodeId) -> bool {
        node.0 & SPACE == SPACE
    }

    /// The snapshot of this number; `None` for an evicted one.
    pub(super) fn get(&self, node: NodeId) -> Option<Snapshot> {
        self.kept().iter().find(|(number, _)| *number == node.0).map(|(_, snapshot)| snapshot.clone())
    }

    /// Drops a snapshot that the kernel has forgotten.
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
        // A snapshot larger than the budget is readable all the same.
        let large = insert(9 << 20);
        assert_eq!((size(nodes[257]), size(large)), (None, Some(9 << 20)));
    }
}
