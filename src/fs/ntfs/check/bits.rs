//! Bitmaps read bit by bit, and the number of stored bytes of a volume. Guards: holes are skipped in bulk, so that the
//! stored bytes bound the work.

use std::{ops::Range, sync::Arc};

use crate::bytes::{ByteSource, ExtentKind, read_vec};

/// Bytes of a bitmap per read.
const BITS: u64 = 64 << 10;

/// Maximum number of extents counted on a volume; a more scattered one counts as stored in full.
const MAX_RANGES: usize = 1 << 20;

/// The number of stored bytes of a volume; its size if it is too scattered to be counted.
pub(super) fn stored(volume: &dyn ByteSource) -> u64 {
    let (mut at, mut stored) = (0, 0);
    for _ in 0..MAX_RANGES {
        match volume.extent_at(at) {
            Ok(extent) if extent.len > 0 => {
                stored += if extent.kind == ExtentKind::Data { extent.len } else { 0 };
                at += extent.len;
            }
            Ok(_) => return stored,
            Err(_) => break,
        }
    }
    volume.size()
}

/// A bitmap, read mostly in ascending order.
pub(super) struct Bits {
    source: Arc<dyn ByteSource>,
    piece: u64,
    bytes: Vec<u8>,
    /// Byte ranges of the latest hole and of the latest data.
    hole: Range<u64>,
    data: Range<u64>,
}

impl Bits {
    pub(super) fn new(source: Arc<dyn ByteSource>) -> Self {
        Self { source, piece: u64::MAX, bytes: Vec::new(), hole: 0..0, data: 0..0 }
    }

    /// Bit `index`; `None` beyond the end, or if it cannot be read.
    pub(super) fn get(&mut self, index: u64) -> Option<bool> {
        self.byte(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The 64 bits from `index` on, a multiple of 64, and a mask of the readable ones.
    pub(super) fn word(&mut self, index: u64) -> (u64, u64) {
        let at = self.load(index / 8);
        if let Some(word) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            return (u64::from_le_bytes(*word), u64::MAX);
        }
        (0..8).fold((0, 0), |(bits, read), byte| match self.byte(index / 8 + byte) {
            Some(value) => (bits | u64::from(value) << (8 * byte), read | 0xff << (8 * byte)),
            None => (bits, read),
        })
    }

    fn byte(&mut self, index: u64) -> Option<u8> {
        let at = self.load(index);
        self.bytes.get(at).copied()
    }

    /// Reads the piece that contains byte `index`; returns the offset of the byte in it.
    fn load(&mut self, index: u64) -> usize {
        let piece = index / BITS;
        if piece != self.piece {
            let len = self.source.size().saturating_sub(piece.saturating_mul(BITS)).min(BITS);
            let start = piece.saturating_mul(BITS);
            let is_hole = len > 0 && self.hole_at(start) >= len;
            let missing = self.source.missing_from().is_some_and(|held| held <= start);
            let len = usize::try_from(len).expect("at most 64 KiB");
            self.bytes = match is_hole {
                true => vec![0; len],
                false if missing => Vec::new(),
                false => read_vec(&*self.source, start, len).unwrap_or_default(),
            };
            self.piece = piece;
        }
        usize::try_from(index % BITS).expect("64 KiB")
    }

    /// The number of bits up to the end, or to the first one that is not stored.
    pub(super) fn end(&self) -> u64 {
        self.source.missing_from().unwrap_or(self.source.size()).saturating_mul(8)
    }

    /// The number of bits from `index` on, in multiples of 64, that are a hole: readable, and not set.
    pub(super) fn unset_at(&mut self, index: u64) -> u64 {
        self.hole_at(index / 8) / 8 * 64
    }

    /// Number of bytes from `start` on that are a hole.
    fn hole_at(&mut self, start: u64) -> u64 {
        if self.data.contains(&start) {
            return 0;
        }
        if !self.hole.contains(&start) {
            let extent = self.source.extent_at(start).ok();
            let end = extent.map_or(start, |extent| start.saturating_add(extent.len));
            if extent.is_none_or(|extent| extent.kind == ExtentKind::Data) {
                self.data = start..end;
                return 0;
            }
            self.hole = start..end;
        }
        self.hole.end - start
    }

    /// The number of set bits in a range, and the first of them; holes are skipped in bulk.
    pub(super) fn count(&mut self, range: Range<u64>) -> (u64, Option<u64>) {
        let (mut count, mut first) = (0, None);
        let mut at = range.start - range.start % 64;
        let end = range.end.min(self.end());
        while at < end {
            let hole = self.unset_at(at);
            if hole > 0 {
                at = at.saturating_add(hole);
                continue;
            }
            let (bits, read) = self.word(at);
            let after = u64::MAX << range.start.saturating_sub(at).min(63);
            let before = u64::MAX >> (64 - (range.end - at).min(64));
            let bits = bits & read & after & before;
            count += u64::from(bits.count_ones());
            if bits != 0 {
                first = first.or(Some(at + u64::from(bits.trailing_zeros())));
            }
            at += 64;
        }
        (count, first)
    }
}
