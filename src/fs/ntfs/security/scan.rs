//! `$SDS` searched without its indexes: each entry states its own id, hash, position and length, so that the stream alone
//! locates every descriptor. Guards: an entry is accepted only at the position that it states, with a correct hash; the
//! bytes that are read and hashed, and the entries, are bounded.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::{BLOCK, HEADER, Location, SecurityDescriptorHeader, hash};
use crate::bytes::{ByteSource, read_vec};

/// Alignment of entries.
const ALIGNMENT: usize = 16;
/// Maximum number of entries: a volume has some thousands of descriptors; this many take 16 MiB here.
const MAX_ENTRIES: usize = 1 << 18;
/// Maximum length of a searched `$SDS`: room for [`MAX_ENTRIES`] of a usual length, with their copies.
const MAX_LEN: u64 = 512 << 20;
/// The search skips the rest of a block once entries with wrong hashes have cost this many times its size.
const MAX_WASTE: usize = 16;

/// The locations of the entries in `$SDS`, by id: found in the blocks or in their copies.
pub fn scan(sds: &dyn ByteSource) -> BTreeMap<u32, Location> {
    let mut found = BTreeMap::new();
    let end = sds.size().min(MAX_LEN);
    let mut start = 0;
    while start < end {
        let len = usize::try_from(BLOCK.min(end - start)).expect("at most a block");
        match read_vec(sds, start, len) {
            Ok(block) => {
                // A copy states the positions in its original.
                let original = start - start % (2 * BLOCK);
                entries(&block, original, &mut |location| {
                    if found.len() < MAX_ENTRIES {
                        found.entry(location.security_id).or_insert(location);
                    }
                });
            }
            Err(error) => log::debug!("$SDS: {error}"),
        }
        start += BLOCK;
    }
    found
}

/// Calls `f` with each entry of a block, or of the copy of one, whose original begins at `original`.
pub fn entries(block: &[u8], original: u64, f: &mut dyn FnMut(Location)) {
    let mut waste = block.len().saturating_mul(MAX_WASTE);
    let mut at = 0;
    while let Some(rest) = block.get(at..)
        && let Ok((header, descriptor)) = SecurityDescriptorHeader::ref_from_prefix(rest)
    {
        let location = Location::from(header);
        let here = original.checked_add(at as u64) == Some(location.offset);
        let body = location.length.checked_sub(HEADER).and_then(|len| usize::try_from(len).ok());
        let body = body.filter(|_| here && location.security_id != 0).and_then(|len| descriptor.get(..len));
        let mut next = ALIGNMENT;
        if let Some(body) = body {
            if hash(body) == location.hash {
                next = rest.len() - descriptor.len() + body.len();
                f(location);
            } else {
                match waste.checked_sub(body.len()) {
                    Some(left) => waste = left,
                    None => return,
                }
            }
        }
        at += next.next_multiple_of(ALIGNMENT);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::entry, *};
    use crate::bytes::MemorySource;

    /// Three descriptors with their copies.
    fn sds() -> Vec<u8> {
        let block = usize::try_from(BLOCK).unwrap();
        let mut sds = vec![0; 2 * block];
        for (id, at) in [(0x100, 0), (0x101, 32), (0x105, 96)] {
            let entry = entry(id, at as u64);
            for at in [at, at + block] {
                sds[at..at + entry.len()].copy_from_slice(&entry);
            }
        }
        sds
    }

    fn ids(sds: Vec<u8>) -> Vec<(u32, u64)> {
        scan(&MemorySource(sds)).values().map(|found| (found.security_id, found.offset)).collect()
    }

    #[test]
    fn entries_are_found_over_gaps_and_in_copies() {
        let all = vec![(0x100, 0), (0x101, 32), (0x105, 96)];
        assert_eq!(ids(sds()), all);
        let mut damaged = sds();
        damaged[..64].fill(0xff);
        assert_eq!(ids(damaged.clone()), all);
        damaged[usize::try_from(BLOCK).unwrap() + 50] ^= 1;
        assert_eq!(ids(damaged), [(0x100, 0), (0x105, 96)]);
        let cut = sds()[..100].to_vec();
        assert_eq!(ids(cut), [(0x100, 0), (0x101, 32)]);
    }

    #[test]
    fn entries_in_other_places_are_none() {
        let mut moved = sds();
        moved.splice(..0, [0; 16]);
        assert_eq!(ids(moved), []);
        assert_eq!(ids(vec![0; 5000]), []);
        assert_eq!(ids(Vec::new()), []);
    }

    #[test]
    fn wrong_hashes_do_not_cost_more_than_their_share() {
        // Every position claims the whole rest of the block.
        let block = usize::try_from(BLOCK).unwrap();
        let mut hostile = vec![0; block];
        for at in (0..block).step_by(32) {
            let mut header = entry(7, at as u64)[..20].to_vec();
            header[16..20].copy_from_slice(&u32::try_from(block - at).unwrap().to_le_bytes());
            hostile[at..at + 20].copy_from_slice(&header);
        }
        assert_eq!(ids(hostile), []);
    }
}
