//! Who may have which part of the disk open. The raw views and the directories of volumes are separate caches of the kernel over the
//! same bytes: while one raw view is open for writing, whatever shows the same bytes in another way cannot be opened.
//!
//! The kernel sends RELEASE after close(2) has returned. So what is in the way of an open is waited for when its descriptors have been
//! closed (FLUSH), and not when they are in use.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Longest wait for a RELEASE, and for a volume to be opened anew: after this the part counts as in use.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a part shows its bytes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As one file.
    Raw,
    /// As the files of its filesystem.
    Volume,
}

/// A part of the mount that shows bytes of the disk.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// `disk`, `p1`
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its bytes of the disk.
    pub(super) range: Range<u64>,
    pub(super) is_writable: bool,
}

/// Something that shows the same bytes is in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// An open file.
struct Handle {
    part: usize,
    writes: bool,
    /// A descriptor of it was closed, most often the only one.
    was_closed: bool,
}

#[derive(Default)]
struct State {
    handles: HashMap<u64, Handle>,
    last: u64,
    parts: Vec<PartState>,
}

#[derive(Default, Clone)]
struct PartState {
    /// Written since the volumes were opened.
    is_written: bool,
    /// It was written through its last handle, and the volumes are being opened anew.
    is_closing: bool,
    /// The kernel may have old bytes of it.
    is_stale: bool,
}

/// What is in the way of an open.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// It ends by itself.
    Ending,
    InUse,
}

/// An opened part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) handle: u64,
    /// What the kernel has of it in its cache is of no use.
    pub(super) is_stale: bool,
}

/// All open files of the parts.
pub(super) struct Claims {
    parts: Vec<Part>,
    state: Mutex<State>,
    changed: Condvar,
    patience: Duration,
}

impl Claims {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Self::with_patience(parts, PATIENCE)
    }

    fn with_patience(parts: Vec<Part>, patience: Duration) -> Self {
        let state = State { parts: vec![PartState::default(); parts.len()], ..State::default() };
        Self { parts, state: Mutex::new(state), changed: Condvar::new(), patience }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<usize> {
        self.parts.iter().position(|part| part.kind == kind && part.name == name)
    }

    /// Opens a file of a part.
    pub(super) fn open(&self, part: usize, writes: bool) -> Result<Opened, Busy> {
        let mut state = self.wait(part, writes)?;
        state.last += 1;
        let handle = state.last;
        state.handles.insert(handle, Handle { part, writes, was_closed: false });
        let is_stale = std::mem::take(&mut state.parts[part].is_stale);
        Ok(Opened { handle, is_stale })
    }

    /// Whether a part can be looked at at all.
    pub(super) fn look(&self, part: usize) -> Result<(), Busy> {
        self.wait(part, false).map(drop)
    }

    /// Returns when the part's handles whose descriptors have been closed have ended, and nothing is being opened anew behind them.
    pub(super) fn wait_for_end(&self, part: usize) {
        let (mut state, end) = (self.state(), Instant::now() + self.patience);
        loop {
            let closed = |handle: &Handle| handle.part == part && handle.was_closed;
            let is_ending = state.parts[part].is_closing || state.handles.values().any(closed);
            let left = end.saturating_duration_since(Instant::now());
            if !is_ending || left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns when nothing is in the way any more.
    fn wait(&self, part: usize, writes: bool) -> Result<MutexGuard<'_, State>, Busy> {
        let mut state = self.state();
        let mut end = None;
        loop {
            match self.obstacle(&state, part, writes) {
                None => return Ok(state),
                Some(Obstacle::InUse) => return Err(Busy),
                Some(Obstacle::Ending) => {
                    let end = *end.get_or_insert_with(|| Instant::now() + self.patience);
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Busy);
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn obstacle(&self, state: &State, part: usize, writes: bool) -> Option<Obstacle> {
        let others =
            |other: usize| other != part && overlap(&self.parts[other].range, &self.parts[part].range);
        let closing = (0..self.parts.len())
            .filter(|other| others(*other) && state.parts[*other].is_closing)
            .map(|_| Obstacle::Ending);
        let held = state.handles.values().filter(|handle| others(handle.part) && (handle.writes || writes));
        let held = held.map(|handle| if handle.was_closed { Obstacle::Ending } else { Obstacle::InUse });
        closing.chain(held).max()
    }

    /// A descriptor of this handle was closed.
    pub(super) fn flushed(&self, handle: u64) {
        if let Some(handle) = self.state().handles.get_mut(&handle) {
            handle.was_closed = true;
        }
        self.changed.notify_all();
    }

    /// The part's bytes have changed: others that show them have old ones in their caches.
    pub(super) fn wrote(&self, part: usize) {
        let mut state = self.state();
        if !state.parts[part].is_written {
            for other in (0..self.parts.len()).filter(|other| *other != part) {
                let shared = overlap(&self.parts[other].range, &self.parts[part].range);
                state.parts[other].is_stale |= shared;
            }
            state.parts[part].is_written = true;
        }
    }

    /// Whether the kernel may hold writes to the part that it has not sent.
    pub(super) fn is_open_for_writing(&self, part: usize) -> bool {
        self.state().handles.values().any(|handle| handle.part == part && handle.writes)
    }

    /// Forgets a handle. Returns the part when it was written and this was its last writer: what shows the same bytes is closed to
    /// all until [`Self::settled`].
    pub(super) fn release(&self, handle: u64) -> Option<usize> {
        let mut state = self.state();
        let Handle { part, writes, .. } = state.handles.remove(&handle)?;
        let others = state.handles.values().any(|handle| handle.part == part && handle.writes);
        let ends = writes && !others && state.parts[part].is_written;
        if ends {
            (state.parts[part].is_closing, state.parts[part].is_written) = (true, false);
        }
        drop(state);
        self.changed.notify_all();
        ends.then_some(part)
    }

    /// The volumes show what was written to the part.
    pub(super) fn settled(&self, part: usize) {
        self.state().parts[part].is_closing = false;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole disk with two volumes.
    fn claims() -> Claims {
        let both = [("disk", 0..100), ("p1", 10..50), ("p2", 50..90)].map(|(name, range)| {
            [Kind::Raw, Kind::Volume].map(|kind| Part {
                name: name.into(),
                kind,
                range: range.clone(),
                is_writable: kind == Kind::Raw,
            })
        });
        Claims::with_patience(both.concat(), Duration::ZERO)
    }

    #[test]
    fn a_part_that_is_written_is_closed_to_what_shows_the_same_bytes() {
        let claims = claims();
        let id = |kind, name| claims.find(kind, name).unwrap();
        let (disk, p1) = (id(Kind::Raw, "disk"), id(Kind::Raw, "p1"));
        let writer = claims.open(p1, true).unwrap();
        assert_eq!(claims.open(disk, false), Err(Busy));
        assert_eq!(claims.look(id(Kind::Volume, "p1")), Err(Busy));
        assert!(claims.open(id(Kind::Volume, "p2"), false).is_ok());
        // The same view has one cache, whoever opens it.
        let reader = claims.open(p1, false).unwrap();
        assert_eq!(claims.release(writer.handle), None, "nothing was written");
        assert!(claims.look(id(Kind::Volume, "p1")).is_ok());
        assert_eq!(claims.release(reader.handle), None);
    }

    #[test]
    fn what_is_open_keeps_writers_out() {
        let claims = claims();
        let id = |kind, name| claims.find(kind, name).unwrap();
        let file = claims.open(id(Kind::Volume, "p1"), false).unwrap();
        assert_eq!(claims.open(id(Kind::Raw, "p1"), true), Err(Busy));
        assert_eq!(claims.open(id(Kind::Raw, "disk"), true), Err(Busy));
        assert!(claims.open(id(Kind::Raw, "disk"), false).is_ok());
        assert!(claims.open(id(Kind::Raw, "p2"), true).is_err(), "disk.raw is being read");
        assert_eq!(claims.release(file.handle), None);
    }

    #[test]
    fn after_a_write_old_bytes_in_other_caches_are_dropped() {
        let claims = claims();
        let id = |kind, name| claims.find(kind, name).unwrap();
        let (disk, p1) = (id(Kind::Raw, "disk"), id(Kind::Raw, "p1"));
        let writer = claims.open(p1, true).unwrap();
        claims.wrote(p1);
        assert_eq!(claims.release(writer.handle), Some(p1));
        assert_eq!(claims.look(id(Kind::Volume, "p1")), Err(Busy), "until it is opened anew");
        claims.settled(p1);
        assert!(claims.look(id(Kind::Volume, "p1")).is_ok());
        assert!(claims.open(disk, false).unwrap().is_stale);
        assert!(!claims.open(disk, false).unwrap().is_stale);
        assert!(!claims.open(p1, false).unwrap().is_stale);
    }

    #[test]
    fn a_file_that_was_closed_is_waited_for() {
        let claims = Claims { patience: PATIENCE, ..claims() };
        let id = |kind, name| claims.find(kind, name).unwrap();
        let (disk, p1) = (id(Kind::Raw, "disk"), id(Kind::Raw, "p1"));
        let writer = claims.open(p1, true).unwrap();
        claims.wrote(p1);
        claims.flushed(writer.handle);
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| claims.open(disk, true).is_ok());
            assert_eq!(claims.release(writer.handle), Some(p1));
            claims.settled(p1);
            assert!(opened.join().unwrap());
        });
    }
}
