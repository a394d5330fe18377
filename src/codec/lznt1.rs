//! LZNT1 (MS-XCA 2.5): NTFS's own compression. A buffer is a sequence of chunks of 4096 output bytes each: a 16-bit header
//! (size, "compressed" bit), then groups of a flag byte and eight tokens, each one literal byte or a 16-bit copy from
//! earlier in the same chunk. The more output the chunk has, the more bits of a copy are its distance.
//!
//! Decodes into the caller's slice. An early end (a header of 0, the end of the input, a short chunk) leaves zeros, as in
//! Windows and ntfs-3g: compressors store a tail of zeros this way. Everything else is an error.

use crate::{Error, Place, Result};

/// Output bytes of one chunk.
pub const CHUNK: usize = 4096;
/// Copies are made in pieces of 8, 16 and 32 bytes, which may reach this far beyond their end.
const SLACK: usize = 32;
/// The output buffer of one chunk: a fixed size lets the compiler prove most indexes.
type Window = [u8; CHUNK + SLACK];

const COMPRESSED: u16 = 0x8000;
const SIZE_MASK: u16 = 0x0fff;
const COPY_MIN: usize = 3;

/// Decompresses chunk after chunk from `input` until `out` is full; zero-fills what the input does not cover.
///
/// # Errors
/// [`Error::Corrupt`] with the offset in `input`: a chunk or copy that lies outside its input or output. `out` then
/// holds no usable data.
pub fn decompress(input: &[u8], out: &mut [u8]) -> Result<()> {
    let (mut at, mut filled) = (0, 0);
    while filled < out.len() {
        let Some(header) = input[at..].first_chunk().map(|bytes| u16::from_le_bytes(*bytes)) else { break };
        if header == 0 {
            break;
        }
        let start = at + size_of::<u16>();
        let end = start + usize::from(header & SIZE_MASK) + 1;
        let chunk = input.get(start..end).ok_or_else(|| corrupt(at, "chunk beyond the end of its data"))?;
        let limit = CHUNK.min(out.len() - filled);
        let rest = &mut out[filled..];
        let written = if header & COMPRESSED == 0 {
            let raw = rest.get_mut(..chunk.len()).ok_or_else(|| corrupt(at, "chunk beyond its output"))?;
            raw.copy_from_slice(chunk);
            chunk.len()
        } else if let Some(window) = rest.first_chunk_mut::<{ CHUNK + SLACK }>() {
            // The next chunk overwrites the slack.
            decode(chunk, window, limit).map_err(|problem| corrupt(at, problem))?
        } else {
            let mut window = [0; CHUNK + SLACK];
            let written = decode(chunk, &mut window, limit).map_err(|problem| corrupt(at, problem))?;
            rest[..written].copy_from_slice(&window[..written]);
            written
        };
        rest[written..limit].fill(0);
        filled += limit;
        at = end;
    }
    out[filled..].fill(0);
    Ok(())
}

#[cold]
fn corrupt(offset: usize, problem: &'static str) -> Error {
    Error::corrupt("LZNT1 data", Place::Byte(offset as u64), problem)
}

/// Decodes a chunk and returns how many bytes of `window` it filled, at most `limit`.
fn decode(chunk: &[u8], window: &mut Window, limit: usize) -> Result<usize, &'static str> {
    let mut to = 0;
    let mut rest = chunk;
    while let Some((&flags, tokens)) = rest.split_first() {
        rest = tokens;
        // One bit per token, lowest first; the guard bit above them ends the group.
        let mut flags = u32::from(flags) | 0x100;
        loop {
            // Literals up to the next copy, perhaps none: copying eight bytes always is cheaper than a branch.
            let mut literals = flags.trailing_zeros() as usize;
            if let Some(ahead) = rest.first_chunk::<8>() {
                window[to..to + 8].copy_from_slice(ahead);
            } else {
                literals = literals.min(rest.len());
                window[to..to + literals].copy_from_slice(&rest[..literals]);
            }
            rest = &rest[literals..];
            to += literals;
            if to > limit {
                return Err("chunk yields more than its output");
            }
            flags >>= literals;
            if flags == 1 || rest.is_empty() {
                break;
            }
            let Some((token, after)) = rest.split_first_chunk() else {
                return Err("half a copy at the end of a chunk");
            };
            rest = after;
            to = copy(window, to, limit, u16::from_le_bytes(*token))?;
            flags >>= 1;
            if flags == 1 {
                break;
            }
        }
    }
    Ok(to)
}

/// Executes one copy token at `to`; returns where it ends.
#[inline(always)]
fn copy(window: &mut Window, to: usize, limit: usize, token: u16) -> Result<usize, &'static str> {
    // The distance has enough bits to reach back to the chunk's start, at least 4; the other bits are the length.
    let distance_bits = usize::BITS - (to.wrapping_sub(1) | 15).leading_zeros();
    let distance = usize::from(token >> (16 - distance_bits.min(12))) + 1;
    let length = usize::from(token & (0xffff >> distance_bits.min(12))) + COPY_MIN;
    let end = to + length;
    if distance > to {
        return Err("copy from before the chunk");
    }
    if end > limit {
        return Err("chunk yields more than its output");
    }
    let mut at = to;
    if distance < 8 {
        // The copy overlaps itself: it repeats the last `distance` bytes. Eight bytes of the pattern one by one, then
        // from the smallest multiple of the distance that is at least eight.
        if distance == 1 {
            let byte = window[to - 1];
            window[to..end].fill(byte);
            return Ok(end);
        }
        for i in to..to + 8 {
            window[i] = window[i - distance];
        }
        at += 8;
        let distance = [0, 8, 8, 9, 8, 10, 12, 14][distance];
        while at < end {
            copy_piece::<8>(window, at - distance, at);
            at += 8;
        }
    } else if distance < 16 {
        while at < end {
            copy_piece::<8>(window, at - distance, at);
            at += 8;
        }
    } else {
        // Most copies fit into 16 bytes: no loop, no branch to mispredict.
        copy_piece::<16>(window, at - distance, at);
        copy_piece::<16>(window, at - distance + 16, at + 16);
        at += 32;
        while at < end {
            copy_piece::<16>(window, at - distance, at);
            at += 16;
        }
    }
    Ok(end)
}

#[inline(always)]
fn copy_piece<const N: usize>(window: &mut Window, from: usize, to: usize) {
    let mut piece = [0; N];
    piece.copy_from_slice(&window[from..from + N]);
    window[to..to + N].copy_from_slice(&piece);
}

#[cfg(test)]
pub(crate) mod tests;
