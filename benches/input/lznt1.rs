//! A simple LZNT1 compressor, which makes input for the decoder.

#![expect(clippy::cast_possible_truncation, reason = "chunks are small")]

use vhdmount::codec::lznt1::CHUNK;

/// A greedy compressor that keeps the last position of each three bytes.
pub(crate) fn compress(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in unit.chunks(CHUNK) {
        let body = compress_chunk(chunk);
        let (flag, body) = if body.len() < chunk.len() { (0xb000, &body[..]) } else { (0x3000, chunk) };
        out.extend((flag | (body.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(body);
    }
    out
}

fn compress_chunk(chunk: &[u8]) -> Vec<u8> {
    let (mut body, mut at, mut last) = (Vec::new(), 0, vec![usize::MAX; 1 << 12]);
    while at < chunk.len() {
        let flags_at = body.len();
        body.push(0);
        for bit in 0..8 {
            let Some(&byte) = chunk.get(at) else { break };
            let distance_bits = usize::BITS - (at.saturating_sub(1) | 15).leading_zeros();
            let mut length = 0;
            let mut from = usize::MAX;
            if let Some(&[a, b, c]) = chunk[at..].first_chunk() {
                let hash = usize::from(a) * 961 + usize::from(b) * 31 + usize::from(c);
                from = std::mem::replace(&mut last[hash & 0xfff], at);
            }
            if from < at {
                let longest = (0xffff >> distance_bits) + 3;
                let same = chunk[at..].iter().zip(&chunk[from..]).take_while(|(a, b)| a == b);
                length = same.take(longest).count();
            }
            if length < 3 {
                body.push(byte);
                at += 1;
            } else {
                body[flags_at] |= 1 << bit;
                let token = (at - from - 1) << (16 - distance_bits) | (length - 3);
                body.extend((token as u16).to_le_bytes());
                at += length;
            }
        }
    }
    body
}
