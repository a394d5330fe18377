//! The one entry of a redo file: sectors of the image as they will be, each with a hash of what it held before.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | signature |
//! | 8..16 | number of sectors, little-endian |
//! | 16..48 | SHA-256 of everything from byte 48 on, with the number in front |
//! | 512.. | a descriptor of 32 bytes for each sector: offset in the image, and 24 bytes of the SHA-256 of its old content |
//! | next multiple of 512 | the new content, in the same order |

use sha2::{Digest, Sha256};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
};

pub(super) const SECTOR: u64 = 512;
const SIGNATURE: [u8; 8] = *b"vhdmredo";
const HEAD: usize = 512;
const DESCRIPTOR: usize = 32;
const STRUCTURE: &str = "redo file";

/// Most sectors of an entry: 64 MiB of content, which is held in memory.
pub(in crate::container) const MAX_SECTORS: usize = 128 << 10;

type OldHash = [u8; 24];

/// A sector of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewSector {
    /// Byte offset, a multiple of 512.
    pub(super) at: u64,
    pub(super) old: OldHash,
    pub(super) new: [u8; 512],
}

impl NewSector {
    pub(super) fn new(at: u64, old: &[u8; 512], new: [u8; 512]) -> Self {
        Self { at, old: hash(old), new }
    }

    /// True when the image holds the sector as it was, or as it will be.
    pub(super) fn accepts(&self, now: &[u8; 512]) -> bool {
        *now == self.new || hash(now) == self.old
    }
}

fn hash(sector: &[u8; 512]) -> OldHash {
    let digest = Sha256::digest(sector);
    digest[..24].try_into().expect("a digest has 32 bytes")
}

pub(super) fn encode(sectors: &[NewSector]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[..8].copy_from_slice(&SIGNATURE);
    bytes[8..16].copy_from_slice(&(sectors.len() as u64).to_le_bytes());
    for sector in sectors {
        bytes.extend_from_slice(&sector.at.to_le_bytes());
        bytes.extend_from_slice(&sector.old);
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    for sector in sectors {
        bytes.extend_from_slice(&sector.new);
    }
    let digest = digest(&bytes);
    bytes[16..48].copy_from_slice(&digest);
    bytes
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(&bytes[8..16]).chain_update(&bytes[48..]).finalize().into()
}

/// The entry of a redo file. `None` when it has none: it was retired, or the power cut came before it was complete, and then
/// nothing of it is in the image.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Corrupt`] for a complete entry that makes no sense.
pub(super) fn decode(file: &dyn ByteSource) -> Result<Option<Vec<NewSector>>> {
    if file.size() < HEAD as u64 {
        return Ok(None);
    }
    let head = read_vec(file, 0, HEAD)?;
    let count = u64::from_le_bytes(head[8..16].try_into().expect("8 bytes"));
    let Some(count) = usize::try_from(count).ok().filter(|count| (1..=MAX_SECTORS).contains(count)) else {
        return Ok(None);
    };
    let content_at = (HEAD + count * DESCRIPTOR).next_multiple_of(512);
    let len = content_at + count * 512;
    if head[..8] != SIGNATURE || file.size() < len as u64 {
        return Ok(None);
    }
    let bytes = read_vec(file, 0, len)?;
    if bytes[16..48] != digest(&bytes) {
        return Ok(None);
    }
    let descriptors = bytes[HEAD..].as_chunks::<DESCRIPTOR>().0;
    let contents = bytes[content_at..].as_chunks::<512>().0;
    let sectors: Vec<_> = descriptors
        .iter()
        .zip(contents)
        .map(|(descriptor, content)| NewSector {
            at: u64::from_le_bytes(descriptor[..8].try_into().expect("8 bytes")),
            old: descriptor[8..].try_into().expect("24 bytes"),
            new: *content,
        })
        .collect();
    let ascend = sectors.windows(2).all(|pair| pair[0].at < pair[1].at);
    if !ascend || sectors.iter().any(|sector| !sector.at.is_multiple_of(SECTOR)) {
        return Err(Error::corrupt(STRUCTURE, Place::Byte(HEAD as u64), "sectors that do not ascend"));
    }
    Ok(Some(sectors))
}
