//! Plain LZ77: no input panics, and the output is the same whatever the buffer held before.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::codec::plain_lz77;

fuzz_target!(|data: &[u8]| {
    let Some((len, input)) = data.split_first_chunk() else { return };
    let len = usize::from(u16::from_le_bytes(*len));
    let (mut zeros, mut ones) = (vec![0; len], vec![0xff; len]);
    let first = plain_lz77::decompress(input, &mut zeros);
    let second = plain_lz77::decompress(input, &mut ones);
    assert_eq!(first.is_ok(), second.is_ok());
    assert!(first.is_err() || zeros == ones);
});
