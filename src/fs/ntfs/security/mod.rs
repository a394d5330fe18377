//! `$Secure`: every distinct security descriptor of the volume once, in the stream `$SDS`; the index `$SII` locates it by
//! the id in `$STANDARD_INFORMATION`. Each 256 KiB block of `$SDS` is followed by its copy, which is used where the first is
//! damaged: hash, id, position and length must all agree with the index. If the index is damaged, `$SDS` is searched.

mod scan;

pub use scan::{entries, scan};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
};

/// Distance from a block to its copy, and the maximum length of an entry: none crosses the end of a block.
pub(super) const BLOCK: u64 = 0x4_0000;
const HEADER: u32 = 20;

/// The header of an entry in `$SDS`, and the data of an entry in `$SII` and `$SDH`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SecurityDescriptorHeader {
    hash: U32,
    security_id: U32,
    offset: U64,
    /// Length of the entry, this header included.
    length: U32,
}

/// The location of a descriptor in `$SDS`, as stated in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Hash of the descriptor.
    pub hash: u32,
    /// The id by which files refer to the descriptor.
    pub security_id: u32,
    /// Offset of its entry in `$SDS`.
    pub offset: u64,
    /// Length of its entry, header included.
    pub length: u32,
}

impl Location {
    /// Parses the data of an `$SII` entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is too short, or states an impossible entry.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let (header, _) = SecurityDescriptorHeader::ref_from_prefix(data)
            .map_err(|_| Error::corrupt("$SII entry", None, format!("only {} bytes", data.len())))?;
        let location = Self::from(header);
        let end = (location.offset % BLOCK).checked_add(location.length.into());
        if location.length < HEADER || end.is_none_or(|end| end > BLOCK) {
            let problem = format!("descriptor at {:#x}, {} bytes", location.offset, location.length);
            return Err(Error::corrupt("$SII entry", None, problem));
        }
        Ok(location)
    }
}

impl From<&SecurityDescriptorHeader> for Location {
    fn from(header: &SecurityDescriptorHeader) -> Self {
        Self {
            hash: header.hash.get(),
            security_id: header.security_id.get(),
            offset: header.offset.get(),
            length: header.length.get(),
        }
    }
}

/// Parses the key of an `$SII` entry, a security id; the index is in numeric order.
///
/// # Errors
/// [`Error::Corrupt`] if the key is no 32-bit number.
pub fn parse_key(key: &[u8]) -> Result<u32> {
    let key = U32::read_from_bytes(key)
        .map_err(|_| Error::corrupt("$SII entry", None, format!("a key of {} bytes", key.len())))?;
    Ok(key.get())
}

/// Reads the self-relative security descriptor at `location`, from the block or else from its copy.
///
/// # Errors
/// [`Error::Corrupt`] if both are damaged: the error of the first.
pub fn descriptor(sds: &dyn ByteSource, location: &Location) -> Result<Vec<u8>> {
    let first = read_entry(sds, location, location.offset);
    match (first, location.offset.checked_add(BLOCK)) {
        (Err(error), Some(copy)) => read_entry(sds, location, copy).map_err(|_| error),
        (first, _) => first,
    }
}

/// Reads one of the two copies of the entry at `location`, the one at byte `at`, and returns its verified descriptor.
pub(super) fn read_entry(sds: &dyn ByteSource, location: &Location, at: u64) -> Result<Vec<u8>> {
    let corrupt = |problem: String| Error::corrupt("$SDS entry", Place::Byte(at), problem);
    let length = usize::try_from(location.length).map_err(|_| corrupt("too long".into()))?;
    let mut entry = match read_vec(sds, at, length) {
        Err(Error::Invalid(problem)) => return Err(corrupt(problem.into())),
        entry => entry?,
    };
    let (header, descriptor) = SecurityDescriptorHeader::ref_from_prefix(&entry)
        .map_err(|_| corrupt(format!("only {length} bytes")))?;
    let stored = Location::from(header);
    if stored != *location {
        return Err(corrupt(format!("the index says {location:?}, the entry {stored:?}")));
    }
    let hash = hash(descriptor);
    if hash != location.hash {
        return Err(corrupt(format!("hash {:#010x}, computed {hash:#010x}", location.hash)));
    }
    entry.drain(..HEADER as usize);
    Ok(entry)
}

/// The hash of `$SDS`: per 32-bit word, rotate left by 3 and add. Bytes after the last whole word do not count.
pub fn hash(descriptor: &[u8]) -> u32 {
    let words =
        descriptor.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    words.fold(0, |hash: u32, word| hash.rotate_left(3).wrapping_add(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    const DESCRIPTOR: [u8; 8] = [1, 0, 4, 0x80, 0xff, 0xff, 0xff, 0xff];

    pub(super) fn entry(id: u32, offset: u64) -> Vec<u8> {
        let mut entry = hash(&DESCRIPTOR).to_le_bytes().to_vec();
        entry.extend(id.to_le_bytes());
        entry.extend(offset.to_le_bytes());
        entry.extend(28_u32.to_le_bytes());
        entry.extend(DESCRIPTOR);
        entry
    }

    fn sds() -> MemorySource {
        let block = usize::try_from(BLOCK).unwrap();
        let mut sds = vec![0; block + 64];
        sds[32..60].copy_from_slice(&entry(0x101, 32));
        sds[block + 32..block + 60].copy_from_slice(&entry(0x101, 32));
        MemorySource(sds)
    }

    fn location() -> Location {
        Location::parse(&entry(0x101, 32)[..20]).unwrap()
    }

    #[test]
    fn descriptor_is_found_by_its_location() {
        assert_eq!(descriptor(&sds(), &location()).unwrap(), DESCRIPTOR);
        assert_eq!(parse_key(&[1, 1, 0, 0]).unwrap(), 0x101);
        assert!(parse_key(&[1, 1, 0]).is_err());
        assert_eq!(hash(&DESCRIPTOR), 0x8004_0001_u32.rotate_left(3).wrapping_sub(1));
    }

    #[test]
    fn damage_anywhere_in_the_entry_is_repaired_from_the_copy() {
        for at in 32..60 {
            let mut damaged = sds();
            damaged.0[at] ^= 0x40;
            assert_eq!(descriptor(&damaged, &location()).unwrap(), DESCRIPTOR, "{at}");
            let copy = at + usize::try_from(BLOCK).unwrap();
            damaged.0[copy] ^= 0x40;
            assert!(descriptor(&damaged, &location()).is_err(), "{at}");
        }
    }

    #[test]
    fn impossible_locations_are_refused() {
        let mut bytes = entry(1, 0);
        for (offset, length) in
            [(0_u64, 19_u32), (0, 0x4_0001), (0x3_fff0, 28), (u64::MAX, 28), (0, u32::MAX)]
        {
            bytes[8..16].copy_from_slice(&offset.to_le_bytes());
            bytes[16..20].copy_from_slice(&length.to_le_bytes());
            assert!(Location::parse(&bytes).is_err(), "{offset:#x} {length:#x}");
        }
        assert!(Location::parse(&bytes[..19]).is_err());
        let beyond = Location { offset: 10 * BLOCK, ..location() };
        assert!(matches!(descriptor(&sds(), &beyond), Err(Error::Corrupt(_))));
        let last = Location { offset: u64::MAX - 15, ..location() };
        assert!(matches!(descriptor(&sds(), &last), Err(Error::Corrupt(_))));
    }
}
