//! Decode-ahead: a source whose content is decoded unit by unit (LZNT1, WOF, WIM, deduplication) is read in pieces by
//! several threads. The pieces of one large read are decoded in parallel, and those behind a sequential reader in advance.
//! Small reads at random positions go straight to the source, which caches its last units.
//!
//! Guards: a reader waits only for a piece that a thread is decoding, so a lack of threads or memory costs speed alone. A
//! piece that fails or panics reports no error: its reader reads the source directly and gets the error of its own range.

mod decoders;
mod permit;
mod piece;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::decoders::Decoders;
use self::piece::{Piece, Seen};
use super::{
    ByteSource, Extent, Wrapper, check_range,
    sequence::{self, MAX_DISTANCE},
};
use crate::Result;

/// Maximum length of a piece: each takes a buffer of this size.
const MAX_PIECE: usize = 128 << 10;
/// Longer reads are served in parts of this length, so that the next part is decoded meanwhile.
const STRIDE: usize = 1 << 20;
/// Sequential reads before decode-ahead begins.
const SEQUENCE: u32 = 2;

/// A decoding source that several threads read.
pub struct DecodeAhead {
    inner: Arc<dyn ByteSource>,
    decoders: Arc<Decoders>,
    /// Bytes of content in a piece.
    piece: u64,
    window: Mutex<Window>,
}

/// The state of the sequential reader, and the pieces that are decoded for it.
#[derive(Default)]
struct Window {
    /// End of the furthest read of the sequence: where a sequential reader continues.
    next: u64,
    /// Number of consecutive sequential reads.
    streak: u32,
    /// Pieces by their number.
    pieces: BTreeMap<u64, Arc<Piece>>,
}

/// A part of a read within one piece: its range in the source, and the piece if one is ordered or decoded.
struct Part {
    range: Range<u64>,
    piece: Option<Arc<Piece>>,
}

impl DecodeAhead {
    /// Wraps `inner` in pieces of about `piece` bytes (at most 128 KiB), each of whole `unit`s: the bytes that are decoded
    /// together. Returns `inner` itself where nothing can run in parallel: one core, one piece, or units larger than a
    /// piece.
    pub fn over(
        inner: Arc<dyn ByteSource>,
        unit: u64,
        piece: u64,
        decoders: &Arc<Decoders>,
    ) -> Arc<dyn ByteSource> {
        let (unit, longest) = (unit.max(1), MAX_PIECE as u64);
        let piece = (piece.min(longest) / unit).max(1).saturating_mul(unit);
        if piece > longest || inner.size() <= piece || !decoders.are_several() {
            return inner;
        }
        Arc::new(Self { inner, decoders: decoders.clone(), piece, window: Mutex::default() })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // A panic while the lock was held can only lose a piece or a count.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Splits a read into parts, with the pieces that are ordered or decoded already, and orders the pieces that follow.
    /// `None` when a direct read of the source is faster.
    fn plan(&self, range: &Range<u64>, has_help: bool) -> Option<Vec<Part>> {
        let (first, last) = (range.start / self.piece, (range.end - 1) / self.piece);
        let mut window = self.window();
        let sequential = window.note(range, self.piece);
        let ahead = if sequential && has_help { window.ahead(self.decoders.longest_lead()) } else { 0 };
        let wide = has_help && range.end - range.start > self.piece;
        if !wide && ahead == 0 && window.pieces.range(first..=last).next().is_none() {
            return None;
        }
        let end = self.inner.size().div_ceil(self.piece);
        // The reader decodes the first piece of the read itself, at once.
        let own = first + 1..=if wide { last } else { first };
        let behind = last + 1..=last.saturating_add(ahead).min(end - 1);
        let mut ordered = Vec::new();
        for number in own.chain(behind) {
            if window.pieces.contains_key(&number) {
                continue;
            }
            let start = number * self.piece;
            let len = self.piece.min(self.inner.size() - start);
            let Some(permit) = self.decoders.permit() else { break };
            let piece = Arc::new(Piece::new(self.inner.clone(), start..start + len, permit));
            window.pieces.insert(number, piece.clone());
            ordered.push(piece);
        }
        let parts = (first..=last).map(|number| {
            let whole = number * self.piece..(number + 1) * self.piece;
            let range = whole.start.max(range.start)..whole.end.min(range.end);
            Part { range, piece: window.pieces.get(&number).cloned() }
        });
        let parts: Vec<Part> = parts.collect();
        drop(window);
        let urgent = ordered.partition_point(|piece| piece.range().start < range.end);
        self.decoders.order(&ordered, urgent);
        // Without any piece, a single read of the whole range is the fastest.
        parts.iter().any(|part| part.piece.is_some()).then_some(parts)
    }

    /// Reads at most [`STRIDE`] bytes.
    fn read_stride(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let reader = self.decoders.reader();
        let Some(parts) = self.plan(&(offset..offset + buf.len() as u64), reader.has_help) else {
            return self.inner.read_exact_at(offset, buf);
        };
        let mut waiting = Vec::new();
        let mut rest = buf;
        let mut result = Ok(());
        for part in &parts {
            let len = usize::try_from(part.range.end - part.range.start).expect("within the buffer");
            let (now, behind) = rest.split_at_mut(len);
            rest = behind;
            match &part.piece {
                // Another thread is decoding it: the other parts are read first.
                Some(piece) if !self.begin(part, piece, now, &mut result) => {
                    waiting.push((part, piece, now));
                }
                Some(_) => {}
                None => keep_first(&mut result, self.inner.read_exact_at(part.range.start, now)),
            }
        }
        for (part, piece, buf) in waiting {
            if piece.wait(part.range.start, buf) == Seen::Nothing {
                keep_first(&mut result, self.inner.read_exact_at(part.range.start, buf));
            }
        }
        self.window().forget(&parts);
        result
    }

    /// Reads a part without waiting; false when another thread is decoding its piece.
    fn begin(&self, part: &Part, piece: &Piece, buf: &mut [u8], result: &mut Result<()>) -> bool {
        match piece.claim() {
            // The read covers the whole piece: it is decoded straight into the caller's buffer.
            Some(claim) if part.range == piece.range() => {
                keep_first(result, self.inner.read_exact_at(part.range.start, buf));
                drop(claim);
                true
            }
            claim => {
                if let Some(claim) = claim {
                    self.decoders.decode(claim);
                }
                match piece.look(part.range.start, buf) {
                    Seen::All => true,
                    Seen::Nothing => {
                        keep_first(result, self.inner.read_exact_at(part.range.start, buf));
                        true
                    }
                    Seen::Running => false,
                }
            }
        }
    }
}

impl Window {
    /// Records a read; true when it continues the sequence.
    fn note(&mut self, range: &Range<u64>, piece: u64) -> bool {
        let sequential = sequence::continues(self.next, range.start, range.end - range.start);
        if sequential {
            self.next = self.next.max(range.end);
            self.streak = self.streak.saturating_add(1);
        } else {
            (self.next, self.streak) = (range.end, 0);
        }
        // Pieces further away belong to no read of this sequence.
        let kept = self.next.saturating_sub(MAX_DISTANCE)..self.next.saturating_add(MAX_DISTANCE);
        self.pieces.retain(|number, _| number * piece < kept.end && (number + 1) * piece > kept.start);
        sequential
    }

    /// How many pieces to decode beyond the read: doubles with each sequential read, up to `longest`.
    fn ahead(&self, longest: u64) -> u64 {
        match self.streak.checked_sub(SEQUENCE) {
            Some(reads) => 2_u64.saturating_pow(reads + 1).min(longest),
            None => 0,
        }
    }

    /// Drops the pieces that have been read to their end.
    fn forget(&mut self, parts: &[Part]) {
        for part in parts {
            let Some(piece) = part.piece.as_ref().filter(|piece| piece.range().end == part.range.end) else {
                continue;
            };
            self.pieces.retain(|_, other| !Arc::ptr_eq(other, piece));
        }
    }
}

fn keep_first(result: &mut Result<()>, next: Result<()>) {
    if result.is_ok() {
        *result = next;
    }
}

impl Wrapper for DecodeAhead {
    fn below(&self) -> &dyn ByteSource {
        &*self.inner
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        (offset..)
            .step_by(STRIDE)
            .zip(buf.chunks_mut(STRIDE))
            .try_for_each(|(at, buf)| self.read_stride(at, buf))
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}
