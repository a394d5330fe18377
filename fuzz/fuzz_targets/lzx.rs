//! LZX: no input panics, and the output is the same whatever the buffer held before.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::codec::lzx;

fuzz_target!(|data: &[u8]| {
    let [low, high, input @ ..] = data else { return };
    // Of every size up to the largest.
    let len = usize::from(u16::from_le_bytes([*low, *high])) % (lzx::MAX_OUTPUT + 1);
    let (mut zeros, mut ones) = (vec![0; len], vec![0xff; len]);
    let first = lzx::decode(input, &mut zeros);
    let second = lzx::decode(input, &mut ones);
    assert_eq!(first.is_ok(), second.is_ok());
    assert!(first.is_err() || zeros == ones);
});
