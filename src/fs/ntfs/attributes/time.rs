//! FILETIME: 100-nanosecond units since 1601-01-01 UTC, unsigned as Windows defines it.

use crate::fs::Timestamp;

const UNITS_PER_SECOND: u64 = 10_000_000;
/// Seconds from 1601-01-01 to 1970-01-01: 369 years, 89 of them leap years.
const EPOCH_SECONDS: i64 = (369 * 365 + 89) * 86_400;

/// Converts a FILETIME; every value is valid.
pub fn from_filetime(filetime: u64) -> Timestamp {
    let seconds = i64::try_from(filetime / UNITS_PER_SECOND).expect("u64::MAX / 10^7 is below 2^41");
    let nanos = u32::try_from(filetime % UNITS_PER_SECOND * 100).expect("below 10^9");
    Timestamp { seconds: seconds - EPOCH_SECONDS, nanos }
}

/// The FILETIME of a timestamp; `None` if it has no exact one.
pub(in super::super) fn to_filetime(time: Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds.checked_add(EPOCH_SECONDS)?).ok()?;
    let exact = time.nanos.is_multiple_of(100) && time.nanos < 1_000_000_000;
    seconds.checked_mul(UNITS_PER_SECOND)?.checked_add(u64::from(time.nanos / 100)).filter(|_| exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(from_filetime(0), at(-11_644_473_600, 0));
        assert_eq!(from_filetime(116_444_736_000_000_000), at(0, 0));
        // Before 1970 the nanoseconds still count forward.
        assert_eq!(from_filetime(116_444_735_999_999_999), at(-1, 999_999_900));
        // 2009-07-14 01:14:24.5 UTC
        assert_eq!(from_filetime(128_920_112_645_000_000), at(1_247_537_664, 500_000_000));
        assert_eq!(from_filetime(u64::MAX), at(1_833_029_933_770, 955_161_500));
    }
    #[test]
    fn every_time_field_is_found_again() {
        for filetime in [0, 1, 9_999_999, 116_444_735_999_999_999, 128_920_112_645_000_000, u64::MAX] {
            assert_eq!(to_filetime(from_filetime(filetime)), Some(filetime));
        }
        for (seconds, nanos) in
            [(0, 1), (0, 1_000_000_000), (i64::MIN, 0), (i64::MAX, 0), (-EPOCH_SECONDS - 1, 0)]
        {
            assert_eq!(to_filetime(Timestamp { seconds, nanos }), None);
        }
    }
}
