//! XPRESS with Huffman codes (MS-XCA 2.2), as in WOF and WIM files: one buffer of at most 64 KiB. First the lengths of 512
//! code words, four bits each; then code words, each a literal byte or a copy whose word contains its length (up to 17) and
//! the number of bits of its distance, which follow. A longer length follows in whole bytes between the bit stream's units.

use std::cell::Cell;

use super::{bits::Bits, copy::copy_match, huffman::Code};
use crate::{Error, Result};

/// Maximum output of one buffer.
pub const MAX_OUTPUT: usize = 64 << 10;

const SYMBOLS: usize = 512;
const LENGTHS: usize = SYMBOLS / 2;
const COPY_MIN: usize = 3;
/// Value of a symbol's length field: a longer length follows.
const LONG: usize = 15;

const LITERAL: u32 = 1 << 6;
/// Payload of symbols: a flag, and from bit 8 on the symbol's number, which contains a literal or the fields of a copy.
static PAYLOAD: [u32; SYMBOLS] = payload();

const fn payload() -> [u32; SYMBOLS] {
    let mut payload = [0; SYMBOLS];
    let mut symbol = 0_u32;
    while symbol < 512 {
        payload[symbol as usize] = symbol << 8 | if symbol < 256 { LITERAL } else { 0 };
        symbol += 1;
    }
    payload
}

type Tables = Code<SYMBOLS, 2048>;

thread_local! {
    /// The tables, which each buffer rebuilds.
    static TABLES: Cell<Option<Box<Tables>>> = const { Cell::new(None) };
}

/// Decompresses one buffer and fills `out`, which is as long as its uncompressed data: at most [`MAX_OUTPUT`].
///
/// # Errors
/// [`Error::Corrupt`] for invalid data, or data that yields fewer or more bytes. `out` then holds nothing usable.
pub fn decode(input: &[u8], out: &mut [u8]) -> Result<()> {
    if out.len() > MAX_OUTPUT {
        return Err(Error::invalid("XPRESS data for more than 64 KiB"));
    }
    let mut tables = TABLES.take().unwrap_or_else(|| Box::new(Tables::new()));
    let decoded = build(&mut tables, input).and_then(|()| decode_symbols(&tables, input, out));
    TABLES.set(Some(tables));
    decoded.map_err(|problem| Error::corrupt("XPRESS data", None, problem))
}

fn build(tables: &mut Tables, input: &[u8]) -> Result<(), &'static str> {
    let packed = input.first_chunk::<LENGTHS>().ok_or("shorter than its code lengths")?;
    let mut lengths = [0; SYMBOLS];
    for (pair, packed) in lengths.as_chunks_mut::<2>().0.iter_mut().zip(packed) {
        *pair = [packed & 15, packed >> 4];
    }
    tables.build(&lengths, &PAYLOAD)
}

#[inline(never)]
fn decode_symbols(code: &Tables, input: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    const UNASSIGNED: &str = "bits that are no code word";
    let mut bits = Bits::new(input, LENGTHS);
    let mut to = 0;
    while to < out.len() {
        // Words have at most 15 bits: one refill is enough for three of them, or for two and the bits of a distance.
        bits.refill();
        let mut symbol = code.decode(&mut bits, &PAYLOAD).ok_or(UNASSIGNED)?;
        if symbol & LITERAL != 0 {
            out[to] = literal(symbol);
            to = to.wrapping_add(1);
            if to >= out.len() {
                break;
            }
            symbol = code.decode(&mut bits, &PAYLOAD).ok_or(UNASSIGNED)?;
            if symbol & LITERAL != 0 {
                out[to] = literal(symbol);
                to = to.wrapping_add(1);
                if to >= out.len() {
                    break;
                }
                symbol = code.decode(&mut bits, &PAYLOAD).ok_or(UNASSIGNED)?;
                if symbol & LITERAL != 0 {
                    out[to] = literal(symbol);
                    to = to.wrapping_add(1);
                    continue;
                }
                bits.refill();
            }
        }
        to = copy(input, &mut bits, out, to, symbol)?;
    }
    if bits.overran() { Err("ends early") } else { Ok(()) }
}

#[inline(always)]
fn literal(symbol: u32) -> u8 {
    symbol.to_le_bytes()[1]
}

/// Executes the copy that a symbol encodes.
#[inline(always)]
fn copy(
    input: &[u8],
    bits: &mut Bits<'_>,
    out: &mut [u8],
    to: usize,
    symbol: u32,
) -> Result<usize, &'static str> {
    let left = bits.left();
    let log2 = symbol >> 12 & 15;
    let distance = 1 << log2 | bits.take(log2);
    let mut length = symbol as usize >> 8 & 15;
    if length == LONG {
        (length, *bits) = long_length(input, *bits, left)?;
    }
    copy_match(out, to, distance, length.wrapping_add(COPY_MIN))
}

/// Reads a length that exceeds its symbol's field: one more byte, or two that replace the sum so far.
#[inline(always)]
fn long_length<'a>(input: &[u8], mut bits: Bits<'a>, left: u32) -> Result<(usize, Bits<'a>), &'static str> {
    let at = bits.interrupt(left);
    let [byte, rest @ ..] = input.get(at..).unwrap_or_default() else { return Err("ends early") };
    if *byte < 0xff {
        bits.resume(at + 1);
        return Ok((usize::from(*byte) + LONG, bits));
    }
    let length = rest.first_chunk().map(|length| u16::from_le_bytes(*length)).ok_or("ends early")?;
    bits.resume(at + 3);
    Ok((length.into(), bits))
}

#[cfg(test)]
pub(crate) mod tests;
