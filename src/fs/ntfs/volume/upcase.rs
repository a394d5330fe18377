//! `$UpCase`: the volume's own table from each UTF-16 code unit to its upper case, which orders and finds names in
//! directories. Two names are equal if their upcased units are; surrogates map to themselves. Guards: a table that cannot be
//! an upcase table (zeros, another file's data) is refused, for the reader and the checker alike.

use std::{
    cmp::Ordering,
    sync::{Arc, LazyLock, Mutex},
};

use crate::{Error, Place, Result, case::simple_upper};

const UNITS: usize = 0x1_0000;
/// Maximum number of units with the same upper case. In the tables of Windows and mkntfs these are at most three: `DŽ`,
/// `Dž`, `dž`.
const MAX_ALIKE: u8 = 4;
/// Maximum number of units that are not their own upper case: Windows has about a thousand. 4 KiB of another file has more
/// than this.
const MAX_LETTERS: usize = 2000;

/// The upper case of each UTF-16 code unit.
#[derive(Clone)]
pub struct UpCase(Arc<[u16; UNITS]>);

/// The latest table that was found sound, with its bytes: the volumes of a disk nearly always have the same one, and share it.
static LATEST: Mutex<Option<(Box<[u8]>, UpCase)>> = Mutex::new(None);
static FALLBACK: LazyLock<UpCase> = LazyLock::new(|| UpCase::collect((0..=u16::MAX).map(simple_upper)));

impl UpCase {
    /// Parses the content of `$UpCase`: 65536 little-endian units.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for any other length, and for anything but an upcase table: ASCII letters have their upper case
    /// (the system's own names need no others), each upper case maps to itself, few units share an upper case, and few
    /// differ from theirs.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != 2 * UNITS {
            let problem = format!("{} bytes instead of {}", bytes.len(), 2 * UNITS);
            return Err(Error::corrupt("$UpCase", None, problem));
        }
        let mut latest = LATEST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((known, table)) = &*latest
            && **known == *bytes
        {
            return Ok(table.clone());
        }
        let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let table = Self::collect(units);
        match table.contradiction() {
            Some((unit, upper)) => {
                let problem = format!("no table of upper cases: that of {unit:#x} would be {upper:#x}");
                Err(Error::corrupt("$UpCase", Place::Byte(2 * u64::from(unit)), problem))
            }
            None => {
                *latest = Some((bytes.into(), table.clone()));
                Ok(table)
            }
        }
    }

    /// The first unit with an impossible upper case, and that upper case.
    fn contradiction(&self) -> Option<(u16, u16)> {
        // For each upper case, the number of other units that map to it.
        let (mut others, mut letters) = (vec![0_u8; UNITS], 0);
        let units = (0..=u16::MAX).zip(self.0.iter().copied());
        // Runs each time a volume is opened: units that are their own upper case, as nearly all are, cost nothing.
        let lower = u16::from(b'a')..=u16::from(b'z');
        units.filter(|(unit, upper)| unit != upper || lower.contains(unit)).find(|(unit, upper)| {
            let count = &mut others[usize::from(*upper)];
            *count = count.saturating_add(1);
            letters += 1;
            let ascii = u8::try_from(*unit).ok().filter(u8::is_ascii);
            ascii.is_some_and(|byte| *upper != u16::from(byte.to_ascii_uppercase()))
                || self.upper(*upper) != *upper
                || *count >= MAX_ALIKE
                || letters > MAX_LETTERS
        })
    }

    /// The fallback for a volume whose own table is unreadable: Unicode's simple mappings, one unit to one. It differs from
    /// the tables of Windows only in rare letters, so that all common names are still found.
    pub fn fallback() -> Self {
        FALLBACK.clone()
    }

    fn collect(units: impl Iterator<Item = u16>) -> Self {
        let units: Arc<[u16]> = units.collect();
        Self(units.try_into().expect("both callers yield 65536 units"))
    }

    /// The upper case of one unit.
    #[inline]
    pub fn upper(&self, unit: u16) -> u16 {
        self.0[usize::from(unit)]
    }

    /// `COLLATION_FILE_NAME`, the order of directories: by upcased code unit, a prefix first.
    pub fn compare(&self, a: &[u16], b: &[u16]) -> Ordering {
        for (&x, &y) in a.iter().zip(b) {
            // Equal units need no table look-up, and most compared units are equal.
            if x != y {
                let order = self.upper(x).cmp(&self.upper(y));
                if order.is_ne() {
                    return order;
                }
            }
        }
        a.len().cmp(&b.len())
    }

    /// True if two names differ at most in case.
    pub fn eq(&self, a: &[u16], b: &[u16]) -> bool {
        a.len() == b.len() && self.compare(a, b).is_eq()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn order_ignores_case_and_puts_prefixes_first() {
        let upcase = UpCase::fallback();
        for (a, b, order) in [
            ("", "", Ordering::Equal),
            ("", "a", Ordering::Less),
            ("ABC", "abc", Ordering::Equal),
            ("abc", "ABCD", Ordering::Less),
            ("b", "ABC", Ordering::Greater),
            ("grüße", "GRÜßE", Ordering::Equal),
            // Upcased, not lowercased: '_' (0x5f) is between the two cases.
            ("_", "a", Ordering::Greater),
            ("ÿ", "z", Ordering::Greater),
        ] {
            assert_eq!(upcase.compare(&units(a), &units(b)), order, "{a} {b}");
            assert_eq!(upcase.compare(&units(b), &units(a)), order.reverse(), "{b} {a}");
            assert_eq!(upcase.eq(&units(a), &units(b)), order.is_eq());
        }
        assert!(upcase.eq(&[0xd800, 0x61], &[0xd800, 0x41]));
    }

    #[test]
    fn letters_that_are_no_half_of_a_pair_stay() {
        let upcase = UpCase::fallback();
        for unit in ['ß', 'ŉ', 'ı', 'ſ', 'ς', 'µ', '入'] {
            let unit = u16::try_from(u32::from(unit)).unwrap();
            assert_eq!(upcase.upper(unit), unit);
        }
    }

    #[test]
    fn a_table_of_another_length_is_refused() {
        assert!(UpCase::parse(&[]).is_err());
        assert!(UpCase::parse(&[0; 2 * UNITS - 2]).is_err());
    }

    /// The fallback in its on-disk form.
    fn stored() -> Vec<u8> {
        UpCase::fallback().0.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    #[test]
    fn what_is_no_table_of_upper_cases_is_refused() {
        assert!(UpCase::parse(&stored()).is_ok());
        let refused = |damage: &dyn Fn(&mut [u8])| {
            let mut table = stored();
            damage(&mut table);
            UpCase::parse(&table).is_err()
        };
        assert!(refused(&|table| table.fill(0)));
        assert!(refused(&|table| table.fill(7)));
        // One damaged cluster at any place: zeros, another file's data, another part of the table.
        for cluster in [0, 1, 15, 31] {
            let range = cluster * 4096..(cluster + 1) * 4096;
            assert!(refused(&|table| table[range.clone()].fill(0)), "{cluster}");
            assert!(refused(&|table| table[range.clone()].fill(b'x')), "{cluster}");
            assert!(refused(&|table| table.copy_within(2 * 4096..3 * 4096, range.start)), "{cluster}");
        }
        // A single wrong letter.
        assert!(refused(&|table| table[2 * usize::from(b'a')] ^= 1));
        assert!(refused(&|table| table[2 * usize::from(b'_')] ^= 1));
    }
}
