//! Signature checks: bounded reads that stop at the end of the source.

use super::{ByteSource, read_around_bad_sectors, read_vec};
use crate::Result;

/// Whether `bytes` has this signature at `offset`.
pub fn has(bytes: &[u8], offset: usize, signature: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(signature))
}

/// The first `len` bytes of a source, or all of a shorter one. An unreadable sector is zeros: it hides only the signatures
/// within it.
///
/// # Errors
/// When none of it can be read.
pub fn read_front(source: &dyn ByteSource, len: usize) -> Result<Vec<u8>> {
    Ok(read_around_bad_sectors(source, 0, within(source, 0, len))?.0)
}

/// The bytes at `offset`; fewer or none at the end of the source.
///
/// # Errors
/// As [`ByteSource::read_exact_at`].
pub fn read_up_to(source: &dyn ByteSource, offset: u64, len: usize) -> Result<Vec<u8>> {
    match within(source, offset, len) {
        0 => Ok(Vec::new()),
        len => read_vec(source, offset, len),
    }
}

fn within(source: &dyn ByteSource, offset: u64, len: usize) -> usize {
    usize::try_from(source.size().saturating_sub(offset)).map_or(len, |rest| rest.min(len))
}
