//! The decoder threads, one per core, started on first use. Guards: the order queue and the memory of decoded pieces are
//! bounded whatever the number of readers; the threads end when their last user is dropped.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    MAX_PIECE,
    permit::Permit,
    piece::{Claim, Piece},
};
use crate::bytes::BufferPool;

/// Memory budget for decoded pieces that are not read yet, shared by all files.
const AHEAD_BUDGET: usize = 16 << 20;
const MAX_PIECES: usize = AHEAD_BUDGET / MAX_PIECE;
/// Upper bound of decoder threads: more would find no work within the budget.
const MAX_THREADS: usize = 32;
/// Minimum and maximum read-ahead of one reader, in pieces: at least two kernel requests, at most a quarter of the budget.
const LEAD: [usize; 2] = [16, MAX_PIECES / 4];
/// Bound of the order queue; it includes orders that readers have fulfilled by themselves.
const MAX_ORDERS: usize = 4 * MAX_PIECES;

/// The decoder threads, shared by all files of an image.
pub struct Decoders {
    shared: Arc<Shared>,
    threads: OnceLock<Vec<JoinHandle<()>>>,
    wanted: usize,
}

struct Shared {
    orders: Mutex<Orders>,
    ordered: Condvar,
    /// Number of permits in use.
    pieces: Arc<AtomicUsize>,
    /// Number of reads in progress.
    readers: AtomicUsize,
    buffers: Arc<BufferPool>,
}

#[derive(Default)]
struct Orders {
    waiting: VecDeque<Weak<Piece>>,
    /// Every piece that may still hold memory, oldest first.
    given: VecDeque<Weak<Piece>>,
    stop: bool,
}

/// A read in progress.
pub(super) struct Reader<'d> {
    decoders: &'d Decoders,
    /// True if, with this one, fewer reads are in progress than there are threads: idle threads can help it.
    pub(super) has_help: bool,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.decoders.shared.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Decoders {
    fn default() -> Self {
        // Asked once: it reads several files of the system.
        static CORES: OnceLock<usize> = OnceLock::new();
        Self::new(*CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from)))
    }
}

impl fmt::Debug for Decoders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoders({})", self.wanted)
    }
}

impl Decoders {
    /// Creates the pool without starting threads: at most `threads`. With a single one nothing is decoded ahead.
    pub fn new(threads: usize) -> Self {
        let shared = Shared {
            orders: Mutex::default(),
            ordered: Condvar::new(),
            pieces: Arc::default(),
            readers: AtomicUsize::new(0),
            buffers: BufferPool::new(MAX_PIECE),
        };
        Self { shared: Arc::new(shared), threads: OnceLock::new(), wanted: threads.min(MAX_THREADS) }
    }

    /// True if decoding in parallel is possible: more than one thread.
    pub(super) fn are_several(&self) -> bool {
        self.wanted > 1
    }

    /// Counts a reader. With as many readers as threads, each decodes for itself: handing over would only cost time.
    pub(super) fn reader(&self) -> Reader<'_> {
        let others = self.shared.readers.fetch_add(1, Ordering::Relaxed);
        Reader { decoders: self, has_help: others + 1 < self.wanted }
    }

    /// Bytes that pieces hold or may hold at this moment, at most the budget.
    pub fn memory(&self) -> usize {
        self.shared.pieces.load(Ordering::Relaxed) * MAX_PIECE
    }

    /// The longest read-ahead of one reader, in pieces.
    pub(super) fn longest_lead(&self) -> u64 {
        (2 * self.wanted).clamp(LEAD[0], LEAD[1]) as u64
    }

    /// Reserves the memory of one more piece, if necessary by dropping stale ones. `None` without threads or when the budget
    /// is used up.
    pub(super) fn permit(&self) -> Option<Permit> {
        if self.running().is_empty() {
            return None;
        }
        let take = || {
            let more = |pieces| (pieces < MAX_PIECES).then_some(pieces + 1);
            self.shared.pieces.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
        };
        let taken = take().or_else(|| self.shared.give_up_stale().then(take).flatten());
        taken.map(|_| Permit::taken(&self.shared.pieces))
    }

    /// Queues pieces for the decoder threads; the first `urgent` of them before all others.
    pub(super) fn order(&self, pieces: &[Arc<Piece>], urgent: usize) {
        if pieces.is_empty() {
            return;
        }
        let mut orders = self.shared.orders();
        for piece in pieces[..urgent].iter().rev() {
            orders.waiting.push_front(Arc::downgrade(piece));
        }
        orders.waiting.extend(pieces[urgent..].iter().map(Arc::downgrade));
        // A piece whose order is cut off here is decoded by its reader.
        orders.waiting.truncate(MAX_ORDERS);
        orders.given.extend(pieces.iter().map(Arc::downgrade));
        let passed = if orders.given.len() > MAX_ORDERS { orders.clear_given() } else { Vec::new() };
        drop(orders);
        // Dropping the last reference to a piece may drop its source and these threads: not under the lock.
        drop(passed);
        match pieces.len() {
            1 => self.shared.ordered.notify_one(),
            _ => self.shared.ordered.notify_all(),
        }
    }

    /// Decodes a piece on the caller's thread.
    pub(super) fn decode(&self, claim: Claim<'_>) {
        claim.decode(&self.shared.buffers);
    }

    /// The threads, started on the first call; fewer, perhaps none, where the host refuses to create them.
    fn running(&self) -> &[JoinHandle<()>] {
        self.threads.get_or_init(|| {
            let start = |number| {
                let shared = self.shared.clone();
                let thread = thread::Builder::new().name(format!("decoder-{number}"));
                thread.spawn(move || shared.work()).ok()
            };
            (0..self.wanted).map_while(start).collect()
        })
    }
}

#[cfg(test)]
impl Decoders {
    /// True before the threads are started.
    pub(super) fn are_idle(&self) -> bool {
        self.threads.get().is_none()
    }

    /// A weak reference to the permit counter, which is held by the threads, by each piece and by `self`.
    pub(super) fn watch(&self) -> Weak<impl Sized + use<>> {
        Arc::downgrade(&self.shared.pieces)
    }
}

impl Orders {
    /// Removes pieces that hold no permit from the list; few remain. Returns all living pieces, for the caller to drop.
    fn clear_given(&mut self) -> Vec<Arc<Piece>> {
        let alive: Vec<Arc<Piece>> = self.given.iter().filter_map(Weak::upgrade).collect();
        self.given = alive.iter().filter(|piece| piece.holds_memory()).map(Arc::downgrade).collect();
        alive
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        // A panic while the lock was held can only lose an order.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of a decoder thread; returns once `stop` is set.
    fn work(&self) {
        loop {
            let mut orders = self.orders();
            let piece = loop {
                if orders.stop {
                    return;
                }
                match orders.waiting.pop_front() {
                    // A dead reference: the file was closed, or the reader has passed the piece.
                    Some(piece) => match piece.upgrade() {
                        Some(piece) => break piece,
                        None => continue,
                    },
                    None => orders = self.ordered.wait(orders).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(orders);
            if let Some(claim) = piece.claim() {
                claim.decode(&self.buffers);
            }
        }
    }

    /// Drops the oldest pieces that no reader has claimed or read in time; false when none is stale.
    fn give_up_stale(&self) -> bool {
        // Collected before any is dropped, to release the lock: dropping a piece may drop its source, which takes time.
        let oldest: Vec<Arc<Piece>> =
            self.orders().given.iter().filter_map(Weak::upgrade).take(MAX_PIECES).collect();
        oldest.iter().filter(|piece| piece.give_up_stale()).count() > 0
    }
}

impl Drop for Decoders {
    fn drop(&mut self) {
        self.shared.orders().stop = true;
        self.shared.ordered.notify_all();
        let here = thread::current().id();
        for thread in self.threads.take().into_iter().flatten() {
            // A decoder thread may hold the last reference, in a piece that it has just finished: it does not join itself.
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}
