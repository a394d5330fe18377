//! The data of a deduplication reparse point, in the three known versions: 1.2 (Server 2012), 2.1 and 3.1 (2016 and later),
//! the last a tree of properties. All end in a CRC-32. Guards: the parts of the stream map are contiguous.

use crate::{Error, Result, guid::Guid};

/// Length of a part.
const PART_LEN: usize = 64;
/// Length of a stream map's header.
pub(in super::super) const MAP_HEADER_LEN: u32 = 8;
/// Length of a stream map's entry.
pub(in super::super) const MAP_ENTRY_LEN: u32 = 64;

/// Property types of version 3.1.
const TYPE_GUID: u16 = 12;
const TYPE_BLOB: u16 = 13;
const PROPERTY_LEN: usize = 8;
/// A property set's header: signature, CRC-32, length, number of properties.
const SET_HEADER_LEN: usize = 16;
/// Index of the flags among the file's properties.
const FLAGS: usize = 1;

/// The location of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The chunk store.
    pub store: Guid,
    /// The parts of its stream map, at least one, in content order.
    pub parts: Vec<Part>,
}

/// A part of a stream map: a chunk in a container of the store's `Stream` folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The chunk's number in its container.
    pub chunk: u32,
    /// The container's number.
    pub container: u32,
    /// Offset of the chunk in the container when the reparse point was written.
    pub offset: u32,
    /// Length of the chunk in bytes: a header and the entries.
    pub len: u32,
    /// The first half of the chunk's hash.
    pub hash: [u8; 16],
    /// Start of the content range that it describes.
    pub start: u64,
    /// End of that range.
    pub end: u64,
}

impl Point {
    /// Parses the data that follows the tag.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown version; [`Error::Corrupt`].
    pub fn parse(data: &[u8]) -> Result<Self> {
        let (head, crc) = data.split_last_chunk::<4>().ok_or_else(|| corrupt("only a few bytes"))?;
        let fields = Fields(head);
        let version = fields.array(0).ok_or_else(|| corrupt("only a few bytes"))?;
        let read: fn(Fields<'_>) -> Option<Result<Self>> = match version {
            [1, 2] => Self::parse_1,
            [2, 1] => |fields| Self::parse_2(fields).map(Ok),
            [3, 1] => Self::parse_3,
            [major, minor] => {
                let why = format!("reparse data of version {major}.{minor}, which is not known");
                return Err(Error::unsupported(why));
            }
        };
        if fields.u16(2).map(usize::from) != Some(data.len()) {
            return Err(corrupt("its length is not the one it states"));
        }
        let mut computed = flate2::Crc::new();
        computed.update(head);
        if computed.sum() != u32::from_le_bytes(*crc) {
            return Err(corrupt("wrong CRC"));
        }
        let point = read(fields).ok_or_else(|| corrupt("a field outside of it"))??;
        point.check()
    }

    fn parse_1(fields: Fields<'_>) -> Option<Result<Self>> {
        let mut part = Part::parse(fields.array(0x38)?);
        // This version has the whole hash here, and the content in one part.
        (part.start, part.end) = (0, fields.u64(8)?);
        Some(Ok(Self { store: Guid(fields.array(0x18)?), parts: vec![part] }))
    }

    fn parse_2(fields: Fields<'_>) -> Option<Self> {
        let (len, offset) = (usize::from(fields.u16(0x4c)?), usize::from(fields.u16(0x4e)?));
        let parts = fields.0.get(offset..offset + len)?;
        Some(Self { store: Guid(fields.array(0x74)?), parts: Part::parse_all(parts)? })
    }

    fn parse_3(fields: Fields<'_>) -> Option<Result<Self>> {
        let file = Set(fields.0.get(4..)?);
        if file.signature()? != *b"FeRp" {
            return None;
        }
        let flags = file.properties()?.nth(FLAGS)?;
        if file.value(flags)?.iter().any(|byte| *byte != 0) {
            return Some(Err(Error::unsupported("a state of the file that is not known")));
        }
        let store = file.properties()?.find(|property| property.kind == TYPE_GUID)?;
        let store = Guid(Fields(file.value(store)?).array(0)?);
        for property in file.properties()?.filter(|property| property.kind == TYPE_BLOB) {
            let set = Set(file.value(property)?);
            if set.signature()? == *b"DdRp" {
                let parts = set.properties()?.find(|property| property.kind == TYPE_BLOB)?;
                return Some(Ok(Self { store, parts: Part::parse_all(set.value(parts)?)? }));
            }
        }
        None
    }

    fn check(self) -> Result<Self> {
        let mut end = 0;
        for part in &self.parts {
            if part.start != end || part.end <= part.start {
                return Err(corrupt("parts of the stream map that do not follow each other"));
            }
            end = part.end;
            let entries = part.len.checked_sub(MAP_HEADER_LEN).filter(|len| *len > 0);
            if entries.is_none_or(|len| len % MAP_ENTRY_LEN != 0) {
                return Err(corrupt("a stream map of a length that none can have"));
            }
        }
        if self.parts.is_empty() { Err(corrupt("no stream map")) } else { Ok(self) }
    }

    /// Length of the content in bytes.
    pub fn size(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }
}

impl Part {
    fn parse(bytes: [u8; PART_LEN]) -> Self {
        let fields = Fields(&bytes);
        let u32_at = |at| fields.u32(at).expect("64 bytes");
        let u64_at = |at| fields.u64(at).expect("64 bytes");
        Self {
            chunk: u32_at(0),
            container: u32_at(4),
            offset: u32_at(8),
            len: u32_at(0x18),
            hash: fields.array(0x20).expect("64 bytes"),
            end: u64_at(0x30),
            start: u64_at(0x38),
        }
    }

    fn parse_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let (parts, rest) = bytes.as_chunks();
        rest.is_empty().then(|| parts.iter().map(|part| Self::parse(*part)).collect())
    }
}

/// A set of properties: their types, lengths and offsets from the set's start, then the values.
struct Set<'a>(&'a [u8]);

#[derive(Clone, Copy)]
struct Property {
    kind: u16,
    len: u16,
    offset: u32,
}

impl<'a> Set<'a> {
    fn signature(&self) -> Option<[u8; 4]> {
        Fields(self.0).array(0)
    }

    fn properties(&self) -> Option<impl Iterator<Item = Property> + use<'a>> {
        let count = usize::from(Fields(self.0).u16(14)?);
        let end = SET_HEADER_LEN + count * PROPERTY_LEN;
        let properties = self.0.get(SET_HEADER_LEN..end)?.as_chunks::<PROPERTY_LEN>().0.iter();
        Some(properties.map(|[a, b, c, d, offset @ ..]| Property {
            kind: u16::from_le_bytes([*a, *b]),
            len: u16::from_le_bytes([*c, *d]),
            offset: u32::from_le_bytes(*offset),
        }))
    }

    fn value(&self, property: Property) -> Option<&'a [u8]> {
        self.0.get(property.offset as usize..)?.get(..property.len.into())
    }
}

fn corrupt(problem: &'static str) -> Error {
    Error::corrupt("deduplication reparse point", None, problem)
}

/// Little-endian numbers at fixed offsets.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}
