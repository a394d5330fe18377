//! Transaction logs (`.LOG`, `.LOG1`, `.LOG2`), applied in memory to a hive whose last write was not finished, as Windows applies
//! them when it loads the hive. Guards: a log is used only if its own base block is sound and it belongs to this state of the
//! hive; memory is bounded by the logs' size.

mod dirty_vector;
mod entries;
mod marvin;

use std::{fmt, ops::Range, sync::Arc};

use self::entries::Entry;
use super::{base_block::Base, bins, format};
use crate::{
    Result,
    bytes::{ByteSource, Overlay, read_vec},
};

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::marvin::marvin32 as hash_of_entries;

/// Longest log read, in bytes. Windows writes the hive when its logs have grown to some tens of MiB.
const MAX_LOG: u64 = 256 << 20;

/// What became of a hive's logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// The hive was written completely; no log is needed, and none was looked at.
    NotNeeded,
    /// The logs were applied.
    Applied {
        /// The logs used, by their place among those given.
        logs: Vec<usize>,
        /// Flushes that were applied.
        flushes: usize,
        /// Sequence number of the hive after the last one.
        sequence: u32,
    },
    /// The hive was not written completely, and no log completes it: it is read as it is.
    Impossible {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => write!(f, "written completely"),
            Self::Applied { flushes: 1, .. } => {
                write!(f, "not written completely: 1 flush in its logs is applied")
            }
            Self::Applied { flushes, .. } => {
                write!(f, "not written completely: {flushes} flushes in its logs are applied")
            }
            Self::Impossible { reason } => write!(f, "not written completely, and read as it is: {reason}"),
        }
    }
}

/// A log whose own base block is sound.
struct Log {
    /// Place among the logs given.
    place: usize,
    base: Base,
    bytes: Vec<u8>,
}

/// A hive with its logs applied.
pub(super) struct Replayed {
    pub(super) source: Arc<dyn ByteSource>,
    pub(super) base: Base,
    pub(super) replay: Replay,
}

/// Applies `logs` to the dirty hive in `source`. `base`: its base block, where it has one.
pub(super) fn apply(
    source: &Arc<dyn ByteSource>,
    base: Option<&Base>,
    logs: &[Arc<dyn ByteSource>],
) -> Result<Replayed, String> {
    let mut usable = Vec::new();
    let mut problems = Vec::new();
    for (place, log) in logs.iter().enumerate() {
        match read(place, &**log) {
            Ok(Some(log)) => usable.push(log),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let with_entries: Vec<&Log> =
        usable.iter().filter(|log| log.base.file_type == format::TYPE_WITH_ENTRIES).collect();
    let applied = match with_entries.is_empty() {
        false => apply_entries(source, base, &with_entries),
        true => apply_dirty_vector(source, base, &usable),
    };
    applied.map_err(|reason| match (problems.first(), logs.is_empty()) {
        (_, true) => "it has no log".to_owned(),
        (Some(problem), _) if usable.is_empty() => problem.clone(),
        _ => reason,
    })
}

/// Reads a log; `None` for one that holds nothing.
fn read(place: usize, log: &dyn ByteSource) -> Result<Option<Log>, String> {
    let len = log.size();
    if len == 0 {
        return Ok(None);
    }
    if len > MAX_LOG {
        return Err(format!("a log of {len} bytes is no log"));
    }
    let len = usize::try_from(len).expect("at most 256 MiB");
    let bytes = read_vec(log, 0, len).map_err(|error| format!("a log cannot be read: {error}"))?;
    // Windows clears the first sector of a log that it has no more need of.
    if bytes.iter().take(format::SECTOR).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let base = Base::parse(&bytes).map_err(|error| format!("its log is damaged: {error}"))?;
    let is_log = base.file_type == format::TYPE_WITH_ENTRIES
        || format::TYPES_WITH_DIRTY_VECTOR.contains(&base.file_type);
    match base.intact && is_log && base.primary_sequence == base.secondary_sequence {
        true => Ok(Some(Log { place, base, bytes })),
        false => Err("the base block of its log is damaged".to_owned()),
    }
}

/// Applies the flushes that are newer than the hive, of both logs, one after the other.
fn apply_entries(
    source: &Arc<dyn ByteSource>,
    base: Option<&Base>,
    logs: &[&Log],
) -> Result<Replayed, String> {
    let mut parsed: Vec<(&Log, Vec<Entry>)> =
        logs.iter().map(|log| (*log, entries::parse(&log.bytes))).collect();
    parsed.retain(|(_, entries)| !entries.is_empty());
    // Windows changes from one log to the other and back; which is the older one, their numbers say.
    parsed.sort_by_key(|(log, entries)| (entries[0].sequence, log.place));
    let intact = base.filter(|base| base.intact);
    let (mut base, from) = match (intact, parsed.last()) {
        // The secondary number is that of the last state which was written completely.
        (Some(base), _) => (base.clone(), base.secondary_sequence),
        (None, Some((newest, entries))) => {
            // Nothing says which flushes the hive has: of the older log those that lead to the newer one are taken.
            let first = entries[0].sequence;
            let older = parsed.iter().rev().skip(1).find(|(_, older)| {
                older.last().is_some_and(|last| last.sequence.checked_add(1) == Some(first))
            });
            (newest.base.clone(), older.map_or(first, |(_, older)| older[0].sequence))
        }
        (None, None) => return Err("its logs hold no flush that is whole".to_owned()),
    };
    let mut overlay = Overlay::new(source.clone(), 0);
    let (mut flushes, mut used, mut next) = (0, Vec::new(), None);
    'logs: for (log, entries) in &parsed {
        let newer = next.unwrap_or(from);
        for entry in entries.iter().filter(|entry| entry.sequence >= newer) {
            if next.is_some_and(|next| next != entry.sequence) {
                break 'logs;
            }
            put(&mut overlay, &log.bytes, &entry.pages);
            next = entry.sequence.checked_add(1);
            flushes += 1;
            base.bins = entry.bins;
            (base.primary_sequence, base.secondary_sequence) = (entry.sequence, entry.sequence);
            if used.last() != Some(&log.place) {
                used.push(log.place);
            }
            if next.is_none() {
                break 'logs;
            }
        }
    }
    if flushes == 0 {
        return Err("its logs hold nothing newer".to_owned());
    }
    let model = if intact.is_some() { None } else { parsed.last().map(|(log, _)| *log) };
    finish(source, overlay, base, model, Replay::Applied { logs: used, flushes, sequence: 0 })
}

/// Applies the log that was written for this state of the hive.
fn apply_dirty_vector(
    source: &Arc<dyn ByteSource>,
    base: Option<&Base>,
    logs: &[Log],
) -> Result<Replayed, String> {
    let intact = base.filter(|base| base.intact);
    let first = bins::header(&**source, 0).ok().map(|first| first.timestamp.get());
    let fits = |log: &&Log| match (intact, first) {
        (Some(base), _) => log.base.last_written == base.last_written,
        // The first hive bin has the time of the last write that reached it: a log of that write or of a later one is newer than the
        // hive, an earlier one is not.
        (None, Some(first)) => log.base.last_written >= first,
        (None, None) => false,
    };
    // Of several the one of the very state, else the newest.
    let wanted = intact.map(|base| base.last_written).or(first);
    let log = logs
        .iter()
        .filter(fits)
        .max_by_key(|log| (Some(log.base.last_written) == wanted, log.base.last_written));
    let log = log.ok_or("its logs were written for another state of it")?;
    let pages = dirty_vector::parse(&log.bytes, log.base.bins).ok_or("its log is cut off")?;
    if pages.is_empty() {
        return Err("its log holds nothing".to_owned());
    }
    let mut overlay = Overlay::new(source.clone(), 0);
    put(&mut overlay, &log.bytes, &pages);
    let model = intact.is_none().then_some(log);
    let base = match intact {
        Some(base) => Base {
            primary_sequence: log.base.primary_sequence,
            secondary_sequence: log.base.secondary_sequence,
            bins: log.base.bins,
            ..base.clone()
        },
        None => log.base.clone(),
    };
    let replayed = finish(
        source,
        overlay,
        base,
        model,
        Replay::Applied { logs: vec![log.place], flushes: 1, sequence: 0 },
    )?;
    // Pages have no checksum: what shows a wrong log are hive bins that it leaves without a header.
    match bins::first_invalid(&*replayed.source, replayed.base.bins, &pages) {
        Ok(None) => Ok(replayed),
        Ok(Some(offset)) => Err(format!("its log makes no hive bin at {offset:#x}")),
        Err(error) => Err(error.to_string()),
    }
}

fn put(overlay: &mut Overlay, log: &[u8], pages: &[(u32, Range<usize>)]) {
    for (offset, range) in pages {
        overlay.put(format::BASE_BLOCK + u64::from(*offset), &log[range.clone()]);
    }
}

/// Puts the base block right. `model`: the log that has a sound one, where the hive has none.
fn finish(
    source: &Arc<dyn ByteSource>,
    mut overlay: Overlay,
    base: Base,
    model: Option<&Log>,
    replay: Replay,
) -> Result<Replayed, String> {
    let mut block = match model {
        Some(log) => log.bytes[..format::SECTOR].to_vec(),
        None => read_vec(&**source, 0, format::SECTOR).map_err(|error| error.to_string())?,
    };
    base.write_into(&mut block);
    overlay.put(0, &block);
    let base = Base::parse(&block).map_err(|error| error.to_string())?;
    let replay = match replay {
        Replay::Applied { logs, flushes, .. } => {
            Replay::Applied { logs, flushes, sequence: base.primary_sequence }
        }
        other => other,
    };
    Ok(Replayed { source: Arc::new(overlay), base, replay })
}
