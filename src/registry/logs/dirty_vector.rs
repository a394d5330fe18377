//! Logs with a dirty vector (`DIRT`), the form before Windows 8.1: one bit for each 512 bytes of the hive bins, then the pages whose
//! bit is set, in order. Guards: the bitmap and all its pages lie inside the log.

use std::ops::Range;

use crate::registry::format::SECTOR;

/// The pages of a log for hive bins of `bins` bytes, joined where they follow each other: offset in the hive bins, and where the
/// bytes stand in the log. `None` when the log is cut off or has no dirty vector.
pub(super) fn parse(log: &[u8], bins: u32) -> Option<Vec<(u32, Range<usize>)>> {
    let bits = usize::try_from(bins).ok()? / SECTOR;
    let vector = log.get(SECTOR..)?.strip_prefix(b"DIRT")?.get(..bits.div_ceil(8))?;
    let mut at = (SECTOR + 4 + vector.len()).next_multiple_of(SECTOR);
    let mut pages: Vec<(u32, Range<usize>)> = Vec::new();
    for bit in (0..bits).filter(|bit| vector[bit / 8] >> (bit % 8) & 1 != 0) {
        let offset = u32::try_from(bit * SECTOR).ok()?;
        let end = at + SECTOR;
        if end > log.len() {
            return None;
        }
        match pages.last_mut() {
            Some((start, range)) if usize::try_from(offset - *start).ok()? == range.len() => range.end = end,
            _ => pages.push((offset, at..end)),
        }
        at = end;
    }
    Some(pages)
}
