//! The log as a writer goes around in it (MS-VHDX 2.3): which entries a replay needs, and where the next one goes.
//!
//! An entry may be forgotten, and its place written over, when its pages are in their places and flushed, *and* a later entry that
//! names a younger tail is durable. [`Log::flushed`] and [`Log::placed`] keep count of that.
//!
//! qemu replays more than what is between tail and head: every entry before that from which numbers go on, and one more whatever its
//! number. So that this is never more than a replay may apply, the tail moves only from the first entry of a run to the first one of the
//! next, when everything before that is in place; and a run begins with a sector of zeros and a number that is skipped.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::{
    super::format::{LOG_SECTOR, MIB},
    entry::{self, Stated},
    pages::{PAGE, Page},
};
use crate::{Result, bytes::Backing, guid::Guid};

/// The least of a log that is used: room for what a single write changes, and an empty entry.
const MIN_LIMIT: u64 = 128 << 10;
/// The most: beyond that, what waits in memory for a flush would be large.
const MAX_LIMIT: u64 = 16 * MIB;
/// Pages that one sector of descriptors describes: qemu reads no entry that has more than one.
const MAX_PAGES: usize = 126;

/// The log of a session.
pub(super) struct Log {
    place: Range<u64>,
    /// Most bytes in use.
    limit: u64,
    pub(super) guid: Guid,
    /// Where the next entry begins, from the log's beginning on.
    head: u64,
    /// The last entry's number.
    last: u64,
    /// The number of the entry that the last one names as the tail.
    first: u64,
    /// What a replay needs, tail first.
    entries: VecDeque<Live>,
    /// The last entry that is durable, whose pages are in place, and whose pages are flushed there.
    durable: u64,
    placed: u64,
    settled: u64,
}

struct Live {
    number: u64,
    at: u64,
    /// With the sector of zeros before it.
    length: u64,
    /// The number of the entry that it names as the tail.
    tail: u64,
}

impl Log {
    /// An empty log in this place of the file. `limit`: most bytes to use.
    pub(super) fn new(place: Range<u64>, limit: Option<u64>) -> Self {
        let length = place.end - place.start;
        Self {
            // qemu searches for ever where less than two sectors lie between the newest and the oldest entry.
            limit: limit.unwrap_or(length).clamp(MIN_LIMIT, MAX_LIMIT).min(length - 2 * PAGE),
            place,
            guid: Guid::random(),
            head: 0,
            last: 0,
            first: 0,
            entries: VecDeque::new(),
            durable: 0,
            placed: 0,
            settled: 0,
        }
    }

    /// Most pages of an entry.
    pub(super) fn capacity(&self) -> usize {
        // Room for the empty entry that lets the tail pass all others, for the one that was written last, and for the sectors of zeros.
        let sectors = self.limit / PAGE - 5;
        let pages = usize::try_from(sectors - 1).expect("16 MiB at most");
        pages.min(MAX_PAGES)
    }

    /// Most pages of an entry that is the only one. `few`: one that qemu reads as well.
    pub(super) fn capacity_at_end(&self, few: bool) -> usize {
        // Without the sector of zeros before it, the two that stay free, and the header's.
        let sectors = self.limit.min(self.place.end - self.place.start - 2 * PAGE) / PAGE - 2;
        // A sector describes 128 pages, the first one two less.
        let pages = usize::try_from((128 * sectors - 2) / 129).expect("16 MiB at most");
        if few { pages.min(MAX_PAGES) } else { pages }
    }

    /// True when an entry of so many pages can be written now.
    pub(super) fn has_room(&self, pages: usize) -> bool {
        let reserve = if pages == 0 { 0 } else { 2 * PAGE };
        self.used() + PAGE + entry::length(pages) + reserve <= self.limit
    }

    /// True when the tail had better move soon, and what is in place is not flushed there.
    pub(super) fn is_half_full(&self) -> bool {
        self.used() > self.limit / 2 && self.settled < self.last
    }

    fn used(&self) -> u64 {
        self.entries.iter().map(|entry| entry.length).sum()
    }

    /// Writes an entry; it is durable after the next flush. The caller has seen to it that there is room. Returns its number.
    pub(super) fn append(
        &mut self,
        file: &dyn Backing,
        pages: &BTreeMap<u64, Box<Page>>,
        flushed_len: u64,
    ) -> Result<u64> {
        let length = self.place.end - self.place.start;
        let first = self.entries.iter().find(|entry| entry.number == self.first);
        let (number, tail, at, tail_at) = match first {
            Some(first) if self.settled < self.last => (self.last + 1, first.number, self.head, first.at),
            _ => {
                let at = (self.head + PAGE) % length;
                (self.last + 2, self.last + 2, at, at)
            }
        };
        self.first = tail;
        let stated = Stated {
            log_guid: self.guid,
            sequence_number: number,
            tail: tail_at,
            flushed_file_offset: flushed_len,
            last_file_offset: file.size(),
        };
        let mut bytes = vec![0; if at == self.head { 0 } else { LOG_SECTOR }];
        bytes.append(&mut entry::encode(&stated, pages));
        let before_end =
            usize::try_from(length - self.head).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        let (here, wrapped) = bytes.split_at(before_end);
        file.write_all_at(self.place.start + self.head, here)?;
        if !wrapped.is_empty() {
            file.write_all_at(self.place.start, wrapped)?;
        }
        self.entries.push_back(Live { number, at, length: bytes.len() as u64, tail });
        self.head = (self.head + bytes.len() as u64) % length;
        self.last = number;
        Ok(number)
    }

    /// The file was flushed: what was written before is durable. Returns the number below which the log has no entry any more.
    pub(super) fn flushed(&mut self) -> u64 {
        self.settled = self.placed;
        self.durable = self.last;
        if let Some(tail) = self.entries.back().map(|entry| entry.tail) {
            while self.entries.front().is_some_and(|entry| entry.number < tail) {
                self.entries.pop_front();
            }
        }
        self.entries.front().map_or(0, |entry| entry.number)
    }

    /// The pages of every entry that is durable were written in their places.
    pub(super) fn placed(&mut self) {
        self.placed = self.durable;
    }

    /// True when there are entries that no flush covers.
    pub(super) fn has_unflushed(&self) -> bool {
        self.durable < self.last
    }
}
