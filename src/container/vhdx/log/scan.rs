//! Finds the active sequence (MS-VHDX 2.3.3): the run of valid entries with successive numbers that contains the tail of
//! its newest entry and has the greatest sequence number.
//!
//! The specification's procedure restarts at every sector, which takes quadratic time on a hostile log. The validity of
//! an entry does not depend on where the search began, so each is validated once and the runs are built afterwards.

use super::{
    super::format::{LOG_SECTOR, LOG_SIGNATURE},
    entry::{LogEntry, Ring},
};
use crate::{Result, bytes::ExtentKind, guid::Guid};

const SECTOR: u64 = LOG_SECTOR as u64;
/// Bytes of the log searched at once.
const WINDOW: u64 = 256 << 10;
const SMALL_LOG: u64 = 64 << 20;

/// All valid entries by ascending offset. Reads the log once, skips holes, and reads the entries found again.
pub(super) fn entries(ring: Ring<'_>, log_guid: Guid) -> Result<Vec<LogEntry>> {
    // Valid entries lie side by side. An invalid one costs more than a sector only if its beginning is valid, such as the
    // newest when it is torn, and below a torn entry the older ones that it was overwriting. Only a crafted log exceeds
    // twice its length; small logs have a fixed allowance.
    let mut budget = ring.length.saturating_mul(2).saturating_add(SMALL_LOG);
    let mut found: Vec<LogEntry> = Vec::new();
    let mut window = Vec::new();
    let mut at = 0;
    while at < ring.length {
        let extent = ring.source.extent_at(ring.start + at)?;
        if extent.kind == ExtentKind::Hole && extent.len >= SECTOR {
            at += extent.len / SECTOR * SECTOR;
            continue;
        }
        let len = WINDOW.min(ring.length - at);
        window.resize(usize::try_from(len).expect("at most WINDOW"), 0);
        ring.source.read_exact_at(ring.start + at, &mut window)?;
        let start = at;
        while at < start + len {
            let sector = &window[usize::try_from(at - start).expect("at most WINDOW")..][..LOG_SECTOR];
            at += match sector.starts_with(LOG_SIGNATURE) {
                true => match LogEntry::parse(sector, at, ring.length, log_guid) {
                    Some(entry) if entry.is_whole(ring, &mut budget)? => {
                        let length = entry.length;
                        found.push(entry);
                        length
                    }
                    _ => SECTOR,
                },
                false => SECTOR,
            };
        }
    }
    Ok(found)
}

/// The entries to replay, oldest first, as indices into `entries`; `None` when no sequence is complete.
pub(super) fn active_sequence(entries: &[LogEntry], log_length: u64) -> Option<Vec<usize>> {
    let next: Vec<Option<usize>> =
        entries.iter().map(|entry| successor(entries, entry, log_length)).collect();
    let mut continued = vec![false; entries.len()];
    next.iter().flatten().for_each(|index| continued[*index] = true);

    // Numbers ascend along a run, so runs cannot be circular and each has a beginning. Only the entry that wraps at the
    // end of the log can share its successor with another, so the runs have at most twice as many elements as there are
    // entries.
    let mut best: Option<Vec<usize>> = None;
    for start in (0..entries.len()).filter(|index| !continued[*index]) {
        let run: Vec<usize> = std::iter::successors(Some(start), |index| next[*index]).collect();
        let head = &entries[*run.last()?];
        let Some(tail) = run.iter().position(|index| entries[*index].at == head.tail) else { continue };
        let newer = |best: &Vec<usize>| {
            best.last().is_none_or(|index| head.sequence_number > entries[*index].sequence_number)
        };
        if best.as_ref().is_none_or(newer) {
            best = Some(run[tail..].to_vec());
        }
    }
    best
}

/// The entry that begins where `entry` ends, if it has the next number.
fn successor(entries: &[LogEntry], entry: &LogEntry, log_length: u64) -> Option<usize> {
    let at = (entry.at + entry.length) % log_length;
    let index = entries.binary_search_by_key(&at, |other| other.at).ok()?;
    (entry.sequence_number.checked_add(1) == Some(entries[index].sequence_number)).then_some(index)
}
