//! How fast LZNT1 is decoded on one core, beside the crate `lznt1` and a copy of the same bytes, in the same run.
//!
//! `cargo bench --bench lznt1 [-- FILE…]`: text-like data, or the first 16 MiB of each file.

#![expect(clippy::cast_possible_truncation, reason = "a measurement: all values are small")]

use std::{env, fs, hint::black_box, time::Instant};

use vhdmount::codec::lznt1::{CHUNK, decompress};

const UNIT: usize = 64 << 10;
const MAX_INPUT: usize = 16 << 20;
const ROUNDS: u32 = 9;

fn main() {
    // Cargo passes its own options.
    let files: Vec<_> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if files.is_empty() {
        measure("text-like", &text());
    }
    for file in files {
        match fs::read(&file) {
            Ok(bytes) => measure(&file, &bytes[..bytes.len().min(MAX_INPUT)]),
            Err(error) => eprintln!("{file}: {error}"),
        }
    }
}

fn measure(name: &str, data: &[u8]) {
    let units: Vec<(&[u8], Vec<u8>)> = data.chunks(UNIT).map(|unit| (unit, compress(unit))).collect();
    let compressed: usize = units.iter().map(|(_, packed)| packed.len()).sum();
    let mut out = vec![0; UNIT];
    let decoded = best_rate(data.len(), || {
        for (unit, packed) in &units {
            decompress(packed, &mut out[..unit.len()]).expect("made by this program");
            black_box(&out);
        }
    });
    let mut grown = Vec::with_capacity(UNIT);
    let theirs = best_rate(data.len(), || {
        for (unit, packed) in &units {
            grown.clear();
            lznt1::decompress(packed, &mut grown).expect("made by this program");
            assert_eq!(black_box(&grown).len(), unit.len());
        }
    });
    let copied = best_rate(data.len(), || {
        for (unit, _) in &units {
            out[..unit.len()].copy_from_slice(black_box(unit));
            black_box(&out);
        }
    });
    let ratio = compressed as f64 / data.len() as f64;
    println!(
        "{name}: {} bytes, ratio {ratio:.2}: LZNT1 {decoded:.0} MB/s, crate lznt1 {theirs:.0} MB/s: {:.2} times; memcpy \
         {copied:.0} MB/s",
        data.len(),
        decoded / theirs
    );
}

/// MB/s of the fastest round.
fn best_rate(bytes: usize, mut round: impl FnMut()) -> f64 {
    let fastest = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64()
    });
    bytes as f64 / 1e6 / fastest.fold(f64::INFINITY, f64::min)
}

/// Sentences of made-up words, some much more frequent than others.
fn text() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let words: Vec<Vec<u8>> = (0..600)
        .map(|_| (0..next(8) + 2).map(|_| b"etaoinshrdlucmfwypvbgk"[next(22) as usize]).collect())
        .collect();
    let mut text = Vec::with_capacity(MAX_INPUT);
    while text.len() < MAX_INPUT {
        let rank = next(600) * next(600) * next(600) / (600 * 600);
        text.extend_from_slice(&words[rank as usize]);
        text.push(if next(12) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(MAX_INPUT);
    text
}

/// A greedy compressor that remembers the last place of each three bytes.
fn compress(unit: &[u8]) -> Vec<u8> {
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
