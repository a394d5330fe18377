//! Plain LZ77 (MS-XCA 2.4), the XPRESS without Huffman codes: 32-bit words of flags, highest first, one flag per token. A
//! token is a literal byte or a 16-bit copy: 13 bits of distance, three of length. Longer lengths continue in a half byte
//! (two copies share a byte), a byte, 16 and 32 bits.

use super::copy::copy_match;
use crate::{Error, Place, Result};

const COPY_MIN: usize = 3;

/// Decodes `input` until `out` is full. Input behind the last needed token is ignored.
///
/// # Errors
/// [`Error::Corrupt`] with the offset in `input`: it ends too early, or a copy lies outside the output. `out` then
/// holds no usable data.
pub fn decompress(input: &[u8], out: &mut [u8]) -> Result<()> {
    let mut decoder = Decoder { input, at: 0, shared: None };
    let mut to = 0;
    while to < out.len() {
        let flags = u32::from_le_bytes(decoder.take()?);
        for bit in (0..u32::BITS).rev() {
            if to == out.len() {
                break;
            }
            if flags & 1 << bit == 0 {
                let [literal] = decoder.take()?;
                out[to] = literal;
                to += 1;
                continue;
            }
            let (distance, length) = decoder.copy()?;
            if length > out.len() - to {
                return Err(decoder.corrupt("more data than its output holds"));
            }
            to = copy_match(out, to, distance, length).map_err(|problem| decoder.corrupt(problem))?;
        }
    }
    Ok(())
}

struct Decoder<'a> {
    input: &'a [u8],
    at: usize,
    /// A byte whose upper half belongs to the next copy.
    shared: Option<u8>,
}

impl Decoder<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.input.get(self.at..).and_then(|rest| rest.first_chunk());
        let bytes = *bytes.ok_or_else(|| self.corrupt("ends before its output"))?;
        self.at += N;
        Ok(bytes)
    }

    /// The distance and length of a copy.
    fn copy(&mut self) -> Result<(usize, usize)> {
        let token = usize::from(u16::from_le_bytes(self.take()?));
        let (distance, mut length) = ((token >> 3) + 1, token & 7);
        if length == 7 {
            let half = match self.shared.take() {
                Some(byte) => byte >> 4,
                None => {
                    let [byte] = self.take()?;
                    self.shared = Some(byte);
                    byte & 15
                }
            };
            length += usize::from(half);
            if half == 15 {
                length = self.long(length)?;
            }
        }
        length.checked_add(COPY_MIN).map(|length| (distance, length)).ok_or_else(|| self.corrupt("a length"))
    }

    /// Reads a length of at least `most` from behind the half byte.
    fn long(&mut self, most: usize) -> Result<usize> {
        let [byte] = self.take()?;
        if byte < 255 {
            return Ok(most + usize::from(byte));
        }
        let length = match u16::from_le_bytes(self.take()?) {
            0 => u32::from_le_bytes(self.take()?),
            length => length.into(),
        };
        let length = usize::try_from(length).ok().filter(|length| *length >= most);
        length.ok_or_else(|| self.corrupt("a long length that is short"))
    }

    #[cold]
    fn corrupt(&self, problem: &'static str) -> Error {
        Error::corrupt("plain LZ77 data", Place::Byte(self.at as u64), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0xaa; len];
        decompress(input, &mut out).map(|()| out)
    }

    #[test]
    fn examples_of_the_specification_are_decoded() {
        let alphabet = b"abcdefghijklmnopqrstuvwxyz";
        assert_eq!(decode(&[b"\x3f\0\0\0", &alphabet[..]].concat(), 26).unwrap(), alphabet);
        let input = b"\xff\xff\xff\x1fabc\x17\0\x0f\xff\x26\x01";
        assert_eq!(decode(input, 300).unwrap(), b"abc".repeat(100));
    }

    #[test]
    fn lengths_of_every_form_are_decoded() {
        // One literal, then a copy of it: the bits of flags after the first.
        let run = |tail: &[u8], len: usize| decode(&[b"\0\0\0\x40a", tail].concat(), len);
        let all = |len: usize| Some(vec![b'a'; len]);
        assert_eq!(run(&[2, 0], 6).ok(), all(6));
        assert_eq!(run(&[7, 0, 0x03], 14).ok(), all(14));
        assert_eq!(run(&[7, 0, 0x0f, 4], 30).ok(), all(30));
        assert_eq!(run(&[7, 0, 0x0f, 255, 0x2c, 1], 304).ok(), all(304));
        assert_eq!(run(&[7, 0, 0x0f, 255, 0, 0, 0, 0, 2, 0], 0x2_0004).ok(), all(0x2_0004));
        // The second copy has the upper half of the first one's byte.
        let two = decode(&[0, 0, 0, 0x60, b'a', 7, 0, 0x52, 7, 0], 1 + 12 + 15);
        assert_eq!(two.ok(), all(28));
    }

    #[test]
    fn damaged_data_is_an_error() {
        let input = b"\xff\xff\xff\x1fabc\x17\0\x0f\xff\x26\x01";
        for len in 0..input.len() {
            assert!(decode(&input[..len], 300).is_err(), "{len}");
        }
        assert!(decode(input, 299).is_err());
        assert!(decode(input, 301).is_err());
        // Too far back, and a long length that is shorter than the short ones.
        assert!(decode(b"\0\0\0\x40a\x08\0", 6).is_err());
        assert!(decode(b"\0\0\0\x40a\x07\0\x0f\xff\x15\0", 100).is_err());
    }
}
