//! `$Bitmap`: one bit per cluster, read as a stream of words. Guards: the scan is bounded by the clusters that the volume
//! really has room for.

use std::ops::{ControlFlow, Range};

use crate::{Result, bytes::ByteSource};

/// Bytes of the bitmap per read.
const PIECE: usize = 256 << 10;
/// Bytes that are compared as a whole: most of a large bitmap is all free or all used.
const TILE: usize = 512;

/// Calls `sink` with each maximal range of free clusters, ascending, until it breaks.
pub(in super::super) fn free_clusters(
    bitmap: &dyn ByteSource,
    clusters: u64,
    sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>,
) -> Result<()> {
    // Clusters beyond the bitmap's end count as used.
    let clusters = clusters.min(bitmap.size().saturating_mul(8));
    let whole = usize::try_from(clusters.div_ceil(64) * 8).unwrap_or(PIECE);
    let mut buf = vec![0; whole.min(PIECE)];
    let mut free = None;
    let mut first = 0;
    while first < clusters {
        let bytes = (clusters - first).div_ceil(8);
        let take = usize::try_from(bytes).unwrap_or(PIECE).min(PIECE);
        bitmap.read_exact_at(first / 8, &mut buf[..take])?;
        // The last word is padded with used clusters.
        let padded = take.next_multiple_of(8);
        buf[take..padded].fill(0xff);
        for tile in buf[..padded].chunks(TILE) {
            let goes_on = match free {
                Some(_) => tile == &[0; TILE][..],
                None => tile == &[0xff; TILE][..],
            };
            if goes_on && clusters - first >= 8 * TILE as u64 {
                first += 8 * TILE as u64;
                continue;
            }
            for word in tile.as_chunks().0 {
                let mut used = u64::from_le_bytes(*word);
                if clusters - first < 64 {
                    used |= u64::MAX << (clusters - first);
                }
                if scan(used, first, &mut free, sink).is_break() {
                    return Ok(());
                }
                first += 64;
            }
        }
    }
    if let Some(start) = free
        && start < clusters
    {
        let _ = sink(start..clusters);
    }
    Ok(())
}

/// Scans one word: `free` is the start of a free range that is still open.
fn scan(
    used: u64,
    first: u64,
    free: &mut Option<u64>,
    sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut at = 0;
    while at < 64 {
        let rest = used >> at;
        match *free {
            None => {
                at += rest.trailing_ones().min(64 - at);
                if at < 64 {
                    *free = Some(first + u64::from(at));
                }
            }
            Some(start) => {
                let end = (at + rest.trailing_zeros()).min(64);
                if end < 64 {
                    *free = None;
                    sink(start..first + u64::from(end))?;
                }
                at = end;
            }
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    fn ranges(bitmap: Vec<u8>, clusters: u64) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let sink = &mut |range: Range<u64>| {
            found.push((range.start, range.end));
            ControlFlow::Continue(())
        };
        free_clusters(&MemorySource(bitmap), clusters, sink).unwrap();
        found
    }

    #[test]
    fn free_ranges_are_joined_across_words_and_pieces() {
        assert_eq!(ranges(vec![0xf1, 0, 0, 0, 0, 0, 0, 0, 0x80], 72), [(1, 4), (8, 71)]);
        assert_eq!(ranges(vec![0xff; 9], 72), []);
        assert_eq!(ranges(vec![0; 9], 67), [(0, 67)]);
        assert_eq!(ranges(vec![0; 9], 1 << 40), [(0, 72)]);
        assert_eq!(ranges(vec![0x0f; 2], 12), [(4, 8)]);
        assert_eq!(ranges(Vec::new(), 12), []);
        // Whole tiles of one kind, a part of one, and other bits within one.
        for (fill, expected) in [(0, vec![(0, 8 * 3 * TILE as u64 - 9)]), (0xff, vec![])] {
            assert_eq!(ranges(vec![fill; 3 * TILE], 8 * 3 * TILE as u64 - 9), expected);
        }
        let tile = 8 * TILE as u64;
        let mut mixed = [vec![0xff; TILE], vec![0; 2 * TILE], vec![0xff; 2 * TILE], vec![0; TILE]].concat();
        mixed[3 * TILE + 9] = 0;
        mixed[2 * TILE + 5] = 0x80;
        let (used, hole) = (2 * tile + 47, 3 * tile + 72);
        assert_eq!(
            ranges(mixed, 6 * tile - 1),
            [(tile, used), (used + 1, 3 * tile), (hole, hole + 8), (5 * tile, 6 * tile - 1)]
        );
        let mut large = vec![0; PIECE + 100];
        large[0] = 1;
        large[PIECE + 50] = 2;
        let middle = (PIECE as u64 + 50) * 8 + 1;
        assert_eq!(
            ranges(large, (PIECE as u64 + 100) * 8),
            [(1, middle), (middle + 1, (PIECE as u64 + 100) * 8)]
        );
    }

    #[test]
    fn every_bit_counts() {
        let bytes: Vec<u8> =
            (0..1000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
        let zeros: u32 = bytes.iter().map(|byte| byte.count_zeros()).sum();
        let free: u64 = ranges(bytes, 8000).iter().map(|(start, end)| end - start).sum();
        assert_eq!(free, u64::from(zeros));
    }
}
