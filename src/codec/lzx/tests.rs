use super::*;
use crate::codec::tests::{BitWriter, Token, survive_damage, tokens};

/// Writes blocks whose codes are nearly flat: 16 main words of 8 bits and 480 of 9; 7 length words of 7 bits and 242
/// of 8; aligned words of 3.
struct Encoder {
    writer: BitWriter,
    recent: [usize; 3],
    /// The first block's lengths are differences from zeros; those of later blocks are unchanged.
    has_lengths: bool,
}

impl Encoder {
    fn new() -> Self {
        Self { writer: BitWriter::new(1), recent: [1; 3], has_lengths: false }
    }

    fn header(&mut self, kind: usize, size: usize) {
        self.writer.bits(kind, 3);
        if size == MAX_OUTPUT {
            self.writer.bits(1, 1);
        } else {
            self.writer.bits(size, 17);
        }
        if kind == 2 {
            (0..8).for_each(|_| self.writer.bits(3, 3));
        }
    }

    /// Writes the lengths: `short` words of one length and `long` of the next, by single differences or runs.
    fn lengths(&mut self, parts: &[(usize, usize)]) {
        // Symbols 0, 7 to 10 and 19 in words of 3 bits, 18 and 17 of 3, as 8 in all.
        let symbols = [0, 7, 8, 9, 10, 17, 18, 19];
        (0..20).for_each(|symbol| self.writer.bits(if symbols.contains(&symbol) { 3 } else { 0 }, 4));
        let word = |symbol| symbols.iter().position(|other| *other == symbol).unwrap();
        for &(length, mut count) in parts {
            let difference = if self.has_lengths { 0 } else { (17 - length) % 17 };
            while count > 0 {
                if count >= 5 {
                    self.writer.bits(word(19), 3);
                    self.writer.bits(1, 1);
                    count -= 4;
                }
                self.writer.bits(word(difference), 3);
                count -= 1;
            }
        }
    }

    fn codes(&mut self) {
        self.lengths(&[(8, 16), (9, 240)]);
        self.lengths(&[(9, 240)]);
        self.lengths(&[(7, 7), (8, 242)]);
        self.has_lengths = true;
    }

    fn main(&mut self, symbol: usize) {
        if symbol < 16 { self.writer.bits(symbol, 8) } else { self.writer.bits(symbol + 16, 9) }
    }

    fn tokens(&mut self, tokens: &[Token], aligned: bool) {
        for token in tokens {
            match *token {
                Token::Literal(byte) => self.main(byte.into()),
                Token::Copy { distance, length } => self.copy(distance, length - COPY_MIN, aligned),
            }
        }
    }

    fn copy(&mut self, distance: usize, length: usize, aligned: bool) {
        let recent = self.recent.iter().position(|recent| *recent == distance);
        let (slot, extra, value) = match recent {
            Some(slot) => {
                self.recent.swap(0, slot);
                (slot, 0, 0)
            }
            None => {
                self.recent = [distance, self.recent[0], self.recent[1]];
                let stored = distance + 2;
                let log2 = stored.ilog2();
                let slot = if stored < 4 { stored } else { 2 * log2 as usize + (stored >> (log2 - 1) & 1) };
                let extra = if slot < 4 { 0 } else { log2 - 1 };
                (slot, extra, stored & ((1 << extra) - 1))
            }
        };
        self.main(256 + slot * 8 + length.min(LONG));
        if length >= LONG {
            let more = length - LONG;
            if more < 7 { self.writer.bits(more, 7) } else { self.writer.bits(more + 7, 8) }
        }
        if aligned && extra >= ALIGNED_BITS {
            self.writer.bits(value >> 3, extra - 3);
            self.writer.bits(value & 7, 3);
        } else {
            self.writer.bits(value, extra);
        }
    }

    fn stored(&mut self, bytes: &[u8]) {
        self.header(3, bytes.len());
        self.writer.bits(0, 1);
        while self.writer.is_inside_unit() {
            self.writer.bits(0, 1);
        }
        self.writer.drop_reserved();
        for recent in self.recent {
            self.writer.bytes(&u32::try_from(recent).unwrap().to_le_bytes());
        }
        self.writer.bytes(bytes);
        self.writer.bytes(&[0; 1][..bytes.len() % 2]);
        self.writer.reserve();
    }
}

fn encode(tokens: &[Token], size: usize, aligned: bool) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.header(if aligned { 2 } else { 1 }, size);
    encoder.codes();
    encoder.tokens(tokens, aligned);
    encoder.writer.finish()
}

fn decoded(input: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0xee; len];
    decode(input, &mut out).map(|()| out)
}

/// The output for tokens that yield `bytes`: every call byte is taken as translated.
fn without_calls(mut bytes: Vec<u8>) -> Vec<u8> {
    x86::undo(&mut bytes);
    bytes
}

#[test]
fn tokens_become_their_output() {
    for seed in 0..40 {
        let size = [1, 2, 3, 100, 4097, 10_000, 32_767, 32_768][seed % 8];
        let (tokens, expected) = tokens(seed as u64, size, COPY_MIN, 257);
        let packed = encode(&tokens, size, seed % 3 == 0);
        assert!(decoded(&packed, size).unwrap() == without_calls(expected), "seed {seed}");
    }
}

#[test]
fn blocks_of_every_kind_follow_each_other() {
    let stored: Vec<u8> = (0..1001).map(|i: usize| (i * 7).to_le_bytes()[0]).collect();
    let mut encoder = Encoder::new();
    let (mut expected, sizes) = (Vec::new(), [5000, 6000, 7000]);
    for (seed, size) in (0..).zip(sizes) {
        let (tokens, bytes) = tokens(seed, size, COPY_MIN, 257);
        encoder.header(1 + usize::from(seed != 1), size);
        encoder.codes();
        encoder.tokens(&tokens, seed != 1);
        expected.extend(bytes);
        encoder.stored(&stored);
        expected.extend(&stored);
    }
    let (packed, len) = (encoder.writer.finish(), expected.len());
    assert!(decoded(&packed, len).unwrap() == without_calls(expected));
}

#[test]
fn calls_become_relative_unless_they_lead_out_of_the_file() {
    let call = |at: usize, target: i32| {
        let mut data = vec![0x90; 64];
        data[at] = x86::CALL;
        data[at + 1..at + 5].copy_from_slice(&target.to_le_bytes());
        x86::undo(&mut data);
        i32::from_le_bytes(*data[at + 1..].first_chunk().unwrap())
    };
    assert_eq!(call(7, 100), 93);
    assert_eq!(call(7, 0), -7);
    assert_eq!(call(7, 11_999_999), 11_999_992);
    assert_eq!(call(7, 12_000_000), 12_000_000);
    assert_eq!(call(7, -7), 11_999_993);
    assert_eq!(call(7, -8), -8);
    assert_eq!(call(53, 100), 47);
    // The last ten bytes are not translated, nor is a call inside of a target.
    assert_eq!(call(54, 100), 100);
    assert_eq!(call(40, i32::from_le_bytes([0, 0xe8, 1, 0])), i32::from_le_bytes([0, 0xe8, 1, 0]) - 40);
    x86::undo(&mut []);
    x86::undo(&mut [x86::CALL; 9]);
}

#[test]
fn contradictions_are_errors() {
    let problem = |encoder: Encoder, len| {
        let packed = encoder.writer.finish();
        decoded(&packed, len).unwrap_err().to_string()
    };
    let begin = |kind, size| {
        let mut encoder = Encoder::new();
        encoder.header(kind, size);
        encoder
    };
    assert!(problem(begin(0, 10), 10).contains("unknown type"));
    assert!(problem(begin(4, 10), 10).contains("unknown type"));
    assert!(problem(begin(1, 0), 10).contains("empty block"));
    assert!(problem(begin(1, 11), 10).contains("block beyond the output"));
    let mut too_long = begin(1, 5);
    too_long.codes();
    too_long.tokens(&[Token::Literal(1), Token::Copy { distance: 1, length: 9 }], false);
    assert!(problem(too_long, 100).contains("copy beyond its block"));
    let mut before = begin(1, 5);
    before.codes();
    before.tokens(&[Token::Literal(1), Token::Copy { distance: 2, length: 4 }], false);
    assert!(problem(before, 5).contains("before the output"));
    let (tokens, _) = tokens(1, 300, COPY_MIN, 100);
    assert!(decoded(&encode(&tokens, 300, false), 400).is_err());
    assert!(decode(&[], &mut vec![0; MAX_OUTPUT + 1]).is_err());
    assert!(decoded(&[], 0).unwrap().is_empty());
}

#[test]
fn damage_is_an_error_or_other_bytes() {
    let (tokens, _) = tokens(5, 900, COPY_MIN, 100);
    survive_damage(&encode(&tokens, 900, true), 900, decode);
    survive_damage(&encode(&tokens, 900, false), 900, decode);
}

/// Words of 16, 16, 10 and 7 bits in a row: the most bits that are taken between two refills.
#[test]
fn the_longest_words_follow_each_other() {
    let lengths =
        |writer: &mut BitWriter, symbols: std::ops::Range<usize>, length: &dyn Fn(usize) -> usize| {
            (0..20).for_each(|_| writer.bits(5, 4));
            symbols.for_each(|symbol| writer.bits((17 - length(symbol)) % 17, 5));
        };
    // A copy of the latest distance with a length that follows: 1 bit. The literal 0: 2 bits. The literal 255 and a copy
    // from the farthest slot: 16 bits, as unused words of 3 to 15 bits fill the rest.
    let main = |symbol: usize| match symbol {
        263 => 1,
        0..14 => symbol + 2,
        255 | 488 => 16,
        _ => 0,
    };
    // Number of literals between the long words: covers every position in a unit.
    let fill = |round: usize| round % 17;
    let mut expected: Vec<u8> = vec![0; 1 + 96 * 257];
    for round in 0..600 {
        expected.resize(expected.len() + fill(round), 0);
        expected.push(0xff);
        let from = expected.len() - 24_581;
        expected.extend_from_within(from..from + 2);
    }
    let mut writer = BitWriter::new(1);
    writer.bits(2, 3);
    writer.bits(expected.len(), 17);
    [1, 2, 3, 4, 5, 6, 7, 7].iter().for_each(|length| writer.bits(*length, 3));
    lengths(&mut writer, 0..256, &main);
    lengths(&mut writer, 256..MAIN_SYMBOLS, &main);
    lengths(&mut writer, 0..LENGTH_SYMBOLS, &|symbol| usize::from(symbol >= 247));
    writer.bits(0b10, 2);
    (0..96).for_each(|_| writer.bits(0b01, 2));
    for round in 0..600 {
        (0..fill(round)).for_each(|_| writer.bits(0b10, 2));
        [(0xfffe, 16), (0xffff, 16), (0, 10), (0x7f, 7)]
            .iter()
            .for_each(|(word, len)| writer.bits(*word, *len));
    }
    let packed = writer.finish();
    assert!(decoded(&packed, expected.len()).unwrap() == without_calls(expected));
}
