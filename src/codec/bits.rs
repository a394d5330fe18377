//! The bit stream of XPRESS Huffman (MS-XCA 2.2.4) and LZX (MS-PATCH 2.2): 16-bit little-endian units, each from its highest
//! bit down. Reads past the end yield zeros and are counted: a decoder checks `Bits::overran` when it is done.

/// After [`Bits::refill`] at least this many bits can be taken.
pub(super) const READY: u32 = 48;

/// A reader of bits, highest first. Rarely called functions take and return it by value: a reader whose address is never
/// taken stays in registers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    input: &'a [u8],
    /// Offset of the first unit that does not count as buffered. Beyond the input's end the reader supplies zeros.
    at: usize,
    /// The next bits, from the top down. Below the `left` valid bits there may be bits of the following units.
    buffer: u64,
    /// Number of valid bits: at most 63.
    left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at, buffer: 0, left: 0 }
    }

    /// Buffers at least [`READY`] bits.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(next) = self.input.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            // The unit that fits only in part is buffered again by the next refill: the same bits at the same place.
            self.buffer |= swap_units(u64::from_le_bytes(*next)) >> self.left;
            let units = (63 - self.left) >> 4;
            self.at = self.at.wrapping_add(units as usize * 2);
            self.left += units * 16;
        } else {
            *self = self.refilled_near_end();
        }
    }

    #[cold]
    #[inline(never)]
    fn refilled_near_end(mut self) -> Self {
        while self.left < READY {
            let byte = |at: usize| self.input.get(at).copied().unwrap_or(0);
            let unit = u16::from_le_bytes([byte(self.at), byte(self.at.wrapping_add(1))]);
            self.buffer |= u64::from(unit) << (48 - self.left);
            self.at = self.at.saturating_add(2);
            self.left += 16;
        }
        self
    }

    /// The next 64 bits, of which only the buffered ones are valid.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.buffer
    }

    /// Number of buffered bits.
    #[inline(always)]
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// Drops the number of bits in the low six bits of `entry`; they must be buffered.
    #[inline(always)]
    pub(super) fn skip_entry(&mut self, entry: u32) {
        // A shift uses these six bits alone.
        self.buffer = self.buffer.wrapping_shl(entry);
        self.left = self.left.wrapping_sub(entry & 0x3f);
    }

    /// Drops `count` bits, which must be buffered.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer = self.buffer.wrapping_shl(count);
        self.left = self.left.wrapping_sub(count);
    }

    /// Takes `count` buffered bits, up to 32; 0 for no bits.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> usize {
        // In two shifts: one shift by 64 would wrap to 0.
        let value = (self.buffer >> 1) >> 63_u32.wrapping_sub(count).min(63);
        self.skip(count);
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    /// Takes bits for headers, one field per call: refills by itself.
    pub(super) fn next(&mut self, count: u32) -> usize {
        self.refill();
        self.take(count)
    }

    /// Switches to whole bytes: returns the offset behind the last unit that a reader of single units, which holds at least
    /// 16 bits ahead, would have read when `left` bits were buffered. Drops the buffered bits that belong behind those
    /// bytes.
    #[inline(always)]
    pub(super) fn interrupt(&mut self, left: u32) -> usize {
        let surplus = (left >> 4).saturating_sub(1);
        self.left -= surplus * 16;
        // The refill expects zeros below the valid bits.
        self.buffer &= !(u64::MAX >> self.left);
        self.at - surplus as usize * 2
    }

    /// Continues with units at offset `at`.
    #[inline(always)]
    pub(super) fn resume(&mut self, at: usize) {
        self.at = at;
    }

    /// Drops the rest of the current unit, a whole one if none is begun, and returns the offset of the next one.
    pub(super) fn align(&mut self) -> usize {
        self.refill();
        let used = self.left % 16;
        self.skip(if used == 0 { 16 } else { used });
        let at = self.at - self.left as usize / 8;
        (self.buffer, self.left) = (0, 0);
        at
    }

    /// Offset of the next unit of which no bit is taken.
    pub(super) fn position(&self) -> usize {
        self.at.saturating_sub(self.left as usize / 16 * 2)
    }

    /// True if bits were taken beyond the end of the input.
    pub(super) fn overran(&self) -> bool {
        self.position() > self.input.len().next_multiple_of(2)
    }
}

/// The four units of a little-endian word, the first on top.
#[inline(always)]
fn swap_units(word: u64) -> u64 {
    let word = word.rotate_left(32);
    (word >> 16 & 0x0000_ffff_0000_ffff) | (word & 0x0000_ffff_0000_ffff) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_little_endian_and_bits_come_from_the_top() {
        let input: Vec<u8> = (0..40).map(|i| i * 5 + 1).collect();
        let bit = |at: usize| input[at / 16 * 2 + usize::from(at % 16 < 8)] >> (7 - at % 8) & 1;
        let mut bits = Bits::new(&input, 0);
        let mut at = 0;
        for count in [3, 16, 1, 15, 16, 0, 16, 7, 13, 16, 16, 16, 5, 11, 16, 16, 16, 16] {
            let expected = (at..at + count).fold(0, |value, at| value << 1 | usize::from(bit(at)));
            assert_eq!(bits.next(u32::try_from(count).unwrap()), expected, "{count} at {at}");
            at += count;
        }
        while at < input.len() * 8 {
            bits.next(1);
            at += 1;
        }
        assert!(!bits.overran());
        assert_eq!(bits.next(1), 0);
        assert!(bits.overran());
    }

    #[test]
    fn bytes_inside_the_stream_lie_behind_the_units_read_ahead() {
        // Two units, then a byte, then units again.
        let input = [0x34, 0x12, 0x78, 0x56, 0xaa, 0xbc, 0x9a, 0xf0, 0xde, 1, 2, 3, 4, 5, 6];
        let mut bits = Bits::new(&input, 0);
        bits.refill();
        assert_eq!(bits.take(4), 1);
        let at = bits.interrupt(bits.left());
        assert_eq!((at, input[at]), (4, 0xaa));
        bits.resume(at + 1);
        assert_eq!((bits.next(12), bits.next(16), bits.next(16)), (0x234, 0x5678, 0x9abc));
    }

    #[test]
    fn alignment_drops_a_whole_unit_where_none_was_begun() {
        let input = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let mut bits = Bits::new(&input, 0);
        bits.next(16);
        assert_eq!(bits.align(), 4);
        let mut bits = Bits::new(&input, 2);
        bits.next(5);
        assert_eq!(bits.align(), 4);
    }
}
