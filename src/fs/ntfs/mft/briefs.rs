//! [`Brief`]s of the table's records: made of a whole piece when it is read, and for a listing of many pieces at once,
//! in the table's order. Guards: one read is never larger than [`RUN`], whatever a listing names; a run that cannot be
//! read is left to whoever asks for its records one by one.

use std::{ops::Range, sync::Arc};

use super::{Mft, PIECE};
use crate::{
    bytes::{Buffer, ByteSource},
    fs::ntfs::{brief::Brief, record::Record},
};

/// Neighbouring pieces are read together up to this size.
pub(super) const RUN: usize = 256 << 10;
/// A listing by name wants most pieces sooner or later: one that lies between two wanted ones is read with them.
const MAX_GAP: u64 = 1;

impl Mft {
    /// What `stat` says of a plain file, if that is known without reading more than its piece of the table.
    pub(in super::super) fn brief(&self, number: u64) -> Option<Brief> {
        if self.freed || number >= self.records {
            return None;
        }
        let (index, within) = self.split(number);
        let briefs = match self.briefs.get(&index) {
            Some(briefs) => briefs,
            None if self.is_alone(index, number) => return None,
            None => {
                let piece = self.pieces.get_or_load(index, || self.load(index)).ok()?;
                self.keep_briefs(index, &piece.bytes, 0..piece.bytes.len(), piece.damaged)
            }
        };
        briefs.get(within).copied()?.known()
    }

    /// As [`Self::brief`], if that is in memory.
    pub(in super::super) fn known_brief(&self, number: u64) -> Option<Brief> {
        let (index, within) = self.split(number);
        self.briefs.get(&index)?.get(within).copied()?.known()
    }

    /// Reads what is not known yet of these records, for a listing that will ask for all of them: the pieces of which it
    /// wants several now, or sooner or later by the number of its `entries`. Where the others are is told to the host.
    pub(in super::super) fn expect(&self, records: &[u64], entries: u64) {
        let per_piece = PIECE / self.boot.record_size;
        let dense = entries.saturating_mul(per_piece) >= self.records;
        let inside = |record: &&u64| **record < self.records && !self.freed;
        let mut records: Vec<u64> = records.iter().filter(inside).copied().collect();
        records.sort_unstable();
        records.dedup();
        let mut wanted = Vec::new();
        for of_piece in records.chunk_by(|a, b| a / per_piece == b / per_piece) {
            let index = of_piece[0] / per_piece;
            if self.briefs.get(&index).is_some() {
                continue;
            }
            match of_piece {
                [record] if !dense => {
                    self.data.will_need(record * self.boot.record_size, self.boot.record_size);
                }
                _ => wanted.push(index),
            }
        }
        let most = RUN as u64 / PIECE;
        let mut rest = &wanted[..];
        while let [first, ..] = *rest {
            let joined = |pair: &&[u64]| pair[1] - pair[0] <= 1 + MAX_GAP && pair[1] - first < most;
            let count = 1 + rest.windows(2).take_while(joined).count();
            self.load_run(first..rest[count - 1] + 1);
            rest = &rest[count..];
        }
    }

    fn load_run(&self, pieces: Range<u64>) {
        let start = pieces.start * PIECE;
        let len = (pieces.end * PIECE).min(self.records * self.boot.record_size) - start;
        let mut bytes = self.run_buffers.take(usize::try_from(len).expect("at most RUN"));
        if self.data.read_exact_at(start, &mut bytes).is_err() {
            return;
        }
        let size = usize::try_from(PIECE).expect("a constant");
        let damaged: Vec<u128> = bytes.chunks_mut(size).map(|piece| self.fix(piece)).collect();
        let bytes = Arc::new(bytes);
        for (index, (place, damaged)) in pieces.zip((0..bytes.len()).step_by(size).zip(damaged)) {
            self.keep_briefs(index, &bytes, place..(place + size).min(bytes.len()), damaged);
        }
    }

    /// Of the piece that lies at `place` of `bytes`, its fixups applied but for the damaged records.
    fn keep_briefs(
        &self,
        index: u64,
        bytes: &Arc<Buffer>,
        place: Range<usize>,
        damaged: u128,
    ) -> Arc<[Brief]> {
        let first = index * (PIECE / self.boot.record_size);
        let records = place.step_by(self.record_size).zip(first..).enumerate();
        let briefs = records.map(|(within, (start, number))| {
            let intact = damaged >> within & 1 == 0;
            let record = || Record::new(bytes.clone(), start, self.record_size, number, self.freed).ok()?;
            intact.then(record).flatten().and_then(|record| Brief::of(self, record)).unwrap_or_default()
        });
        let briefs: Arc<[Brief]> = briefs.collect();
        self.briefs.put(index, briefs.clone(), size_of_val(&*briefs));
        briefs
    }
}
