//! Local date and time of day, packed into 16 bits each as in MS-DOS.

use super::format::ShortEntry;
use crate::fs::{Times, Timestamp};

const SECONDS_PER_DAY: i64 = 86_400;

/// The times of an entry. A creation or access date of 0 means not recorded: the modification time replaces it.
pub(super) fn times(entry: &ShortEntry, utc_offset_minutes: i16) -> Times {
    let at = |date: u16, time: u16, tenth: u8| timestamp(date, time, tenth, utc_offset_minutes);
    let modified = at(entry.wrt_date.get(), entry.wrt_time.get(), 0);
    let recorded = |date: u16, time, tenth| if date == 0 { modified } else { at(date, time, tenth) };
    Times {
        created: recorded(entry.crt_date.get(), entry.crt_time.get(), entry.crt_time_tenth),
        modified,
        changed: modified,
        accessed: recorded(entry.lst_acc_date.get(), 0, 0),
    }
}

/// Despite its name, `tenth` counts hundredths of a second, 0 to 199. Values out of range are clamped to the nearest valid
/// ones (month 0 is January), as in the Linux driver.
fn timestamp(date: u16, time: u16, tenth: u8, utc_offset_minutes: i16) -> Timestamp {
    let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), i64::from(date & 31));
    let days = days_from_civil(year, month.clamp(1, 12), day.max(1));
    let of_day = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 63) * 60 + i64::from(time & 31) * 2;
    let seconds = days * SECONDS_PER_DAY + of_day + i64::from(tenth / 100);
    Timestamp {
        seconds: seconds - i64::from(utc_offset_minutes) * 60,
        nanos: u32::from(tenth % 100) * 10_000_000,
    }
}

/// Days from 1970-01-01 to a date of 1980 to 2107. Years start in March, so that the leap day is last; from there on, the
/// lengths of the months follow (153·m + 2) / 5.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days from 0000-03-01 to 1970-01-01.
    year * 365 + leap_days + (153 * since_march + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_times() {
        let date = |y: u16, m: u16, d: u16| (y - 1980) << 9 | m << 5 | d;
        let seconds = |d, t, c, o| timestamp(d, t, c, o).seconds;
        assert_eq!(seconds(date(1980, 1, 1), 0, 0, 0), 315_532_800);
        assert_eq!(seconds(date(2000, 2, 29), 0, 0, 0), 951_782_400);
        assert_eq!(seconds(date(2000, 3, 1), 0, 0, 0), 951_868_800);
        assert_eq!(seconds(date(2100, 3, 1), 0, 0, 0), 4_107_542_400);
        assert_eq!(seconds(date(2022, 11, 24), 15 << 11 | 7 << 5 | 18, 0, 0), 1_669_302_456);
        assert_eq!(seconds(date(2022, 11, 24), 15 << 11 | 7 << 5 | 18, 0, 60), 1_669_298_856);
        let fine = timestamp(date(2022, 11, 24), 0, 199, 0);
        assert_eq!((fine.seconds % 60, fine.nanos), (1, 990_000_000));
    }

    #[test]
    fn impossible_dates_are_taken_as_the_nearest() {
        assert_eq!(timestamp(0, 0, 0, 0).seconds, 315_532_800);
        assert!(timestamp(u16::MAX, u16::MAX, u8::MAX, i16::MIN).seconds > 4_354_819_200);
    }
}
