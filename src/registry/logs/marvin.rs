//! Marvin32, the keyed hash of log entries, with the key that Windows uses for them. It finds damage; it authenticates nothing.

const SEED: u64 = 0x82ef_4d88_7a4e_55c5;

/// The hash of `data`.
pub(crate) fn marvin32(data: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = SEED.to_le_bytes();
    let mut state = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let (words, tail) = data.as_chunks::<4>();
    words.iter().for_each(|word| mix(&mut state, u32::from_le_bytes(*word)));
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    last[tail.len()] = 0x80;
    mix(&mut state, u32::from_le_bytes(last));
    mix(&mut state, 0);
    u64::from(state.1) << 32 | u64::from(state.0)
}

fn mix((low, high): &mut (u32, u32), word: u32) {
    *low = low.wrapping_add(word);
    *high ^= *low;
    *low = low.rotate_left(20).wrapping_add(*high);
    *high = high.rotate_left(9) ^ *low;
    *low = low.rotate_left(27).wrapping_add(*high);
    *high = high.rotate_left(19);
}
