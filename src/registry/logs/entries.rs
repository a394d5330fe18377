//! Log entries (`HvLE`), in which Windows 8.1 and later log: each holds the pages of one flush under two hashes. Guards: an entry is
//! returned only if both hashes are right and each page lies in the hive bins; the first other one ends its log.

use std::ops::Range;

use zerocopy::FromBytes;

use super::marvin::marvin32;
use crate::registry::format::{self, PageReference};

/// Length of an entry's header.
const HEADER: usize = 40;
/// Bytes of it below the second hash.
const HASHED_HEADER: usize = 32;

/// A sound entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u32,
    /// Size of the hive bins after it.
    pub(super) bins: u32,
    /// Offset in the hive bins, and where the bytes stand in the log.
    pub(super) pages: Vec<(u32, Range<usize>)>,
}

/// The sound entries of a log from its beginning on, each numbered one after that before. Older entries may follow: what was
/// logged before the log was begun anew.
pub(super) fn parse(log: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = format::SECTOR;
    while let Some((entry, len)) = log.get(at..).and_then(|rest| one(rest, at)) {
        if entries.last().is_some_and(|last| last.sequence.checked_add(1) != Some(entry.sequence)) {
            break;
        }
        entries.push(entry);
        at += len;
    }
    entries
}

/// The entry at the beginning of `bytes`, which begin at `start` of the log, and its length.
fn one(bytes: &[u8], start: usize) -> Option<(Entry, usize)> {
    let (head, _) = format::LogEntry::ref_from_prefix(bytes).ok()?;
    let size = usize::try_from(head.size.get()).ok()?;
    let bins = head.hive_bins_size.get();
    let sound = head.signature == *b"HvLE"
        && size.is_multiple_of(format::SECTOR)
        && bins.is_multiple_of(format::BIN_UNIT)
        && bins > 0;
    let body = bytes.get(HEADER..size).filter(|_| sound)?;
    if head.hash_of_header.get() != marvin32(&bytes[..HASHED_HEADER])
        || head.hash_of_pages.get() != marvin32(body)
    {
        return None;
    }
    let count = usize::try_from(head.pages.get()).ok()?;
    let references = body.get(..count.checked_mul(size_of::<PageReference>())?)?;
    let mut data = HEADER + references.len();
    let mut pages = Vec::with_capacity(count);
    for reference in references.chunks_exact(size_of::<PageReference>()) {
        let page = PageReference::ref_from_bytes(reference).ok()?;
        let (offset, len) = (page.offset.get(), page.size.get());
        if offset.checked_add(len)? > bins {
            return None;
        }
        let end = data.checked_add(usize::try_from(len).ok()?).filter(|end| *end <= size)?;
        pages.push((offset, start + data..start + end));
        data = end;
    }
    Some((Entry { sequence: head.sequence.get(), bins, pages }, size))
}
