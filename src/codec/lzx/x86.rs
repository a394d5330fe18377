//! The translation of x86 calls: a compressor replaces the relative target after each byte 0xE8 by the absolute one, which
//! repeats more often. Targets outside of the file, which counts as 12,000,000 bytes long, are not translated.

/// The opcode of CALL.
pub(super) const CALL: u8 = 0xe8;
const FILE_SIZE: i32 = 12_000_000;
/// Calls that begin in the last bytes of a buffer are not translated.
const TAIL: usize = 10;
/// Length of opcode and target.
const CALL_SIZE: usize = 5;

/// Replaces absolute targets by relative ones. Positions count from the start of `data`.
pub(super) fn undo(data: &mut [u8]) {
    let end = data.len().saturating_sub(TAIL);
    let mut at = 0;
    while let Some(skip) = find_call(data.get(at..end).unwrap_or_default()) {
        at += skip;
        if let Some(target) = data[at + 1..].first_chunk_mut() {
            let position = i32::try_from(at).expect("a chunk is small");
            let absolute = i32::from_le_bytes(*target);
            let relative = match absolute {
                0..FILE_SIZE => Some(absolute - position),
                _ if absolute < 0 && absolute >= -position => Some(absolute + FILE_SIZE),
                _ => None,
            };
            if let Some(relative) = relative {
                *target = relative.to_le_bytes();
            }
        }
        at += CALL_SIZE;
    }
}

fn find_call(data: &[u8]) -> Option<usize> {
    let blocks = data.as_chunks::<32>().0;
    // One comparison per block: most blocks have no call.
    let skipped =
        blocks.iter().take_while(|block| !block.iter().fold(false, |found, byte| found | (*byte == CALL)));
    let start = skipped.count() * 32;
    data[start..].iter().position(|byte| *byte == CALL).map(|at| start + at)
}
