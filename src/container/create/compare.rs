//! Comparing a new image with the disk that it was made from.

use std::ops::{ControlFlow, Range};

use crate::{
    Result,
    bytes::{ByteSource, ExtentKind},
};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// The first byte in which two disks differ; the end of the shorter one if it is the beginning of the other, `None` if they are
/// equal or `progress` has ended the comparison. Holes of both are not read. `skip` as in [`Copy`](super::Copy).
///
/// # Errors
/// When one of them cannot be read.
pub fn first_difference(
    one: &dyn ByteSource,
    other: &dyn ByteSource,
    skip: &[Range<u64>],
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<u64>> {
    let size = one.size().min(other.size());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut skip = skip.iter().peekable();
    let mut offset = 0;
    while offset < size {
        while skip.next_if(|range| range.end <= offset).is_some() {}
        let next = match skip.peek() {
            Some(range) if range.start <= offset => {
                offset = range.end.min(size);
                continue;
            }
            Some(range) => range.start,
            None => size,
        };
        let extents = [one.extent_at(offset)?, other.extent_at(offset)?];
        let stored = extents.iter().any(|extent| extent.kind == ExtentKind::Data);
        let len = extents.iter().map(|extent| extent.len.max(1)).min().unwrap_or(1);
        let mut end = next.min(size).min(offset.saturating_add(len));
        if stored {
            end = end.min(offset / PIECE * PIECE + PIECE);
            let len = usize::try_from(end - offset).expect("at most a piece");
            left.resize(len, 0);
            right.resize(len, 0);
            one.read_exact_at(offset, &mut left)?;
            other.read_exact_at(offset, &mut right)?;
            if left != right {
                let within = left.iter().zip(&right).position(|(a, b)| a != b).unwrap_or(0);
                return Ok(Some(offset + within as u64));
            }
        }
        offset = end;
        if progress(offset).is_break() {
            return Ok(None);
        }
    }
    Ok((one.size() != other.size()).then_some(size))
}
