//! Finding the active sequence (MS-VHDX 2.3.3): of all runs of whole entries with successive numbers whose newest entry
//! says that it begins inside, the one with the greatest number.
//!
//! The specification's procedure starts over at every sector, which a hostile log makes quadratic. Whether an entry is
//! valid does not depend on where the search began, so each is checked once and the runs are then put together.

use super::{
    super::format::{LOG_SECTOR, LOG_SIGNATURE},
    entry::{Entry, Ring},
};
use crate::{Result, bytes::ExtentKind, guid::Guid};

const SECTOR: u64 = LOG_SECTOR as u64;
/// Bytes of the log looked through at once.
const WINDOW: u64 = 256 << 10;
const SMALL_LOG: u64 = 64 << 20;

/// All valid entries in order of their offsets. Reads the log once, holes not at all, and the entries found again.
pub(super) fn entries(ring: Ring<'_>, log_guid: Guid) -> Result<Vec<Entry>> {
    // Valid entries lie side by side. Of the invalid ones only those cost more than a sector whose beginning is whole,
    // such as the newest when it is torn, and below a torn entry the older ones that it was to replace. More than twice
    // the log is a log made to keep us busy; small ones may be as odd as they like.
    let mut budget = ring.length.saturating_mul(2).saturating_add(SMALL_LOG);
    let mut found: Vec<Entry> = Vec::new();
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
                true => match Entry::parse(sector, at, ring.length, log_guid) {
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
pub(super) fn active_sequence(entries: &[Entry], log_length: u64) -> Option<Vec<usize>> {
    let next: Vec<Option<usize>> =
        entries.iter().map(|entry| successor(entries, entry, log_length)).collect();
    let mut continued = vec![false; entries.len()];
    next.iter().flatten().for_each(|index| continued[*index] = true);

    // Numbers ascend along a run, so runs cannot be circular and each has a beginning. Only the entry that wraps at the
    // end of the log can share its successor with another, so all runs together are at most twice the entries.
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

/// The entry that begins where `entry` ends, if it bears the next number.
fn successor(entries: &[Entry], entry: &Entry, log_length: u64) -> Option<usize> {
    let at = (entry.at + entry.length) % log_length;
    let index = entries.binary_search_by_key(&at, |other| other.at).ok()?;
    (entry.sequence_number.checked_add(1) == Some(entries[index].sequence_number)).then_some(index)
}
