//! LZX (MS-PATCH 2) in the variant of WIM files and WOF: each buffer of at most 32 KiB is independent, one bit of a block's
//! header means the default size, and x86 calls are always translated, for a file size of 12,000,000.
//!
//! A buffer is a sequence of blocks: literals and copies in Huffman codes ("verbatim"; "aligned", where the low bits of
//! distances have a code, too) or stored bytes. A block's code lengths are differences from those of the previous block.

use std::cell::Cell;

use super::{bits::Bits, copy::copy_match, huffman::Code};
use crate::{Error, Result};

mod lengths;
mod x86;

/// The largest output of one buffer, and so the farthest that a copy can reach.
pub const MAX_OUTPUT: usize = 32 << 10;

/// Literals, then copies: eight lengths for each of 30 slots of distances.
const MAIN_SYMBOLS: usize = 256 + 8 * 30;
/// Number of symbols of the length code, for lengths above those in the main code's symbols.
const LENGTH_SYMBOLS: usize = 249;
const ALIGNED_SYMBOLS: usize = 8;
/// Value of a main symbol's length field: a symbol of the length code follows.
const LONG: usize = 7;
const COPY_MIN: usize = 2;
/// From this number of extra bits on, the low three are in the aligned code.
const ALIGNED_BITS: u32 = 3;
/// The first slots mean the most recent distances.
const RECENT: usize = 3;
/// Stored distances are increased by this.
const ADJUSTMENT: u32 = 2;

const LITERAL: u32 = 1 << 6;
const IS_RECENT: u32 = 1 << 7;
/// Payload of main symbols. A literal: a flag, and the byte in bits 8 to 15. A copy: its length field in bits 8 to 10, the
/// number of extra bits of its distance in 12 to 15, the distance without them (or the index of a recent one) in 16 to 31.
static MAIN: [u32; MAIN_SYMBOLS] = main_payload();
static LENGTH: [u32; LENGTH_SYMBOLS] = numbers();
static ALIGNED: [u32; ALIGNED_SYMBOLS] = numbers();

const fn main_payload() -> [u32; MAIN_SYMBOLS] {
    let mut payload = [0; MAIN_SYMBOLS];
    let mut symbol = 0_u32;
    let mut base = 0;
    while symbol < 496 {
        payload[symbol as usize] = if symbol < 256 {
            LITERAL | symbol << 8
        } else {
            let slot = (symbol - 256) / 8;
            let extra = if slot < 4 { 0 } else { slot / 2 - 1 };
            let distance = if slot < 3 { slot << 16 | IS_RECENT } else { (base - ADJUSTMENT) << 16 };
            if symbol % 8 == 7 {
                base += 1 << extra;
            }
            distance | extra << 12 | (symbol % 8) << 8
        };
        symbol += 1;
    }
    payload
}

const fn numbers<const SYMBOLS: usize>() -> [u32; SYMBOLS] {
    let mut payload = [0; SYMBOLS];
    let mut symbol = 0_u32;
    while (symbol as usize) < SYMBOLS {
        payload[symbol as usize] = symbol << 8;
        symbol += 1;
    }
    payload
}

/// The codes of a block and their word lengths, to which the next block's lengths are differences.
struct Decoder {
    main: Code<MAIN_SYMBOLS, 2048>,
    length: Code<LENGTH_SYMBOLS, 1024>,
    aligned: Code<ALIGNED_SYMBOLS, 128>,
    main_lengths: [u8; MAIN_SYMBOLS],
    length_lengths: [u8; LENGTH_SYMBOLS],
}

thread_local! {
    /// The tables, which each block rebuilds.
    static DECODER: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

/// Decompresses one buffer and fills `out`, which is as long as its uncompressed data: at most [`MAX_OUTPUT`].
///
/// # Errors
/// [`Error::Corrupt`] for invalid data, or data that yields fewer or more bytes. `out` then holds nothing usable.
pub fn decode(input: &[u8], out: &mut [u8]) -> Result<()> {
    if out.len() > MAX_OUTPUT {
        return Err(Error::invalid("LZX data for more than 32 KiB"));
    }
    let mut decoder = DECODER.take().unwrap_or_else(Decoder::new);
    let decoded = decoder.decode(input, out);
    DECODER.set(Some(decoder));
    let has_calls = decoded.map_err(|problem| Error::corrupt("LZX data", None, problem))?;
    if has_calls {
        x86::undo(out);
    }
    Ok(())
}

/// The header of a block.
enum Block {
    Verbatim,
    Aligned,
    Stored,
}

impl Decoder {
    fn new() -> Box<Self> {
        Box::new(Self {
            main: Code::new(),
            length: Code::new(),
            aligned: Code::new(),
            main_lengths: [0; MAIN_SYMBOLS],
            length_lengths: [0; LENGTH_SYMBOLS],
        })
    }

    /// Returns whether the output may contain the byte that begins an x86 call.
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<bool, &'static str> {
        let mut bits = Bits::new(input, 0);
        self.main_lengths.fill(0);
        self.length_lengths.fill(0);
        let mut recent = [1; RECENT];
        let (mut to, mut has_calls) = (0, false);
        while to < out.len() {
            let (block, size) = block_header(&mut bits)?;
            let end = to + size;
            // Blocks end where copies end, so that each decodes into exactly its part of the output.
            let decoded = out.get_mut(..end).ok_or("block beyond the output")?;
            match block {
                Block::Stored => {
                    read_stored(input, &mut bits, &mut decoded[to..], &mut recent)?;
                    has_calls = true;
                }
                Block::Verbatim => {
                    self.read_codes(&mut bits)?;
                    bits = self.decode_block::<false>(bits, out, to..end, &mut recent)?;
                }
                Block::Aligned => {
                    let lengths = std::array::from_fn(|_| u8::try_from(bits.next(3)).unwrap_or(0));
                    self.aligned.build(&lengths, &ALIGNED)?;
                    self.read_codes(&mut bits)?;
                    bits = self.decode_block::<true>(bits, out, to..end, &mut recent)?;
                }
            }
            has_calls |= self.main_lengths[usize::from(x86::CALL)] != 0;
            to = end;
        }
        if bits.overran() { Err("ends early") } else { Ok(has_calls) }
    }

    fn read_codes(&mut self, bits: &mut Bits<'_>) -> Result<(), &'static str> {
        let (literals, copies) = self.main_lengths.split_at_mut(256);
        lengths::read(bits, literals)?;
        lengths::read(bits, copies)?;
        lengths::read(bits, &mut self.length_lengths)?;
        self.main.build(&self.main_lengths, &MAIN)?;
        self.length.build(&self.length_lengths, &LENGTH)
    }

    #[inline(never)]
    fn decode_block<'a, const HAS_ALIGNED: bool>(
        &self,
        mut bits: Bits<'a>,
        out: &mut [u8],
        range: std::ops::Range<usize>,
        recent: &mut [usize; RECENT],
    ) -> Result<Bits<'a>, &'static str> {
        const UNASSIGNED: &str = "bits that are no code word";
        let (mut to, end) = (range.start, range.end);
        while to < end {
            // Words have at most 16 bits: one refill is enough for three, or one and the 17 bits of an aligned distance.
            bits.refill();
            let mut symbol = self.main.decode(&mut bits, &MAIN).ok_or(UNASSIGNED)?;
            if symbol & LITERAL != 0 {
                out[to] = literal(symbol);
                to = to.wrapping_add(1);
                if to >= end {
                    break;
                }
                symbol = self.main.decode(&mut bits, &MAIN).ok_or(UNASSIGNED)?;
                if symbol & LITERAL != 0 {
                    out[to] = literal(symbol);
                    to = to.wrapping_add(1);
                    if to >= end {
                        break;
                    }
                    symbol = self.main.decode(&mut bits, &MAIN).ok_or(UNASSIGNED)?;
                    if symbol & LITERAL != 0 {
                        out[to] = literal(symbol);
                        to = to.wrapping_add(1);
                        continue;
                    }
                }
                bits.refill();
            }
            let mut length = symbol as usize >> 8 & 7;
            if length == LONG {
                let more = self.length.decode(&mut bits, &LENGTH).ok_or(UNASSIGNED)?;
                length = length.wrapping_add(more as usize >> 8);
                bits.refill();
            }
            let distance = self.distance::<HAS_ALIGNED>(&mut bits, symbol, recent).ok_or(UNASSIGNED)?;
            to = copy_match(out, to, distance, length.wrapping_add(COPY_MIN))?;
        }
        if to > end { Err("copy beyond its block") } else { Ok(bits) }
    }

    #[inline(always)]
    fn distance<const HAS_ALIGNED: bool>(
        &self,
        bits: &mut Bits<'_>,
        symbol: u32,
        recent: &mut [usize; RECENT],
    ) -> Option<usize> {
        let base = symbol as usize >> 16;
        if symbol & IS_RECENT != 0 {
            recent.swap(0, base % RECENT);
            return Some(recent[0]);
        }
        let extra = symbol >> 12 & 15;
        let distance = if HAS_ALIGNED && extra >= ALIGNED_BITS {
            let high = bits.take(extra - ALIGNED_BITS);
            let low = self.aligned.decode(bits, &ALIGNED)?;
            base.wrapping_add(high << ALIGNED_BITS | low as usize >> 8)
        } else {
            base.wrapping_add(bits.take(extra))
        };
        *recent = [distance, recent[0], recent[1]];
        Some(distance)
    }
}

#[inline(always)]
fn literal(symbol: u32) -> u8 {
    symbol.to_le_bytes()[1]
}

fn block_header(bits: &mut Bits<'_>) -> Result<(Block, usize), &'static str> {
    let block = match bits.next(3) {
        1 => Block::Verbatim,
        2 => Block::Aligned,
        3 => Block::Stored,
        _ => return Err("unknown type of block"),
    };
    let size = if bits.next(1) == 1 { MAX_OUTPUT } else { bits.next(16) };
    if size == 0 { Err("empty block") } else { Ok((block, size)) }
}

/// A stored block: the recent distances, then bytes, then one of padding if their number is odd.
fn read_stored(
    input: &[u8],
    bits: &mut Bits<'_>,
    out: &mut [u8],
    recent: &mut [usize; RECENT],
) -> Result<(), &'static str> {
    let at = bits.align();
    let stored = input.get(at..).unwrap_or_default();
    let (header, stored) = stored.split_first_chunk::<{ 4 * RECENT }>().ok_or("ends early")?;
    for (recent, bytes) in recent.iter_mut().zip(header.as_chunks().0) {
        *recent = usize::try_from(u32::from_le_bytes(*bytes)).unwrap_or(usize::MAX);
    }
    out.copy_from_slice(stored.get(..out.len()).ok_or("ends early")?);
    bits.resume(at + header.len() + out.len().next_multiple_of(2));
    Ok(())
}

#[cfg(test)]
mod tests;
