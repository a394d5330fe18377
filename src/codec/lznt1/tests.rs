use super::*;

/// A simple greedy compressor, for tests: its only match candidate is the last occurrence of each three bytes.
pub(crate) fn compress(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in data.chunks(CHUNK) {
        let body = compress_chunk(chunk);
        let (flag, body) = if body.len() < chunk.len() { (0xb000, &body[..]) } else { (0x3000, chunk) };
        out.extend((flag | u16::try_from(body.len() - 1).unwrap()).to_le_bytes());
        out.extend(body);
    }
    out
}

fn compress_chunk(chunk: &[u8]) -> Vec<u8> {
    let (mut body, mut at) = (Vec::new(), 0);
    let mut last = std::collections::HashMap::new();
    while at < chunk.len() {
        let flags_at = body.len();
        body.push(0);
        for bit in 0..8 {
            let Some(&byte) = chunk.get(at) else { break };
            let distance_bits = (4..).find(|bits| at <= 1 << bits).unwrap();
            let from = chunk.get(at..at + 3).and_then(|three| last.insert(three, at));
            let same =
                |from: usize| chunk[at..].iter().zip(&chunk[from..]).take_while(|(a, b)| a == b).count();
            let length = from.map_or(0, same).min((0xffff >> distance_bits) + 3);
            if length < 3 {
                body.push(byte);
                at += 1;
            } else {
                body[flags_at] |= 1 << bit;
                let distance = at - from.unwrap();
                let token = u16::try_from((distance - 1) << (16 - distance_bits) | (length - 3)).unwrap();
                body.extend(token.to_le_bytes());
                at += length;
            }
        }
    }
    body
}

/// A literal implementation of the format, one byte at a time: the reference for the fast decoder.
fn slow(input: &[u8], out: &mut [u8]) -> Option<()> {
    out.fill(0);
    let mut input = input;
    for out in out.chunks_mut(CHUNK) {
        let Some((header, rest)) = input.split_first_chunk().map(|(h, r)| (u16::from_le_bytes(*h), r)) else {
            break;
        };
        if header == 0 {
            break;
        }
        let (chunk, rest) = rest.split_at_checked(usize::from(header & 0xfff) + 1)?;
        input = rest;
        if header & 0x8000 == 0 {
            out.get_mut(..chunk.len())?.copy_from_slice(chunk);
            continue;
        }
        let (mut bytes, mut to) = (chunk.iter().copied(), 0);
        while let Some(flags) = bytes.next() {
            for bit in 0..8 {
                let Some(byte) = bytes.next() else { break };
                if flags & 1 << bit == 0 {
                    *out.get_mut(to)? = byte;
                    to += 1;
                    continue;
                }
                let token = usize::from(u16::from_le_bytes([byte, bytes.next()?]));
                let distance_bits = (4..12).find(|bits| to <= 1 << bits).unwrap_or(12);
                for _ in 0..(token & (0xffff >> distance_bits)) + 3 {
                    *out.get_mut(to)? = out[to.checked_sub((token >> (16 - distance_bits)) + 1)?];
                    to += 1;
                }
            }
        }
    }
    Some(())
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn agree(input: &[u8], len: usize) -> bool {
    let (mut fast_out, mut slow_out) = (vec![0xee; len], vec![0xee; len]);
    let fast = decompress(input, &mut fast_out);
    let slow = slow(input, &mut slow_out);
    assert_eq!(fast.is_ok(), slow.is_some(), "{input:02x?}: {fast:?}");
    assert!(slow.is_none() || fast_out == slow_out, "{input:02x?}");
    slow.is_some()
}

#[test]
fn example_of_the_specification() {
    // MS-XCA 3.3
    let input = [
        0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01, 0xa0,
        0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88,
        0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe,
        0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
    ];
    let text = b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E \
        D E A F# F# G A A G F# E D D E F# E D D\0";
    let mut out = [0xee; 4096];
    decompress(&input, &mut out).unwrap();
    assert_eq!(&out[..text.len()], text);
    assert!(out[text.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn compressed_data_comes_back() {
    let mut next = random(1);
    for kind in 0..60_u64 {
        // Periods of every length up to 40, mixed with noise, so that all kinds of overlapping copies occur.
        let period = usize::try_from(kind).unwrap() % 40 + 1;
        let mut data = vec![0; 65536 - usize::try_from(next() % 3 * 1000).unwrap()];
        for i in 0..data.len() {
            let noise = next() % 100 < kind / 6;
            data[i] = if i < period || noise { next().to_le_bytes()[0] } else { data[i - period] };
        }
        let mut out = vec![0; data.len()];
        decompress(&compress(&data), &mut out).unwrap();
        assert!(out == data, "{kind}");
    }
}

#[test]
fn fast_decoder_agrees_with_the_slow_one_on_damaged_data() {
    let mut next = random(2);
    let mut pick = |bound: usize| usize::try_from(next() % bound as u64).unwrap();
    let mut decodable = 0;
    for _ in 0..3000 {
        let period = pick(30) + 1;
        let mut data = vec![0; pick(9000) + 1];
        for i in 0..data.len() {
            data[i] =
                if i < period || pick(9) == 0 { u8::try_from(pick(4)).unwrap() } else { data[i - period] };
        }
        let mut input = compress(&data);
        for _ in 0..pick(4) {
            let at = pick(input.len());
            input[at] ^= 1 << pick(8);
        }
        input.truncate(if pick(4) == 0 { pick(input.len() + 1) } else { input.len() });
        decodable += u32::from(agree(&input, [4096, 8192, 12288, data.len()][pick(4)]));
    }
    assert!((500..2500).contains(&decodable), "{decodable}");
}

#[test]
fn fast_decoder_agrees_with_the_slow_one_on_noise() {
    let mut next = random(3);
    for len in 0..2000 {
        let mut input: Vec<u8> = (0..len % 300).map(|_| next().to_le_bytes()[3]).collect();
        if let [_, high, ..] = &mut input[..] {
            *high = *high & 0x80 | 0x30;
        }
        agree(&input, 8192);
    }
}

#[test]
fn what_ends_early_leaves_zeros() {
    // Two chunks of output: "ab" and a short chunk, then the end mark; the bytes behind it are ignored.
    let input = [0x02, 0xb0, 0x00, b'a', b'b', 0x00, 0x30, b'c', 0x00, 0x00, 0xff, 0xff];
    let mut out = [0xee; 3 * CHUNK];
    decompress(&input, &mut out).unwrap();
    assert_eq!(out[..3], *b"ab\0");
    assert_eq!(out[CHUNK..CHUNK + 2], *b"c\0");
    assert_eq!(out.iter().filter(|byte| **byte != 0).count(), 3);
    // Truncated input, down to no bytes.
    for len in [9, 8, 1, 0] {
        decompress(&input[..len], &mut out).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte != 0).count(), if len > 1 { 3 } else { 0 }, "{len}");
    }
}

#[test]
fn chunks_that_overrun_are_errors_with_their_place() {
    let mut out = [0; 64];
    for (input, problem) in [
        (&[0x02, 0xb0, 0x00, b'a'][..], "beyond the end of its data"),
        (&[0x02, 0xb0, 0x01, 0x00, 0x00], "before the chunk"),
        (&[0x03, 0xb0, 0x02, b'a', 0x00, 0x10], "before the chunk"),
        (&[0x03, 0xb0, 0x02, b'a', 0xff, 0x0f], "more than its output"),
        (&[0x02, 0xb0, 0x02, b'a', 0x00], "half a copy"),
    ] {
        let error = decompress(input, &mut out).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        // The same as a second chunk: the error has that chunk's offset.
        let second = [&[0x01, 0xb0, 0x00, b'x'], input].concat();
        let error = decompress(&second, &mut [0; CHUNK + 64]).unwrap_err().to_string();
        assert!(error.contains("byte 0x4: ") && error.contains(problem), "{error}");
    }
    // An uncompressed chunk longer than the rest of the output.
    assert!(decompress(&[&[0xff, 0x3f][..], &[7; 4096]].concat(), &mut out).is_err());
    assert!(decompress(&[&[0xff, 0x3f][..], &[7; 4096]].concat(), &mut [0; CHUNK]).is_ok());
}
