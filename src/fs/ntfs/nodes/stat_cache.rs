//! The cache of [`StatRecord`]s: filled with a whole piece of the table when that is read, and for a listing with many
//! pieces at once, in table order. Guards: no read is larger than [`RUN`], whatever a listing names; if a run cannot be
//! read, its records are read one by one when they are used.

use std::{ops::Range, sync::Arc};

use super::stat_record::StatRecord;
use crate::{
    bytes::{BufferPool, ByteSource},
    cache::Cache,
    fs::{
        Context,
        ntfs::records::mft::{Mft, PIECE, Whole},
    },
};

/// Cache budget: 230,000 records.
const BUDGET: usize = 16 << 20;
/// Maximum length of one read of neighbouring pieces.
const RUN: usize = 256 << 10;
/// A listing by name uses most pieces sooner or later: an unwanted piece between two wanted ones is read with them.
const MAX_GAP: u64 = 1;

/// The stat records of each recently read piece; empty for the table of freed records.
pub(in super::super) struct StatCache {
    mft: Arc<Mft>,
    pieces: Cache<u64, Arc<[StatRecord]>>,
    /// Buffers for reads of several pieces.
    buffers: Arc<BufferPool>,
}

/// The cached records only. Neighbouring entries often name records of one piece, which is looked up once.
pub(in super::super) struct Known<'a> {
    cache: &'a StatCache,
    last: Option<(u64, Arc<[StatRecord]>)>,
}

impl Known<'_> {
    /// As [`StatCache::record`], from memory only.
    pub(in super::super) fn record(&mut self, number: u64) -> Option<StatRecord> {
        let (index, within) = self.cache.mft.split(number);
        if self.last.as_ref().is_none_or(|(last, _)| *last != index) {
            self.last = Some((index, self.cache.pieces.get(&index)?));
        }
        self.last.as_ref()?.1.get(within).copied()?.known()
    }
}

impl StatCache {
    pub(in super::super) fn new(mft: Arc<Mft>, context: &Context) -> Self {
        let budget = if mft.freed { 0 } else { context.share(BUDGET) };
        Self { mft, pieces: Cache::new(budget), buffers: BufferPool::new(RUN) }
    }

    /// The stat record of a plain file, if no more than its piece of the table has to be read for it.
    pub(in super::super) fn record(&self, number: u64) -> Option<StatRecord> {
        let mft = &self.mft;
        if mft.freed || number >= mft.records() {
            return None;
        }
        let (index, within) = mft.split(number);
        let records = match self.pieces.get(&index) {
            Some(records) => records,
            None if mft.is_alone(index, number) => return None,
            None => self.keep(&mft.whole(index).ok()?),
        };
        records.get(within).copied()?.known()
    }

    /// The cached records, for a listing.
    pub(in super::super) fn known(&self) -> Known<'_> {
        Known { cache: self, last: None }
    }

    /// Reads the missing ones of these records ahead, for a listing that will use all of them: whole pieces if several of
    /// their records are wanted, or will be by the number of the listing's `entries`. For single records the host gets a
    /// hint.
    pub(in super::super) fn expect(&self, records: &[u64], entries: u64) {
        let mft = &self.mft;
        let size = mft.boot.record_size;
        let per_piece = PIECE / size;
        let dense = entries.saturating_mul(per_piece) >= mft.records();
        let inside = |record: &&u64| **record < mft.records() && !mft.freed;
        let mut records: Vec<u64> = records.iter().filter(inside).copied().collect();
        records.sort_unstable();
        records.dedup();
        let mut wanted = Vec::new();
        for of_piece in records.chunk_by(|a, b| a / per_piece == b / per_piece) {
            let index = of_piece[0] / per_piece;
            if self.pieces.get(&index).is_some() {
                continue;
            }
            match of_piece {
                [record] if !dense => mft.data().will_need(record * size, size),
                _ => wanted.push(index),
            }
        }
        let most = RUN as u64 / PIECE;
        let mut rest = &wanted[..];
        while let [first, ..] = *rest {
            let joined = |pair: &&[u64]| pair[1] - pair[0] <= 1 + MAX_GAP && pair[1] - first < most;
            let count = 1 + rest.windows(2).take_while(joined).count();
            self.read_run(first..rest[count - 1] + 1);
            rest = &rest[count..];
        }
    }

    fn read_run(&self, pieces: Range<u64>) {
        for piece in self.mft.read_run(pieces, &self.buffers).iter().flatten() {
            self.keep(piece);
        }
    }

    fn keep(&self, piece: &Whole) -> Arc<[StatRecord]> {
        let records = self.mft.records_of(piece);
        let records: Arc<[StatRecord]> =
            records.map(|record| StatRecord::of(&self.mft, record?)).map(Option::unwrap_or_default).collect();
        self.pieces.put(piece.index, records.clone(), size_of_val(&*records));
        records
    }
}
