//! The clusters that run lists claim, one bit each, compared with `$Bitmap`. Guards: only one segment of the volume is in
//! memory at a time; repeated claims are bounded by the volume's size.

use std::ops::Range;

use super::bits::Bits;

/// Maximum number of ranges kept for the search for their owners.
const MAX_RANGES: usize = 4096;

/// A number of clusters, and the first ranges of them.
#[derive(Default)]
pub(super) struct Ranges {
    pub(super) ranges: Vec<Range<u64>>,
    pub(super) clusters: u64,
    /// The next clusters belong to another owner, even if they are adjacent to the last range.
    apart: bool,
}

impl Ranges {
    fn push(&mut self, start: u64, end: u64) {
        self.clusters += end - start;
        let room = self.ranges.len() < MAX_RANGES;
        let apart = std::mem::take(&mut self.apart);
        match self.ranges.last_mut() {
            Some(last) if last.end == start && !apart => last.end = end,
            _ if room => self.ranges.push(start..end),
            _ => {}
        }
    }

    /// Adds the set bits of the word that covers `first .. first + 64`.
    fn push_bits(&mut self, first: u64, mut bits: u64) {
        while bits != 0 {
            let start = bits.trailing_zeros();
            let len = (bits >> start).trailing_ones();
            self.push(first + u64::from(start), first + u64::from(start + len));
            bits = if start + len == 64 { 0 } else { bits >> (start + len) << (start + len) };
        }
    }
}

/// The claimed clusters of one segment of the volume.
pub(super) struct Segment {
    first: u64,
    clusters: u64,
    words: Vec<u64>,
    /// Claims that are still accepted: a volume whose run lists all claim everything must not take unbounded time.
    left: u64,
    /// Clusters claimed more than once.
    pub(super) shared: Ranges,
}

/// The differences between `$Bitmap` and the run lists.
#[derive(Default)]
pub(super) struct Difference {
    /// In use, but marked as free: the next file may overwrite them.
    pub(super) unprotected: Ranges,
    /// Not in use, but marked as used.
    pub(super) leaked: Ranges,
    /// Number of clusters without a readable bit in `$Bitmap`.
    pub(super) missing: u64,
}

impl Segment {
    /// Segment number `index` of a volume of `clusters` clusters, in segments of `size` clusters.
    pub(super) fn new(index: u64, clusters: u64, size: u64) -> Self {
        let first = index.saturating_mul(size).min(clusters);
        let count = (clusters - first).min(size);
        let words = usize::try_from(count.div_ceil(64)).expect("at most 2^22");
        Self {
            first,
            clusters: count,
            words: vec![0; words],
            left: count.saturating_mul(8),
            shared: Ranges::default(),
        }
    }

    /// Marks clusters as claimed; false once the run lists have claimed more than the segment's limit.
    pub(super) fn claim(&mut self, lcn: u64, count: u64) -> bool {
        let start = lcn.max(self.first) - self.first;
        let end = lcn.saturating_add(count).saturating_sub(self.first).min(self.clusters);
        if start >= end {
            return true;
        }
        let Some(left) = self.left.checked_sub(end - start) else { return false };
        self.left = left;
        self.shared.apart = true;
        let mut at = start;
        while at < end {
            let (index, bit) = (usize::try_from(at / 64).expect("below 2^22"), at % 64);
            let take = (64 - bit).min(end - at);
            let mask = (u64::MAX >> (64 - take)) << bit;
            let word = &mut self.words[index];
            if *word & mask != 0 {
                self.shared.push_bits(self.first + at - bit, *word & mask);
            }
            *word |= mask;
            at += take;
        }
        true
    }

    /// Compares the claimed clusters with the volume's `$Bitmap`. What the bitmap does not hold costs nothing, however many
    /// clusters the boot sector states.
    pub(super) fn compare(&self, bitmap: &mut Bits) -> Difference {
        let mut difference = Difference::default();
        let mut index = 0;
        while let Some(used) = self.words.get(index) {
            let within = index as u64 * 64;
            let first = self.first + within;
            if first >= bitmap.end() {
                difference.missing += self.clusters - within;
                break;
            }
            if *used == 0
                && let unset @ 1.. = usize::try_from(bitmap.unset_at(first) / 64).unwrap_or(usize::MAX)
            {
                // Up to the next word in use, all bits are the same: none.
                let rest = &self.words[index..];
                let rest = &rest[..unset.min(rest.len())];
                index += rest.iter().position(|word| *word != 0).unwrap_or(rest.len());
                continue;
            }
            let count = (self.clusters - within).min(64);
            let known = u64::MAX >> (64 - count);
            let (marked, read) = bitmap.word(first);
            difference.missing += u64::from((known & !read).count_ones());
            let read = read & known;
            difference.unprotected.push_bits(first, used & !marked & read);
            difference.leaked.push_bits(first, marked & !used & read);
            index += 1;
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bytes::MemorySource;

    const SIZE: u64 = 1 << 20;

    #[test]
    fn what_is_claimed_twice_is_kept_with_its_place() {
        let mut segment = Segment::new(0, 1000, SIZE);
        assert!(segment.claim(10, 200) && segment.claim(300, 1));
        assert_eq!(segment.shared.clusters, 0);
        assert!(segment.claim(0, 20) && segment.claim(200, 101) && segment.claim(999, 5000));
        assert_eq!(segment.shared.ranges, [10..20, 200..210, 300..301]);
        assert_eq!(segment.shared.clusters, 21);
        assert!((0..7).all(|_| segment.claim(0, 1000)));
        assert!(!segment.claim(0, 1000));
    }

    #[test]
    fn bitmap_is_compared_bit_by_bit() {
        let mut segment = Segment::new(0, 140, SIZE);
        assert!(segment.claim(0, 70) && segment.claim(130, 5));
        let mut bytes = vec![0; 17];
        (0..69)
            .chain([80, 81, 130, 131, 132, 133, 134])
            .for_each(|bit: usize| bytes[bit / 8] |= 1 << (bit % 8));
        let difference = segment.compare(&mut Bits::new(Arc::new(MemorySource(bytes))));
        assert!(difference.unprotected.ranges.iter().cloned().flatten().eq([69]));
        assert!(difference.leaked.ranges.iter().cloned().flatten().eq([80, 81]));
        assert_eq!(difference.missing, 4);
    }

    #[test]
    fn clusters_that_the_bitmap_lacks_are_missing_at_once() {
        let segment = Segment::new(0, 1 << 28, 1 << 28);
        let mut bitmap = Bits::new(Arc::new(MemorySource(vec![0; 16])));
        assert_eq!(segment.compare(&mut bitmap).missing, (1 << 28) - 128);
    }

    #[test]
    fn holes_of_the_bitmap_are_free_clusters() {
        let mut segment = Segment::new(0, 1 << 20, 1 << 20);
        assert!(segment.claim(5, 1) && segment.claim(600_000, 70));
        let mut bits = crate::bytes::testing::Sparse::new(1 << 17);
        bits.write(0, &[1 << 5 | 1 << 6]);
        let source = Arc::new(crate::bytes::testing::Counted::new(Arc::new(bits)));
        let difference = segment.compare(&mut Bits::new(source.clone()));
        assert!(difference.leaked.ranges.iter().cloned().flatten().eq([6]));
        assert!(difference.unprotected.ranges.iter().cloned().flatten().eq(600_000..600_070));
        assert_eq!(difference.missing, 0);
        let (operations, bytes) = source.take();
        assert!(operations < 50 && bytes < 200_000, "{operations} operations, {bytes} bytes");
    }

    #[test]
    fn each_cluster_belongs_to_one_segment() {
        let clusters = SIZE + 100;
        let mut segments = [Segment::new(0, clusters, SIZE), Segment::new(1, clusters, SIZE)];
        segments.iter_mut().for_each(|segment| assert!(segment.claim(SIZE - 3, 7)));
        let marked: Vec<u32> =
            segments.iter().map(|s| s.words.iter().map(|word| word.count_ones()).sum()).collect();
        assert_eq!(marked, [3, 4]);
        assert_eq!(segments[1].words.len(), 2);
        assert_eq!(Segment::new(2, clusters, SIZE).words.len(), 0);
    }
}
