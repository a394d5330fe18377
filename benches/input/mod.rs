//! Input data and timing that the benchmarks share.

#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub(crate) mod lznt1;

use std::{env, fs, time::Instant};

/// Most bytes read of a file.
pub(crate) const MAX_INPUT: usize = 16 << 20;

/// The command-line arguments without Cargo's own options.
pub(crate) fn arguments() -> Vec<String> {
    env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect()
}

/// Calls `measure` with the name and the beginning of each file.
pub(crate) fn each_file(files: &[String], mut measure: impl FnMut(&str, &[u8])) {
    for file in files {
        match fs::read(file) {
            Ok(bytes) => measure(file, &bytes[..bytes.len().min(MAX_INPUT)]),
            Err(error) => eprintln!("{file}: {error}"),
        }
    }
}

pub(crate) fn seconds(round: impl FnOnce()) -> f64 {
    let start = Instant::now();
    round();
    start.elapsed().as_secs_f64()
}

/// Pseudorandom numbers below `bound`, the same in each run.
pub(crate) fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// Sentences of made-up words, some much more frequent than others.
pub(crate) fn words(len: usize) -> Vec<u8> {
    let mut next = numbers(1);
    let words: Vec<Vec<u8>> = (0..600)
        .map(|_| (0..next(8) + 2).map(|_| b"etaoinshrdlucmfwypvbgk"[index(next(22))]).collect())
        .collect();
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let rank = next(600) * next(600) * next(600) / (600 * 600);
        text.extend_from_slice(&words[index(rank)]);
        text.push(if next(12) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(len);
    text
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("small")
}
