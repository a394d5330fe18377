//! Measures LZNT1 decoding on one core, against the crate `lznt1` and a copy of the same bytes, in the same run.
//!
//! `cargo bench --bench lznt1 [-- FILE…]`: decodes text-like data, or the first 16 MiB of each file.

use std::hint::black_box;

use input::{MAX_INPUT, arguments, each_file, lznt1::compress, seconds, words};
use vhdmount::codec::lznt1::decompress;

mod input;

const UNIT: usize = 64 << 10;
const ROUNDS: u32 = 9;

fn main() {
    let files = arguments();
    if files.is_empty() {
        measure("text-like", &words(MAX_INPUT));
    }
    each_file(&files, measure);
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
    let fastest = (0..ROUNDS).map(|_| seconds(&mut round));
    bytes as f64 / 1e6 / fastest.fold(f64::INFINITY, f64::min)
}
