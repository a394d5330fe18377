//! The index blocks in use, by the index bitmap. Guards: no more blocks are visited than the volume has clusters.

use super::{Directory, MAX_BLOCKS, OFFSET_BITS};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, ExtentKind},
    fs::DirCursor,
};

/// Iterates over the blocks in use, ascending. Holes of the index and of its bitmap are skipped in bulk, so that the visited
/// blocks are bounded by the volume's clusters, and zeros of the bitmap are not tested one by one.
pub(in super::super) struct UsedBlocks<'a> {
    directory: &'a Directory,
    next: u64,
    bits: [u8; 4096],
    /// Number of the bitmap's piece in `bits`.
    chunk: Option<u64>,
}

impl<'a> UsedBlocks<'a> {
    /// Starts at the block that a cursor points into.
    pub(in super::super) fn from(directory: &'a Directory, cursor: DirCursor) -> Self {
        Self::new(directory, (cursor.0 >> OFFSET_BITS).saturating_sub(1))
    }

    pub(super) fn new(directory: &'a Directory, next: u64) -> Self {
        Self { directory, next, bits: [0; 4096], chunk: None }
    }

    pub(in super::super) fn next(&mut self) -> Result<Option<u64>> {
        let size = self.directory.block_size;
        let Some(blocks) = &self.directory.blocks else { return Ok(None) };
        loop {
            let index = self.next;
            let fits = |offset: &u64| offset.checked_add(size).is_some_and(|end| end <= blocks.size());
            let Some(offset) = index.checked_mul(size).filter(fits) else { return Ok(None) };
            let Some((position, len)) = blocks.runs().find(offset) else { return Ok(None) };
            let unused = match position {
                None => (len / size).max(1),
                Some(_) => self.unused(index)?,
            };
            self.next = index.saturating_add(unused.max(1));
            if unused == 0 {
                if index >= MAX_BLOCKS {
                    return Err(Error::corrupt(
                        "index block",
                        Place::Byte(offset),
                        "more blocks than a volume can hold",
                    ));
                }
                return Ok(Some(index));
            }
        }
    }

    /// The number of unused blocks from `index` on, as far as known without more reads; 0 if this one is in use.
    fn unused(&mut self, index: u64) -> Result<u64> {
        let Some(bitmap) = &self.directory.bitmap else { return Ok(0) };
        let (byte, len) = (index / 8, self.bits.len() as u64);
        let chunk = byte / len;
        if byte >= bitmap.size() {
            return Ok(u64::MAX);
        }
        if self.chunk != Some(chunk) {
            let extent = bitmap.extent_at(byte)?;
            if extent.kind == ExtentKind::Hole {
                return Ok(extent.len.max(1).saturating_mul(8) - index % 8);
            }
            let take = (bitmap.size() - chunk * len).min(len);
            let take = usize::try_from(take).expect("at most 4096");
            bitmap.read_exact_at(chunk * len, &mut self.bits[..take])?;
            // Beyond the bitmap's end no block is in use.
            self.bits[take..].fill(0);
            self.chunk = Some(chunk);
        }
        let at = usize::try_from(byte % len).expect("below 4096");
        let here = self.bits[at] >> (index % 8);
        if here != 0 {
            return Ok(here.trailing_zeros().into());
        }
        let zeros = self.bits[at + 1..].iter().take_while(|byte| **byte == 0).count() as u64;
        Ok(8 * (zeros + 1) - index % 8)
    }
}
