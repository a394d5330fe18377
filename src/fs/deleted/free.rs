//! Free clusters of a volume, counted by range: the allocation bitmap (set bit: in use) and, from the first long range on,
//! the number of free clusters before each 4 KiB piece of it. Guards: a query reads at most two pieces, however many records
//! repeat it; memory is 8 bytes per 32,768 clusters.

use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, OnceLock},
};

use crate::{
    Result,
    bytes::{ByteSource, read_vec},
};

/// Bytes of the bitmap in a piece.
const PIECE: u64 = 4096;
/// Clusters in a piece.
const PIECE_CLUSTERS: u64 = PIECE * 8;
/// Pieces per read when the whole bitmap is counted.
const READ_PIECES: u64 = 64;

/// The free clusters of a volume.
pub(crate) struct FreeClusters {
    bitmap: Arc<dyn ByteSource>,
    clusters: u64,
    /// Number of free clusters before each piece; the last element is the total.
    ranks: OnceLock<Vec<u64>>,
}

impl FreeClusters {
    /// Clusters beyond the bitmap's end, or from `clusters` on, count as used.
    pub(crate) fn new(bitmap: Arc<dyn ByteSource>, clusters: u64) -> Self {
        let clusters = clusters.min(bitmap.size().saturating_mul(8));
        Self { bitmap, clusters, ranks: OnceLock::new() }
    }

    /// The number of free clusters in a range.
    pub(crate) fn count(&self, range: Range<u64>) -> Result<u64> {
        let (start, end) = (range.start.min(self.clusters), range.end.min(self.clusters));
        if end <= start {
            return Ok(0);
        }
        if end - start <= PIECE_CLUSTERS {
            return self.count_short(start, end);
        }
        let ranks = match self.ranks.get() {
            Some(ranks) => ranks,
            None => {
                let ranks = self.rank()?;
                self.ranks.get_or_init(|| ranks)
            }
        };
        let before = |cluster: u64| -> Result<u64> {
            let piece = cluster / PIECE_CLUSTERS;
            let known = usize::try_from(piece).ok().and_then(|piece| ranks.get(piece)).copied();
            let first = piece * PIECE_CLUSTERS;
            let rest = if first < cluster { self.count_short(first, cluster)? } else { 0 };
            Ok(known.unwrap_or_default() + rest)
        };
        Ok(before(end)? - before(start)?)
    }

    /// True if all clusters of a range exist and are free.
    pub(crate) fn all(&self, range: Range<u64>) -> Result<bool> {
        let len = range.end.saturating_sub(range.start);
        Ok(range.end <= self.clusters && self.count(range)? == len)
    }

    /// Calls `sink` with each free range from `start` on, ascending, until it breaks.
    pub(crate) fn each_from(
        &self,
        start: u64,
        sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut open: Option<u64> = None;
        let mut first = start;
        while first < self.clusters {
            let end = (first / PIECE_CLUSTERS + 1).saturating_mul(PIECE_CLUSTERS).min(self.clusters);
            let bits = self.read(first, end)?;
            for cluster in first..end {
                let at = usize::try_from(cluster / 8 - first / 8).expect("within a piece");
                match (bits[at] >> (cluster % 8) & 1 == 0, open) {
                    (true, None) => open = Some(cluster),
                    (false, Some(from)) => {
                        open = None;
                        if sink(from..cluster).is_break() {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
            first = end;
        }
        if let Some(from) = open {
            let _ = sink(from..self.clusters);
        }
        Ok(())
    }

    /// The bytes of the bitmap that contain these clusters: at most a piece and one.
    fn read(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let bytes = end.div_ceil(8) - start / 8;
        read_vec(&*self.bitmap, start / 8, usize::try_from(bytes).expect("at most a piece and one"))
    }

    fn count_short(&self, start: u64, end: u64) -> Result<u64> {
        let mut bits = self.read(start, end)?;
        // Clusters outside of the range count as used.
        if let Some(first) = bits.first_mut() {
            *first |= !(0xff << (start % 8));
        }
        if let Some(last) = bits.last_mut().filter(|_| !end.is_multiple_of(8)) {
            *last |= 0xff << (end % 8);
        }
        Ok(zeros(&bits))
    }

    fn rank(&self) -> Result<Vec<u64>> {
        let mut ranks = vec![0];
        let (mut at, mut free) = (0, 0);
        let len = self.clusters / 8;
        while at < len {
            let take = usize::try_from((len - at).min(PIECE * READ_PIECES)).expect("at most 64 pieces");
            let bytes = read_vec(&*self.bitmap, at, take)?;
            for piece in bytes.chunks(usize::try_from(PIECE).expect("a constant")) {
                free += zeros(piece);
                ranks.push(free);
            }
            at += take as u64;
        }
        Ok(ranks)
    }
}

fn zeros(bits: &[u8]) -> u64 {
    let (words, rest) = bits.as_chunks();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_zeros())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_zeros())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    #[test]
    fn counts_equal_those_of_single_bits() {
        let bits: Vec<u8> =
            (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
        let is_free = |cluster: u64| bits[usize::try_from(cluster / 8).unwrap()] >> (cluster % 8) & 1 == 0;
        let clusters = 20_000 * 8 - 3;
        let free = FreeClusters::new(Arc::new(MemorySource(bits.clone())), clusters);
        for (start, end) in
            [(0, 1), (3, 5), (7, 100), (0, clusters), (12, 40_000), (32_768, 65_536), (65_535, 98_305)]
        {
            let wanted = (start..end).filter(|cluster| is_free(*cluster)).count() as u64;
            assert_eq!(free.count(start..end).unwrap(), wanted, "{start}..{end}");
        }
        assert_eq!(free.count(clusters..u64::MAX).unwrap(), 0, "beyond the end nothing is free");
        assert_eq!(free.count(0..u64::MAX).unwrap(), free.count(0..clusters).unwrap());
        let mut ranges = Vec::new();
        free.each_from(5, &mut |range| {
            ranges.push(range);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(ranges.iter().all(|range| free.all(range.clone()).unwrap()));
        assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        let sum: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        assert_eq!(sum, free.count(5..clusters).unwrap());
    }

    #[test]
    fn a_bitmap_that_is_too_short_frees_nothing() {
        let free = FreeClusters::new(Arc::new(MemorySource(vec![0; 2])), 100);
        assert!(free.all(0..16).unwrap() && !free.all(0..17).unwrap() && !free.all(50..51).unwrap());
        assert_eq!(free.count(0..100).unwrap(), 16);
        assert!(FreeClusters::new(Arc::new(MemorySource::default()), 100).count(0..100).unwrap() == 0);
    }
}
