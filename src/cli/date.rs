//! Dates as text and from text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{civil::DateTime, tz::TimeZone};
use vhdmount::fs::Timestamp;

/// Formats a time as `2026-11-21 08:03:00` in UTC, by the civil calendar counted in days from 0000-03-01.
pub(super) fn date(time: Timestamp) -> String {
    let (days, second) = (time.seconds.div_euclid(86_400), time.seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Formats a time by ISO 8601 as `2026-11-21T08:03:00.123456700Z`.
pub(super) fn iso(time: Timestamp) -> String {
    format!("{}.{:09}Z", date(time).replacen(' ', "T", 1), time.nanos)
}

/// Parses a time as people write it: `2026-11-21`, `2026-11-21 08:03`, both in UTC; `2026-11-21T08:03:00+01:00`; `@SECONDS` since
/// 1970.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    if let Some(seconds) = text.strip_prefix('@') {
        return Some(Timestamp { seconds: seconds.parse().ok()?, nanos: 0 });
    }
    let in_utc =
        || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let time = text.parse::<jiff::Timestamp>().ok().or_else(in_utc)?;
    // Before 1970 jiff counts both parts backwards.
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some(Timestamp { seconds, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()? })
}

/// The current time in seconds since 2000-01-01 UTC, as VHD counts.
pub(super) fn seconds_since_2000() -> u32 {
    since_2000(SystemTime::now())
}

/// A time in seconds since 2000-01-01 UTC; 0 before that.
pub(super) fn since_2000(time: SystemTime) -> u32 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(since_1970.saturating_sub(946_684_800)).unwrap_or(u32::MAX)
}

/// The current time.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(Timestamp { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_civil_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (-11_644_473_600, "1601-01-01 00:00:00"),
            (1_795_248_180, "2026-11-21 08:03:00"),
        ] {
            assert_eq!(date(Timestamp { seconds, nanos: 0 }), text);
        }
    }
    #[test]
    fn dates_are_parsed_as_people_write_them() {
        for (text, printed) in [
            ("2026-11-21", "2026-11-21T00:00:00.000000000Z"),
            ("2026-11-21 08:03", "2026-11-21T08:03:00.000000000Z"),
            ("2026-11-21T08:03:00.5", "2026-11-21T08:03:00.500000000Z"),
            ("2026-11-21T08:03:00Z", "2026-11-21T08:03:00.000000000Z"),
            ("2026-11-21T08:03:00+02:00", "2026-11-21T06:03:00.000000000Z"),
            ("1601-01-01T00:00:00.25Z", "1601-01-01T00:00:00.250000000Z"),
            ("@-1", "1969-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(parse(text).map(iso).as_deref(), Some(printed), "{text}");
        }
        for text in ["", "Tuesday", "2026-13-01", "@", "21.11.2026"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
