//! Extended attributes: the volume's chain of `FILE_FULL_EA_INFORMATION` (MS-FSCC 2.4.16), packed anew, as the last link
//! of a chain on disk may point to the end instead of being 0. Every byte of the stored chain is untrusted.

/// A chain as Windows receives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chain {
    pub(super) bytes: Vec<u8>,
    /// Packed size as NTFS counts it: without padding and offsets.
    pub(super) packed_size: u32,
}

const HEADER: usize = 8;

/// Packs the attributes of a stored chain, up to the first invalid entry.
pub(super) fn repack(stored: &[u8]) -> Chain {
    let mut chain = Chain::default();
    let mut rest = stored;
    let mut last = None;
    while let Some((entry, next)) = first(rest) {
        if let Some(last) = last {
            chain.bytes.resize(chain.bytes.len().next_multiple_of(4), 0);
            let distance = chain.bytes.len() - last;
            let distance = u32::try_from(distance).expect("an entry has less than 128 KiB");
            chain.bytes[last..last + 4].copy_from_slice(&distance.to_le_bytes());
        }
        last = Some(chain.bytes.len());
        chain.bytes.extend([0; 4]);
        chain.bytes.extend(&entry[4..]);
        // NTFS counts four bytes of the header, the name with its NUL, and the value.
        let packed = u32::try_from(entry.len() - 4).expect("an entry has less than 128 KiB");
        chain.packed_size = chain.packed_size.saturating_add(packed);
        rest = next;
    }
    chain
}

/// The first entry, without padding, and the bytes after it.
fn first(chain: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[a, b, c, d, _flags, name, low, high] = chain.first_chunk::<HEADER>()?;
    let len = HEADER + usize::from(name) + 1 + usize::from(u16::from_le_bytes([low, high]));
    let entry = chain.get(..len).filter(|entry| name != 0 && entry[HEADER + usize::from(name)] == 0)?;
    let next = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    // Every step passes a whole entry, so the number of steps is bounded by the chain's length.
    let rest = chain.get(next..).filter(|_| next >= len).unwrap_or_default();
    Some((entry, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(next: u8, name: &str, value: &[u8]) -> Vec<u8> {
        let len = |bytes: usize| u8::try_from(bytes).unwrap();
        let mut entry = vec![next, 0, 0, 0, 0, len(name.len()), len(value.len()), 0];
        entry.extend(name.as_bytes());
        entry.push(0);
        entry.extend(value);
        entry
    }

    #[test]
    fn a_chain_ends_with_nothing_and_is_aligned() {
        let (first, second) = (entry(20, "$LXMOD", &[1]), entry(20, "$LXUID", &[2, 0, 0, 0]));
        let mut stored = first.clone();
        stored.resize(20, 0xee);
        stored.extend(&second);
        let chain = repack(&stored);
        let mut expected = first;
        expected.resize(16, 0);
        expected[0] = 16;
        expected.extend(&second);
        expected[16] = 0;
        assert_eq!(chain.bytes, expected);
        assert_eq!(chain.packed_size, 5 + 6 + 1 + 5 + 6 + 4);
    }

    #[test]
    fn damaged_chains_end() {
        let mut stored = entry(16, "NAME", &[1, 2, 3]);
        stored.extend(entry(0, "OTHER", &[4]));
        for len in 0..stored.len() {
            assert!(repack(&stored[..len]).bytes.len() <= len.next_multiple_of(4));
        }
        for at in 0..stored.len() {
            for value in [0, 1, 7, 255] {
                let mut bad = stored.clone();
                bad[at] = value;
                assert!(repack(&bad).bytes.len() <= 2 * bad.len());
            }
        }
        assert_eq!(repack(&[]), Chain::default());
        // Invalid bytes after the last valid entry are dropped.
        let first = entry(0, "NAME", &[1, 2, 3]);
        let mut stored = first.clone();
        stored[0] = 16;
        stored.extend([9; 9]);
        assert_eq!(repack(&stored).bytes, first);
    }
}
