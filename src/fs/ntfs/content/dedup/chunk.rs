//! Chunks in a container file (`.ccc`) of a chunk store: each has a header with its hash, followed by its bytes. The
//! container's redirection table, sorted by number, locates chunks that were moved. Guards: a chunk is accepted only if
//! number, length and hash match.

use std::cmp::Ordering;

use sha2::{Digest, Sha256, Sha512};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    codec::plain_lz77,
};

const SIGNATURE: &[u8; 4] = b"Ckhr";
const TABLE_SIGNATURE: &[u8; 4] = b"Rrtl";
/// Offset of the hash in the header, which the header states: in a chunk of content, and in one with a stream map.
const HASH_AT: [u16; 2] = [0x28, 0x38];
/// Length of the hash, and of the fields between it and the chunk's bytes.
const HASH_LEN: usize = 32;
const AFTER_HASH: usize = 16;
const HEADER_LEN: usize = 0x38 + HASH_LEN + AFTER_HASH;
/// Offset of the redirection table in every container.
const TABLE_AT: u64 = 0x3000;
const TABLE_HEADER_LEN: u64 = 0x20;
const TABLE_ENTRY_LEN: u64 = 8;

/// Maximum length of a chunk; deduplication divides files into chunks of 32 to 128 KiB.
pub(in super::super) const MAX_CHUNK: u64 = 1 << 20;
/// The chunk compression of Windows: XPRESS without Huffman codes (plain LZ77).
const XPRESS: u32 = 2;

/// The header of a chunk.
struct Header {
    number: u32,
    len: u32,
    hash: [u8; HASH_LEN],
    compression: u32,
    /// Offset of the chunk's bytes from the header.
    body: u64,
}

impl Header {
    /// Reads the header at `offset`; `None` if there is none.
    fn read(container: &dyn ByteSource, offset: u64) -> Result<Option<Self>> {
        let there = container.size().saturating_sub(offset).min(HEADER_LEN as u64);
        let bytes = read_vec(container, offset, usize::try_from(there).expect("at most a header"))?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let at = u16::from_le_bytes(*bytes.get(0x12..)?.first_chunk()?);
        if !bytes.starts_with(SIGNATURE) || !HASH_AT.contains(&at) {
            return None;
        }
        let at = usize::from(at);
        Some(Self {
            number: u32_at(8)?,
            len: u32_at(12)?,
            hash: *bytes.get(at..)?.first_chunk()?,
            compression: u32_at(0x20)?,
            body: (at + HASH_LEN + AFTER_HASH) as u64,
        })
    }
}

/// A chunk to find.
pub(in super::super) struct Wanted<'a> {
    pub(in super::super) number: u32,
    pub(in super::super) offset: u32,
    /// Stored length in bytes.
    pub(in super::super) len: u32,
    /// Its hash, or the first bytes of it.
    pub(in super::super) hash: &'a [u8],
}

/// The location of a chunk.
pub(in super::super) struct ChunkPlace {
    /// Offset of its bytes in the container.
    pub(in super::super) position: u64,
    /// Compression method; 0 if stored raw.
    pub(in super::super) compression: u32,
}

/// Finds a chunk in its container, at its last known offset or through the redirection table.
pub(in super::super) fn find(container: &dyn ByteSource, wanted: &Wanted<'_>) -> Result<Option<ChunkPlace>> {
    let at = |offset: u32| -> Result<Option<ChunkPlace>> {
        let header = Header::read(container, offset.into())?.filter(|header| {
            header.number == wanted.number && header.len == wanted.len && header.hash.starts_with(wanted.hash)
        });
        let Some(header) = header else { return Ok(None) };
        let position = u64::from(offset) + header.body;
        if container.size().saturating_sub(position) < u64::from(header.len) {
            return Err(Error::corrupt(
                "deduplication chunk",
                Place::Byte(u64::from(offset)),
                "cut off by its container's end",
            ));
        }
        Ok(Some(ChunkPlace { position, compression: header.compression }))
    };
    match at(wanted.offset)? {
        Some(found) => Ok(Some(found)),
        None => redirected(container, wanted.number)?.map_or(Ok(None), at),
    }
}

/// The offset of a chunk according to the redirection table.
fn redirected(container: &dyn ByteSource, number: u32) -> Result<Option<u32>> {
    let entries = TABLE_AT + TABLE_HEADER_LEN;
    let Some(room) = container.size().checked_sub(entries) else { return Ok(None) };
    let mut header = [0; 12];
    container.read_exact_at(TABLE_AT, &mut header)?;
    if !header.starts_with(TABLE_SIGNATURE) {
        return Ok(None);
    }
    let count = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let (mut low, mut high) = (0, u64::from(count).min(room / TABLE_ENTRY_LEN));
    while low < high {
        let middle = low.midpoint(high);
        let mut entry = [0; 8];
        container.read_exact_at(entries + middle * TABLE_ENTRY_LEN, &mut entry)?;
        let [a, b, c, d, offset @ ..] = entry;
        match u32::from_le_bytes([a, b, c, d]).cmp(&number) {
            Ordering::Equal => return Ok(Some(u32::from_le_bytes(offset))),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

/// Fills `out`, which has the chunk's uncompressed length, from the stored bytes, and checks the hash.
pub(in super::super) fn decode(
    stored: &[u8],
    compression: u32,
    hash: &[u8; HASH_LEN],
    out: &mut [u8],
) -> Result<(), String> {
    if stored.len() == out.len() {
        out.copy_from_slice(stored);
    } else if let Err(error) = plain_lz77::decompress(stored, out) {
        return Err(match compression {
            XPRESS => error.to_string(),
            method => format!("compressed by method {method}, which is not known ({error})"),
        });
    }
    if is_hash(hash, out) {
        return Ok(());
    }
    Err("its bytes do not have its hash".into())
}

/// The hash is the first half of SHA-512 (documented in Microsoft's BuildXL, which uses the same chunk hashes). Other
/// analyses of chunk stores call it SHA-256. Either is accepted: no other content has a matching hash.
fn is_hash(hash: &[u8; HASH_LEN], content: &[u8]) -> bool {
    Sha512::digest(content)[..HASH_LEN] == hash[..] || Sha256::digest(content)[..] == hash[..]
}
