//! LZNT1: no input panics, and the output is the same whatever the buffer held before.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::codec::lznt1;

fuzz_target!(|data: &[u8]| {
    let [size, input @ ..] = data else { return };
    // Not only whole chunks, and large enough for wide copies.
    let len = usize::from(*size) * 97;
    let (mut zeros, mut ones) = (vec![0; len], vec![0xff; len]);
    let first = lznt1::decompress(input, &mut zeros);
    let second = lznt1::decompress(input, &mut ones);
    assert_eq!(first.is_ok(), second.is_ok());
    assert!(first.is_err() || zeros == ones);
});
