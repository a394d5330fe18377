//! Cells: what hive bins are divided into. Guards: a cell lies inside the hive bins; what is read in all is bounded by the size of the
//! hive, however often its structures refer to the same cell.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::format;
use crate::{Error, Place, Result, bytes::ByteSource};

/// Longest cell read, in bytes. Windows bounds no value, but programs keep them far below this.
pub(super) const MAX_CELL: u32 = 64 << 20;
/// Total bytes that are read of every hive, and how often a hive's own size beyond that.
const MAX_READ: u64 = 32 << 20;
const READ_FACTOR: u64 = 4;
/// Cells that are read of every hive, as small reads take time too; and bytes of the hive for which one more is read: half the size of the
/// smallest cell.
const MAX_CELLS: u64 = 1 << 19;
const BYTES_PER_CELL: u64 = 4;
/// Bytes read at once: most cells are shorter.
const FIRST_READ: usize = 128;
/// Least length of a cell.
const LEAST: u32 = 8;

/// The cells of a hive.
pub(super) struct Cells {
    pub(super) source: Arc<dyn ByteSource>,
    /// Length of the hive bins in bytes.
    pub(super) bins: u64,
    /// Bytes before a cell's content.
    header: u32,
    /// Bytes that are stored, in the hive and its logs: the measure of the work. A log may claim hive bins far beyond them.
    stored: u64,
    read: AtomicU64,
    count: AtomicU64,
}

/// Which cells are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    InUse,
    /// Free ones as well: what they held is still there, or was overwritten.
    Any,
}

impl Cells {
    pub(super) fn new(source: Arc<dyn ByteSource>, bins: u64, minor: u32, stored: u64) -> Self {
        let header = if minor <= format::LAST_MINOR_WITH_BACK_LINKS { 8 } else { 4 };
        Self {
            source,
            bins,
            header,
            stored: stored.min(bins),
            read: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    /// The content of the cell in use at `at`.
    pub(super) fn get(&self, at: u32) -> Result<Vec<u8>> {
        self.get_in(at, State::InUse)
    }

    pub(super) fn get_in(&self, at: u32, state: State) -> Result<Vec<u8>> {
        let left = self.bins.saturating_sub(at.into());
        if at == format::NONE || left < LEAST.into() {
            return Err(corrupt(at, "no cell: beyond the end of the hive"));
        }
        self.count(1, at)?;
        let place = format::BASE_BLOCK + u64::from(at);
        let mut bytes = vec![0; FIRST_READ.min(usize::try_from(left).unwrap_or(FIRST_READ))];
        self.source.read_exact_at(place, &mut bytes)?;
        let size = bytes.first_chunk().map_or(0, |size| i32::from_le_bytes(*size));
        let len = size.unsigned_abs();
        let accepted = size < 0 || state == State::Any;
        if !accepted || len < LEAST || u64::from(len) > left || len > MAX_CELL {
            return Err(corrupt(at, format!("no cell in use: size {size}, {left} bytes are left")));
        }
        charge(&self.read, len.into(), MAX_READ + READ_FACTOR * self.stored, at)?;
        let have = bytes.len();
        bytes.resize(usize::try_from(len).expect("at most 64 MiB"), 0);
        if bytes.len() > have {
            self.source.read_exact_at(place + have as u64, &mut bytes[have..])?;
        }
        bytes.drain(..(self.header as usize).min(bytes.len()));
        Ok(bytes)
    }

    /// Counts work that reads no whole cell.
    pub(super) fn count(&self, cells: u64, at: u32) -> Result<()> {
        charge(&self.count, cells, MAX_CELLS + self.stored / BYTES_PER_CELL, at)
    }

    /// Cells and bytes that were read.
    #[cfg(test)]
    pub(super) fn work(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed))
    }
}

/// Adds `cost` to what was spent, unless that exceeds `most`.
fn charge(spent: &AtomicU64, cost: u64, most: u64, at: u32) -> Result<()> {
    let charged = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
        spent.checked_add(cost).filter(|sum| *sum <= most)
    });
    let problem = "its cells are named again and again: no more of it is read";
    charged.map(drop).map_err(|_| corrupt(at, problem))
}

pub(super) fn corrupt(at: u32, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt("registry hive", Place::Byte(format::BASE_BLOCK + u64::from(at)), problem)
}
