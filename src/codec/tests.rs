//! Shared by the tests of both Huffman formats: a writer of their bit stream, and token sequences with their output.

/// Writes 16-bit little-endian units, highest bit first. Whole bytes follow two units that are not written yet, where a
/// reader of single units, which holds at least 16 bits ahead, expects them.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Offsets of the current unit and the next one.
    places: Vec<usize>,
    pending: u64,
    count: u32,
    ahead: usize,
}

impl BitWriter {
    /// A writer that reserves `ahead` units before bytes.
    pub(super) fn new(ahead: usize) -> Self {
        let mut writer = Self { ahead, ..Self::default() };
        writer.reserve();
        writer
    }

    pub(super) fn reserve(&mut self) {
        while self.places.len() < self.ahead {
            self.places.push(self.bytes.len());
            self.bytes.extend([0; 2]);
        }
    }

    pub(super) fn bits(&mut self, value: usize, count: u32) {
        assert!(value >> count == 0);
        self.pending = self.pending << count | value as u64;
        self.count += count;
        // A reader that holds a unit ahead reads the next unit only for the bit behind it.
        self.write_units(if self.ahead > 1 { 17 } else { 16 });
    }

    fn write_units(&mut self, from: u32) {
        while self.count >= from {
            self.count -= 16;
            let unit = u16::try_from(self.pending >> self.count & 0xffff).unwrap();
            let at = self.places.remove(0);
            self.bytes[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            self.reserve();
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub(super) fn is_inside_unit(&self) -> bool {
        self.count > 0
    }

    /// Removes the reservation, for bytes that begin where the next unit would.
    pub(super) fn drop_reserved(&mut self) {
        self.bytes.truncate(self.bytes.len() - 2 * self.places.len());
        self.places.clear();
    }

    /// Fills the current unit; returns the stream without reserved units.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bits(0, (16 - self.count % 16) % 16);
        self.write_units(16);
        while self.places.pop().is_some_and(|place| place + 2 == self.bytes.len()) {
            self.bytes.truncate(self.bytes.len() - 2);
        }
        self.bytes
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Token {
    Literal(u8),
    Copy { distance: usize, length: usize },
}

/// A reproducible sequence of numbers.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Tokens for exactly `size` bytes, with lengths from `shortest` to `longest`, and those bytes.
pub(crate) fn tokens(seed: u64, size: usize, shortest: usize, longest: usize) -> (Vec<Token>, Vec<u8>) {
    let mut random = Random(seed);
    let (mut tokens, mut out) = (Vec::new(), Vec::<u8>::new());
    while out.len() < size {
        let room = size - out.len();
        if out.is_empty() || room < shortest || random.below(3) == 0 {
            let byte = u8::try_from(random.below(256)).unwrap();
            tokens.push(Token::Literal(byte));
            out.push(byte);
            continue;
        }
        let near = if random.below(2) == 0 { 20 } else { usize::MAX };
        let distance = 1 + random.below(out.len().min(near));
        let long = if random.below(6) == 0 { longest } else { 18 };
        let length = (shortest + random.below(long - shortest + 1)).min(room);
        tokens.push(Token::Copy { distance, length });
        (0..length).for_each(|_| out.push(out[out.len() - distance]));
    }
    (tokens, out)
}

/// Decodes damaged copies of `packed`: they fail or fill the output, with the same bytes whatever it contained before.
pub(super) fn survive_damage(packed: &[u8], size: usize, decode: fn(&[u8], &mut [u8]) -> crate::Result<()>) {
    let (mut zeros, mut ones) = (vec![0; size], vec![0xff; size]);
    let mut check = |input: &[u8]| {
        let (first, second) = (decode(input, &mut zeros), decode(input, &mut ones));
        assert_eq!(first.is_ok(), second.is_ok());
        assert!(first.is_err() || zeros == ones);
        ones.fill(0xff);
        zeros.fill(0);
        first.is_ok()
    };
    assert!(check(packed));
    let mut random = Random(7);
    for _ in 0..2000 {
        let mut damaged = packed.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len());
            damaged[at] = u8::try_from(random.below(256)).unwrap();
        }
        check(&damaged);
    }
    // The last unit may be padding.
    for len in 0..packed.len() - 2 {
        assert!(!check(&packed[..len]), "cut to {len} of {}", packed.len());
    }
}
