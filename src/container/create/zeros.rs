//! What of a piece is stored in a new image.

use std::ops::Range;

/// Zeros are looked for in units of this size, that of most filesystems' clusters.
pub(super) const UNIT: usize = 4096;
/// Zeros of fewer units in a row are written: a file of many short holes is slow to read.
const SHORT: usize = 16;

/// The parts that are not zeros; short stretches of zeros between two of them count as data.
pub(super) fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (index, unit) in bytes.chunks(UNIT).enumerate() {
        if is_zero(unit) {
            continue;
        }
        let start = index * UNIT;
        let end = start + unit.len();
        match parts.last_mut() {
            Some(last) if start - last.end < SHORT * UNIT => last.end = end,
            _ => parts.push(start..end),
        }
    }
    parts
}

fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}
