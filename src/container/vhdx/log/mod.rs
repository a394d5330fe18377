//! The log (MS-VHDX 2.3): updates of metadata and block table that a crash may have kept from being written in place.
//! They are replayed into memory; the file is not modified.

mod entry;
mod scan;

use std::sync::Arc;

pub(super) use self::entry::Update;
use self::entry::{LogEntry, MAX_FILE_SIZE, Ring};
use super::{
    format::{HEADER_SECTION, LOG_SECTOR, MIB},
    header::Header,
};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Overlay},
    container::LogState,
};

/// Most memory for replayed updates, in bytes. Logs are 1 MiB in practice; 4 GiB would be legal.
const MAX_REPLAY_BYTES: usize = 128 << 20;
/// Memory of an update besides its bytes (map entry, allocation), rounded up.
const UPDATE_COST: usize = 128;

/// The image after replay, and what was replayed.
pub(super) struct Outcome {
    pub(super) source: Arc<dyn ByteSource>,
    /// For [`crate::container::LayerInfo::log`].
    pub(super) log: LogState,
    /// True when the newest entry is incomplete: the crash came while it was written.
    pub(super) torn: bool,
}

/// Replays the log if it has entries and `replay` is set.
pub(super) fn apply(file: Arc<dyn ByteSource>, header: &Header, replay: bool) -> Result<Outcome> {
    if header.log_guid.is_zero() {
        return Ok(Outcome { source: file, log: LogState::Clean, torn: false });
    }
    if !replay {
        return Ok(Outcome { source: file, log: LogState::NotReplayed, torn: false });
    }
    replay_into_memory(&file, header).map_err(|error| Error::UnusableLog(Box::new(error)))
}

/// Validates the log's place in the file.
pub(super) fn place(header: &Header, file_size: u64) -> Result<()> {
    let range = header.log_range();
    let damaged = |problem: &'static str| Error::corrupt("VHDX log", Place::Byte(range.start), problem);
    if range.is_empty() {
        return Err(damaged("the disk has no log"));
    }
    if range.start < HEADER_SECTION
        || !range.start.is_multiple_of(MIB)
        || !header.log_length.is_multiple_of(MIB)
    {
        return Err(damaged("misplaced"));
    }
    if range.end > file_size {
        return Err(damaged("lies beyond the end of the file: truncated?"));
    }
    Ok(())
}

/// True when the sectors after the newest valid entry are the beginning of its successor.
fn is_torn(ring: Ring<'_>, header: &Header, newest: &LogEntry) -> Result<bool> {
    let at = (newest.at + newest.length) % ring.length;
    let mut sector = [0; LOG_SECTOR];
    ring.read(at, &mut sector)?;
    let next = LogEntry::parse(&sector, at, ring.length, header.log_guid);
    Ok(next.is_some_and(|next| newest.sequence_number.checked_add(1) == Some(next.sequence_number)))
}

/// The updates of a dirty log that was validated.
pub(super) struct Replay<'a> {
    ring: Ring<'a>,
    entries: Vec<LogEntry>,
    /// Indices of the entries to replay, oldest first; never empty.
    sequence: Vec<usize>,
}

impl<'a> Replay<'a> {
    /// Finds and validates what there is to replay.
    pub(super) fn find(file: &'a dyn ByteSource, header: &Header) -> Result<Self> {
        let range = header.log_range();
        let damaged = |problem: String| Error::corrupt("VHDX log", Place::Byte(range.start), problem);
        if header.log_version != 0 {
            return Err(Error::unsupported(format!("VHDX log version {}", header.log_version)));
        }
        if range.is_empty() {
            return Err(damaged("the disk was not closed properly but has no log".into()));
        }
        place(header, file.size())?;
        let ring = Ring { source: file, start: range.start, length: header.log_length };
        let entries = scan::entries(ring, header.log_guid)?;
        let sequence = scan::active_sequence(&entries, ring.length)
            .ok_or_else(|| damaged("it has entries to replay, but no complete sequence of them".into()))?;
        let found = Self { ring, entries, sequence };
        let head = found.head();
        if head.flushed_file_offset > file.size() {
            let (size, expected) = (file.size(), head.flushed_file_offset);
            return Err(damaged(format!("the file has {size} bytes, but had {expected} or more: truncated")));
        }
        if head.last_file_offset > MAX_FILE_SIZE {
            return Err(damaged("it asks for a file beyond 2^63 bytes".into()));
        }
        Ok(found)
    }

    fn head(&self) -> &LogEntry {
        &self.entries[*self.sequence.last().expect("a sequence has an entry")]
    }

    /// The length that the file needs.
    pub(super) fn file_size(&self) -> u64 {
        self.head().last_file_offset
    }

    /// Passes every update to `apply`, in order.
    pub(super) fn each(&self, mut apply: impl FnMut(Update<'_>) -> Result<()>) -> Result<()> {
        self.sequence.iter().try_for_each(|index| self.entries[*index].updates(self.ring, &mut apply))
    }
}

fn replay_into_memory(file: &Arc<dyn ByteSource>, header: &Header) -> Result<Outcome> {
    let replay = Replay::find(&**file, header)?;
    let mut overlay = Overlay::new(file.clone(), replay.file_size());
    let (mut budget, mut replayed) = (MAX_REPLAY_BYTES, 0_u64);
    replay.each(|update| {
        let memory = UPDATE_COST + if matches!(update, Update::Data(..)) { LOG_SECTOR } else { 0 };
        budget = budget
            .checked_sub(memory)
            .ok_or_else(|| Error::unsupported("VHDX log with more than 128 MiB of updates"))?;
        let length = match update {
            Update::Data(offset, bytes) => {
                overlay.put(offset, bytes);
                bytes.len() as u64
            }
            Update::Zeros(offset, length) => {
                overlay.put_zeros(offset, length);
                length
            }
        };
        replayed = replayed.saturating_add(length);
        Ok(())
    })?;
    let count = replay.sequence.len();
    let torn = is_torn(replay.ring, header, replay.head())?;
    let log = LogState::Replayed { entries: count, bytes: replayed };
    Ok(Outcome { source: Arc::new(overlay), log, torn })
}
