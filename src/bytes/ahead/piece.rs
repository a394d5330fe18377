//! A piece of decoded content and its states: ordered, running, ready, nothing. Guards: exactly one thread decodes a piece,
//! and a claimed piece always leaves the running state, decoded or failed, even if its thread panics.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::permit::Permit;
use crate::bytes::{Buffer, BufferPool, ByteSource};

/// A piece that is unread for this long belongs to a reader that has stopped.
const STALE: Duration = Duration::from_secs(1);

/// A piece and its state.
pub(super) struct Piece {
    source: Arc<dyn ByteSource>,
    range: Range<u64>,
    since: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Ordered(Permit),
    Running,
    Ready(Buffer, #[expect(dead_code, reason = "given back when dropped")] Permit),
    /// Failed, read directly, or dropped as stale: the reader reads the source itself.
    Nothing,
}

/// The result of a look at a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The piece is decoded: the wanted bytes are in the buffer.
    All,
    /// The piece has no bytes: the reader reads the source itself.
    Nothing,
    /// Another thread is decoding it.
    Running,
}

/// The exclusive right to decode a piece. A claim that is dropped leaves the piece empty.
pub(super) struct Claim<'p> {
    piece: &'p Piece,
    permit: Option<Permit>,
}

impl Piece {
    /// An ordered piece: the bytes `range` of `source`.
    pub(super) fn new(source: Arc<dyn ByteSource>, range: Range<u64>, permit: Permit) -> Self {
        let state = Mutex::new(State::Ordered(permit));
        Self { source, range, since: Instant::now(), state, changed: Condvar::new() }
    }

    /// The byte range in the source.
    pub(super) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each state is replaced as a whole: a poisoned lock holds a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, state: State) {
        let old = std::mem::replace(&mut *self.state(), state);
        self.changed.notify_all();
        drop(old);
    }

    /// Claims an ordered piece for decoding; `None` if it is claimed already.
    pub(super) fn claim(&self) -> Option<Claim<'_>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Running) {
            State::Ordered(permit) => Some(Claim { piece: self, permit: Some(permit) }),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Fills `buf` from byte `from` of the source on, if the piece is decoded.
    pub(super) fn look(&self, from: u64, buf: &mut [u8]) -> Seen {
        self.copy(&self.state(), from, buf)
    }

    /// As [`Self::look`], but waits first while another thread is decoding the piece.
    pub(super) fn wait(&self, from: u64, buf: &mut [u8]) -> Seen {
        let state = self.state();
        let ended = self.changed.wait_while(state, |state| matches!(state, State::Running));
        self.copy(&ended.unwrap_or_else(PoisonError::into_inner), from, buf)
    }

    fn copy(&self, state: &State, from: u64, buf: &mut [u8]) -> Seen {
        match state {
            State::Ready(bytes, _) => {
                let skip = usize::try_from(from - self.range.start).expect("a piece is in memory");
                buf.copy_from_slice(&bytes[skip..skip + buf.len()]);
                Seen::All
            }
            State::Running => Seen::Running,
            State::Ordered(_) | State::Nothing => Seen::Nothing,
        }
    }

    /// True while the piece takes a part of the budget.
    pub(super) fn holds_memory(&self) -> bool {
        !matches!(*self.state(), State::Nothing)
    }

    /// Drops the piece if it is stale and not being decoded; true if that freed memory.
    pub(super) fn give_up_stale(&self) -> bool {
        let mut state = self.state();
        let idle = matches!(*state, State::Ordered(_) | State::Ready(..));
        let stale = idle && self.since.elapsed() >= STALE;
        if stale {
            *state = State::Nothing;
        }
        stale
    }
}

impl Claim<'_> {
    /// Decodes the piece. An error or panic leaves it empty: its reader then reads the source and gets the error.
    pub(super) fn decode(mut self, buffers: &Arc<BufferPool>) {
        let piece = self.piece;
        let len = usize::try_from(piece.range.end - piece.range.start).expect("at most MAX_PIECE");
        let mut bytes = buffers.take(len);
        let read =
            catch_unwind(AssertUnwindSafe(|| piece.source.read_exact_at(piece.range.start, &mut bytes)));
        if let (Ok(Ok(())), Some(permit)) = (read, self.permit.take()) {
            piece.end(State::Ready(bytes, permit));
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.piece.state();
        if matches!(*state, State::Running) {
            *state = State::Nothing;
            drop(state);
            self.piece.changed.notify_all();
        }
    }
}
