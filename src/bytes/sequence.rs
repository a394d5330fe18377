//! The definition of a sequential reader, shared by everything that reads ahead.

/// Minimum length of a large read; readers at random positions read less at once.
pub(super) const LARGE_READ: u64 = 64 << 10;

/// Maximum distance from the end of the sequence at which a large read still belongs to it: a host that reads ahead sends
/// its requests in parallel, and they arrive in any order.
pub(super) const MAX_DISTANCE: u64 = 4 << 20;

/// True if a read of `len` bytes at `offset` continues the sequence whose furthest read ended at `end`.
pub(super) fn continues(end: u64, offset: u64, len: u64) -> bool {
    offset == end || len >= LARGE_READ && offset.abs_diff(end) <= MAX_DISTANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_reads_continue_exactly_where_the_last_one_ended() {
        assert!(continues(5000, 5000, 1));
        assert!(!continues(5000, 5001, 1));
        assert!(!continues(5000, 4999, LARGE_READ - 1));
    }

    #[test]
    fn large_reads_continue_near_the_end_on_either_side() {
        let end = 100 << 20;
        for (distance, expected) in [(0, true), (MAX_DISTANCE, true), (MAX_DISTANCE + 1, false)] {
            assert_eq!(continues(end, end + distance, LARGE_READ), expected, "{distance} behind");
            assert_eq!(continues(end, end - distance, LARGE_READ), expected, "{distance} before");
        }
    }
}
