//! Names of keys and values: in bytes (Latin-1) or UTF-16, compared by their upper case.

use crate::case::simple_upper;

/// True if two names differ at most in case.
pub fn same(a: &[u16], b: &[u16]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || simple_upper(*a) == simple_upper(*b))
}

/// A name in upper case: names that are [`same`] have the same one, and in its order Windows sorts keys.
pub fn fold(name: &[u16]) -> Vec<u16> {
    name.iter().map(|unit| simple_upper(*unit)).collect()
}

/// The name of `length` bytes at the beginning of `bytes`; `None` if it does not fit.
pub(super) fn decode(bytes: &[u8], length: u16, in_bytes: bool) -> Option<Vec<u16>> {
    let bytes = bytes.get(..length.into())?;
    if in_bytes {
        return Some(bytes.iter().map(|byte| u16::from(*byte)).collect());
    }
    units(bytes)
}

/// UTF-16 code units; `None` for an odd number of bytes.
pub(super) fn units(bytes: &[u8]) -> Option<Vec<u16>> {
    let (units, rest) = bytes.as_chunks();
    rest.is_empty().then(|| units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
}
