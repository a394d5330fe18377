//! Choices read from a byte string: of a fuzzer, or of a seeded generator in tests.

/// Reads choices from the front. A string that is used up answers 0, which everywhere is the plainest choice; so each
/// string means something, and a shorter one something simpler.
#[derive(Debug, Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Choices from these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Two bytes, little-endian.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// One of the values; the first is the plainest.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// True in one case of `cases`, never for an empty input.
    pub fn once_in(&mut self, cases: usize) -> bool {
        self.below(cases) == cases - 1
    }

    /// The last `len` bytes, which no choice reads any more; fewer if there are fewer.
    pub fn split_end(&mut self, len: usize) -> &'a [u8] {
        let (front, end) = self.0.split_at(self.0.len() - len.min(self.0.len()));
        self.0 = front;
        end
    }

    /// The first `len` bytes, for choices of their own; fewer if there are fewer.
    pub fn split_start(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// Number of bytes that are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

/// `len` bytes of the same sequence for the same seed on every machine (xorshift64*): the input of ordinary tests, and the
/// content of files.
pub fn seeded(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; len.next_multiple_of(8)];
    // Eight bytes at a time: fuzzers count every step of a loop.
    for word in bytes.as_chunks_mut().0 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        *word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
    }
    bytes.truncate(len);
    bytes
}
