//! The code lengths of a block: differences from the previous block, run-length coded, in a Huffman code of 20 symbols
//! ("pretree"), whose own lengths come first, four bits each.

use super::numbers;
use crate::codec::{bits::Bits, huffman::Code};

const SYMBOLS: usize = 20;
static PAYLOAD: [u32; SYMBOLS] = numbers();
/// Lengths are 0 to 16; differences are taken modulo 17.
const MODULUS: usize = 17;

/// Replaces `lengths`, those of the previous block, by those of the next one.
pub(super) fn read(bits: &mut Bits<'_>, lengths: &mut [u8]) -> Result<(), &'static str> {
    let mut code = Code::<SYMBOLS, 64>::new();
    let own = std::array::from_fn(|_| u8::try_from(bits.next(4)).unwrap_or(0));
    code.build(&own, &PAYLOAD)?;
    let mut rest = lengths;
    while let Some(&previous) = rest.first() {
        bits.refill();
        let (run, value) = match symbol(&code, bits)? {
            17 => (4 + bits.take(4), 0),
            18 => (20 + bits.take(5), 0),
            19 => {
                let run = 4 + bits.take(1);
                (run, changed(previous, symbol(&code, bits)?)?)
            }
            difference => (1, changed(previous, difference)?),
        };
        let (now, later) = rest.split_at_mut_checked(run).ok_or("run of code lengths beyond their end")?;
        now.fill(value);
        rest = later;
    }
    Ok(())
}

fn symbol(code: &Code<SYMBOLS, 64>, bits: &mut Bits<'_>) -> Result<usize, &'static str> {
    let symbol = code.decode(bits, &PAYLOAD).ok_or("bits that are no code word")?;
    Ok(symbol as usize >> 8)
}

fn changed(previous: u8, difference: usize) -> Result<u8, &'static str> {
    if difference >= MODULUS {
        return Err("run of a run of code lengths");
    }
    let length = (usize::from(previous) + MODULUS - difference) % MODULUS;
    Ok(u8::try_from(length).expect("at most 16"))
}
