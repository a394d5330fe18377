//! The header of a WIM file: 208 bytes at its start. Guards: anything but an ordinary, complete WIM of version 1.13 is
//! refused by name.

use crate::{Error, Place, Result, codec::lzx, guid::Guid};

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 208;

const MAGIC: &[u8; 8] = b"MSWIM\0\0\0";
/// wimlib's pipable variant, whose chunk tables follow their data.
const MAGIC_PIPABLE: &[u8; 8] = b"WLPWM\0\0\0";
const VERSION: u32 = 0x0001_0d00;
const VERSION_SOLID: u32 = 0x0000_0e00;

const FLAG_COMPRESSED: u32 = 0x2;
const FLAG_WRITE_IN_PROGRESS: u32 = 0x40;
const FLAG_XPRESS: u32 = 0x2_0000;
const FLAG_LZX: u32 = 0x4_0000;
const FLAG_LZMS: u32 = 0x8_0000;

/// Chunk size for a 0 in the header.
const DEFAULT_CHUNK_SIZE: u32 = 32 << 10;

/// Compression method of the chunks of compressed resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// No resource is compressed.
    None,
    /// XPRESS Huffman.
    Xpress,
    /// LZX.
    Lzx,
}

/// The fields of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Compression method of compressed resources.
    pub compression: Compression,
    /// Uncompressed bytes of each chunk of a compressed resource but its last.
    pub chunk_size: u32,
    /// The WIM's identity.
    pub guid: Guid,
    /// Part number of a split WIM; 1 for one that is not split.
    pub part: u16,
    /// Location of the blob table.
    pub blob_table: ResourceHeader,
}

/// The location and storage of a resource (24 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceHeader {
    /// Stored length in bytes, the chunk table included.
    pub stored: u64,
    /// Storage flags.
    pub flags: u8,
    /// Byte offset in the file.
    pub offset: u64,
    /// Uncompressed length in bytes.
    pub size: u64,
}

impl ResourceHeader {
    /// Parses any 24 bytes: [`super::Resource::open`] validates the fields.
    pub fn parse(bytes: &[u8; 24]) -> Self {
        let field = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("24 bytes"));
        Self { stored: field(0) & ((1 << 56) - 1), flags: bytes[7], offset: field(8), size: field(16) }
    }
}

impl Header {
    /// Parses the first [`HEADER_LEN`] bytes of a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that are no WIM; [`Error::Unsupported`] for another kind of WIM.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or_else(|| {
            Error::corrupt("WIM header", Place::Byte(0), format!("only {} bytes", bytes.len()))
        })?;
        match bytes.first_chunk() {
            Some(MAGIC) => {}
            Some(MAGIC_PIPABLE) => return Err(Error::unsupported("a pipable WIM (of wimlib)")),
            _ => return Err(Error::corrupt("WIM header", Place::Byte(0), "no WIM signature")),
        }
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        match u32_at(12) {
            VERSION => {}
            VERSION_SOLID => return Err(Error::unsupported("a solid WIM (ESD)")),
            version => return Err(Error::unsupported(format!("a WIM of version {version:#x}"))),
        }
        let flags = u32_at(16);
        if flags & FLAG_WRITE_IN_PROGRESS != 0 {
            return Err(Error::unsupported("a WIM whose writing was not finished"));
        }
        let compression = match flags & (FLAG_COMPRESSED | FLAG_XPRESS | FLAG_LZX | FLAG_LZMS) {
            flags if flags & FLAG_COMPRESSED == 0 => Compression::None,
            flags if flags & FLAG_LZX != 0 => Compression::Lzx,
            flags if flags & FLAG_XPRESS != 0 => Compression::Xpress,
            flags if flags & FLAG_LZMS != 0 => {
                return Err(Error::unsupported("a WIM compressed with LZMS"));
            }
            _ => return Err(Error::unsupported("a WIM compressed with an unknown method")),
        };
        let (part, parts) = (u16_at(40), u16_at(42));
        if parts > 1 {
            return Err(Error::unsupported(format!("part {part} of {parts} of a split WIM")));
        }
        Ok(Self {
            compression,
            chunk_size: chunk_size(compression, u32_at(20))?,
            guid: Guid(*bytes[24..].first_chunk().expect("208 bytes")),
            part,
            blob_table: ResourceHeader::parse(bytes[48..].first_chunk().expect("208 bytes")),
        })
    }
}

/// Validates the chunk size against the range of each method's writers.
fn chunk_size(compression: Compression, stated: u32) -> Result<u32> {
    let allowed = match compression {
        Compression::None => return Ok(DEFAULT_CHUNK_SIZE),
        Compression::Xpress => 4 << 10..=64 << 10,
        Compression::Lzx => 32 << 10..=2 << 20,
    };
    let size = if stated == 0 { DEFAULT_CHUNK_SIZE } else { stated };
    if compression == Compression::Lzx && size as usize > lzx::MAX_OUTPUT && allowed.contains(&size) {
        // Windows' own WIMBoot driver does not decode them either.
        return Err(Error::unsupported(format!("a WIM with LZX chunks of {size} bytes (more than 32 KiB)")));
    }
    if size.is_power_of_two() && allowed.contains(&size) {
        return Ok(size);
    }
    Err(Error::corrupt("WIM header", Place::Byte(20), format!("chunks of {size} bytes for {compression:?}")))
}
