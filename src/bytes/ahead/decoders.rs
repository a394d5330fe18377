//! The threads that decode ahead, one for each core, started when something is decoded at all. Guards: orders and the
//! memory of their results are bounded, whatever the number of readers; the threads end with their last user.

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

/// Memory for content that is decoded and not yet read, of all files together.
const AHEAD_BUDGET: usize = 16 << 20;
const MAX_PIECES: usize = AHEAD_BUDGET / MAX_PIECE;
/// More threads than this have nothing to do within the budget.
const MAX_THREADS: usize = 32;
/// Pieces that are decoded for one reader before it asks: at least two requests of a kernel, at most a quarter of all.
const LEAD: [usize; 2] = [16, MAX_PIECES / 4];
/// Orders that wait, those included that their readers have fulfilled by themselves.
const MAX_ORDERS: usize = 4 * MAX_PIECES;

/// Threads that decode, shared by all files of an image.
pub struct Decoders {
    shared: Arc<Shared>,
    threads: OnceLock<Vec<JoinHandle<()>>>,
    wanted: usize,
}

struct Shared {
    orders: Mutex<Orders>,
    ordered: Condvar,
    /// Permits given out.
    pieces: Arc<AtomicUsize>,
    /// Reads at this moment.
    readers: AtomicUsize,
    buffers: Arc<BufferPool>,
}

#[derive(Default)]
struct Orders {
    waiting: VecDeque<Weak<Piece>>,
    /// All that may still hold memory, oldest first.
    given: VecDeque<Weak<Piece>>,
    stop: bool,
}

/// A read that is going on.
pub(super) struct Reader<'d> {
    decoders: &'d Decoders,
    /// A core was idle when it began, as far as readers tell: others can help it.
    pub(super) has_help: bool,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.decoders.shared.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Decoders {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl fmt::Debug for Decoders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoders({})", self.wanted)
    }
}

impl Decoders {
    /// At most `threads`, which are not started yet. With a single one nothing is decoded ahead.
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

    /// Whether there is anything to gain.
    pub(super) fn are_several(&self) -> bool {
        self.wanted > 1
    }

    /// Counts a reader. With as many as there are cores each decodes for itself: handing over would only cost.
    pub(super) fn reader(&self) -> Reader<'_> {
        let others = self.shared.readers.fetch_add(1, Ordering::Relaxed);
        Reader { decoders: self, has_help: others + 1 < self.wanted }
    }

    /// Bytes that pieces hold or may hold at this moment, at most the budget.
    pub fn memory(&self) -> usize {
        self.shared.pieces.load(Ordering::Relaxed) * MAX_PIECE
    }

    /// Pieces that may be decoded before a reader asks for them.
    pub(super) fn longest_lead(&self) -> u64 {
        (2 * self.wanted).clamp(LEAD[0], LEAD[1]) as u64
    }

    /// Room for one more piece, if need be that of one whose reader has stopped.
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

    /// Has pieces decoded; the first `urgent` of them before all others.
    pub(super) fn order(&self, pieces: &[Arc<Piece>], urgent: usize) {
        if pieces.is_empty() {
            return;
        }
        let mut orders = self.shared.orders();
        for piece in pieces[..urgent].iter().rev() {
            orders.waiting.push_front(Arc::downgrade(piece));
        }
        orders.waiting.extend(pieces[urgent..].iter().map(Arc::downgrade));
        // Without an order a piece is decoded by its reader.
        orders.waiting.truncate(MAX_ORDERS);
        orders.given.extend(pieces.iter().map(Arc::downgrade));
        let passed = if orders.given.len() > MAX_ORDERS { orders.clear_given() } else { Vec::new() };
        drop(orders);
        // What goes with the last of its owners may take these threads along: not under the lock.
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

    /// The threads, started by the first who asks; fewer, perhaps none, where the host refuses.
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

    /// Held by the threads, by each piece, and by `self`.
    pub(super) fn watch(&self) -> Weak<impl Sized + use<>> {
        Arc::downgrade(&self.shared.pieces)
    }
}

impl Orders {
    /// Leaves only pieces that hold a permit, of which there are not many. Returns all that were looked at.
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

    /// What each thread does until it is told to stop.
    fn work(&self) {
        loop {
            let mut orders = self.orders();
            let piece = loop {
                if orders.stop {
                    return;
                }
                match orders.waiting.pop_front() {
                    // Of a file that was closed, or of a reader that is ahead of us.
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

    /// Gives up the oldest pieces that nobody came for; false when all are in use.
    fn give_up_stale(&self) -> bool {
        // Taken out of the list first: a piece that goes may take its source along, and that takes time.
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
            // The last user may be a piece that one of the threads has just finished: that one ends by itself.
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}
