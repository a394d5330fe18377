//! `$EA` (0xE0): extended attributes in the format of OS/2, which WSL uses as well: a chain of `FILE_FULL_EA_INFORMATION`
//! (MS-FSCC 2.4.16).

use crate::fs::Posix;

/// Maximum length: Windows packs them into 64 KiB.
pub(in super::super) const MAX_EA: usize = 64 << 10;
/// `$LXDEV` of WSL: the major and minor number of a device.
const LXDEV: &[u8] = b"$LXDEV";

const LXUID: &[u8] = b"$LXUID";
const LXGID: &[u8] = b"$LXGID";
const LXMOD: &[u8] = b"$LXMOD";

/// The value of the attribute with this name, ignoring case; the search ends at damage of the chain.
fn find<'a>(chain: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = chain;
    loop {
        let next = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
        let &[_flags, name_length, low, high] = rest.get(4..8)?.first_chunk()?;
        let name_end = 8 + usize::from(name_length);
        if rest.get(8..name_end)?.eq_ignore_ascii_case(name) {
            // The name ends with a NUL, which its length does not include.
            return rest.get(name_end + 1..name_end + 1 + usize::from(u16::from_le_bytes([low, high])));
        }
        // Each step advances by at least a header, so the chain's length bounds the search.
        rest = rest.get(next..).filter(|_| next >= 8)?;
    }
}

/// The device number that WSL stored.
pub(in super::super) fn device(chain: &[u8]) -> Option<(u32, u32)> {
    let (numbers, _) = find(chain, LXDEV)?.as_chunks::<4>();
    let &[major, minor] = numbers.first_chunk()?;
    Some((u32::from_le_bytes(major), u32::from_le_bytes(minor)))
}

/// Owner, group and mode that WSL stored, each if present.
pub(in super::super) fn posix(chain: &[u8]) -> Posix {
    let number = |name| find(chain, name)?.first_chunk().copied().map(u32::from_le_bytes);
    Posix { uid: number(LXUID), gid: number(LXGID), mode: number(LXMOD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<u8> {
        let mut chain = vec![20, 0, 0, 0, 0, 6, 4, 0];
        chain.extend(b"$LXMOD\0\xa4\x81\0\0\0");
        chain.extend([0, 0, 0, 0, 0, 6, 8, 0]);
        chain.extend(b"$lxdev\0\x08\0\0\0\x03\0\0\0");
        chain
    }

    #[test]
    fn device_number_of_wsl() {
        assert_eq!(device(&chain()), Some((8, 3)));
        assert_eq!(find(&chain(), b"$LXUID"), None);
        assert_eq!(posix(&chain()), Posix { uid: None, gid: None, mode: Some(0o100_644) });
    }

    #[test]
    fn damaged_chains_end() {
        for len in 0..chain().len() {
            assert_eq!(device(&chain()[..len]), None);
        }
        for next in [0, 1, 7, 255] {
            let mut bad = chain();
            bad[0] = next;
            assert_eq!(device(&bad), None);
        }
    }
}
