//! Attribute records (`ATTRIBUTE_RECORD_HEADER`), resident and non-resident. Guards: name, value and mapping pairs are
//! inside the attribute, the attribute inside its record. One file for each type whose value is parsed here.

pub mod attribute_list;
pub(super) mod ea;
pub(super) mod efs_size;
pub mod file_name;
pub mod mapping_pairs;
pub mod reference;
pub mod standard_information;
pub mod time;

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Attribute type codes.
pub mod code {
    #![expect(missing_docs, reason = "the specification's names")]
    pub const STANDARD_INFORMATION: u32 = 0x10;
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    pub const FILE_NAME: u32 = 0x30;
    pub const OBJECT_ID: u32 = 0x40;
    pub const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub const VOLUME_NAME: u32 = 0x60;
    pub const VOLUME_INFORMATION: u32 = 0x70;
    pub const DATA: u32 = 0x80;
    pub const INDEX_ROOT: u32 = 0x90;
    pub const INDEX_ALLOCATION: u32 = 0xa0;
    pub const BITMAP: u32 = 0xb0;
    pub const REPARSE_POINT: u32 = 0xc0;
    pub const EA_INFORMATION: u32 = 0xd0;
    pub const EA: u32 = 0xe0;
    pub const LOGGED_UTILITY_STREAM: u32 = 0x100;
    pub const END: u32 = 0xffff_ffff;
}

/// Name of the attributes that form a directory's index.
pub(super) const I30: &[u16] = &[0x24, 0x49, 0x33, 0x30];

/// Name of the stream with the compressed data of a WOF-compressed file.
pub(super) const WOF_STREAM: [u16; 17] = {
    let (text, mut name, mut i) = (b"WofCompressedData", [0; 17], 0);
    while i < name.len() {
        name[i] = text[i] as u16;
        i += 1;
    }
    name
};

/// Mask of the compression method in an attribute's flags; 1 is LZNT1.
pub const FLAG_COMPRESSION_MASK: u16 = 0x00ff;
/// Encrypted by EFS.
pub const FLAG_ENCRYPTED: u16 = 0x4000;
/// Has holes.
pub const FLAG_SPARSE: u16 = 0x8000;

/// On-disk header common to all attributes.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    type_code: U32,
    record_length: U32,
    form_code: u8,
    name_length: u8,
    name_offset: U16,
    flags: U16,
    instance: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawResident {
    value_length: U32,
    value_offset: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawNonResident {
    lowest_vcn: U64,
    highest_vcn: U64,
    mapping_pairs_offset: U16,
    compression_unit: u8,
    reserved: [u8; 5],
    allocated_length: U64,
    file_size: U64,
    valid_data_length: U64,
}

/// One attribute, or one extent of an attribute.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// One of [`code`].
    pub type_code: u32,
    /// UTF-16LE; empty for unnamed attributes.
    pub name: &'a [u8],
    /// `FLAG_…`.
    pub flags: u16,
    /// Location of its value.
    pub form: Form<'a>,
}

/// Location of an attribute's value.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// Resident, in the record.
    Resident(&'a [u8]),
    /// Non-resident, in clusters.
    NonResident(NonResident<'a>),
}

/// One extent of a non-resident value.
#[derive(Debug, Clone, Copy)]
pub struct NonResident<'a> {
    /// First VCN that this extent maps.
    pub lowest_vcn: u64,
    /// Last VCN; `u64::MAX` for an empty extent.
    pub highest_vcn: u64,
    /// Encoded runs.
    pub mapping_pairs: &'a [u8],
    /// log2 of the clusters in a compression unit; 0 if not compressed.
    pub compression_unit: u8,
    /// Allocated bytes; like the fields below, only in the first extent. Sparse and compressed: the clusters in use.
    pub allocated_length: u64,
    /// Length of the value.
    pub file_size: u64,
    /// Initialized size: the value reads as zeros from here on.
    pub valid_data_length: u64,
}

impl<'a> Attribute<'a> {
    /// Parses the attribute at the start of `bytes` and returns it with its length; `None` at the end mark.
    ///
    /// # Errors
    /// The contradiction to the format.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, &'static str> {
        match bytes.first_chunk::<4>().map(|mark| u32::from_le_bytes(*mark)) {
            Some(code::END) => return Ok(None),
            None => return Err("no end mark"),
            Some(_) => {}
        }
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| "cut off")?;
        let len = usize::try_from(raw.record_length.get()).unwrap_or(usize::MAX);
        if len < size_of::<Raw>() + size_of::<RawResident>() || len % 8 != 0 || len > bytes.len() {
            return Err("length leaves the record");
        }
        let bytes = &bytes[..len];
        let name = match usize::from(raw.name_length) {
            0 => &[],
            units => slice(bytes, raw.name_offset.get().into(), units * 2).ok_or("name leaves the record")?,
        };
        let form = match raw.form_code {
            0 => Form::Resident(resident(bytes)?),
            1 => Form::NonResident(non_resident(bytes)?),
            _ => return Err("neither resident nor non-resident"),
        };
        Ok(Some((Self { type_code: raw.type_code.get(), name, flags: raw.flags.get(), form }, len)))
    }

    /// True if the attribute has exactly this name; an empty `name` means unnamed.
    pub fn is_named(&self, name: &[u16]) -> bool {
        utf16_eq(self.name, name)
    }

    /// The name's UTF-16 code units.
    pub fn name_units(&self) -> Vec<u16> {
        self.name.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
    }

    /// True for a whole attribute or its first extent, the only one with sizes.
    pub fn is_first(&self) -> bool {
        matches!(self.form, Form::Resident(_) | Form::NonResident(NonResident { lowest_vcn: 0, .. }))
    }

    /// Length of the value.
    pub fn size(&self) -> u64 {
        match &self.form {
            Form::Resident(value) => value.len() as u64,
            Form::NonResident(extent) => extent.file_size,
        }
    }

    /// Bytes allocated outside of the record.
    pub fn allocated(&self) -> u64 {
        match &self.form {
            Form::Resident(_) => 0,
            Form::NonResident(extent) => extent.allocated_length,
        }
    }
}

/// True if the UTF-16LE bytes are these code units.
pub(super) fn utf16_eq(bytes: &[u8], units: &[u16]) -> bool {
    bytes.len() == units.len() * 2
        && bytes.as_chunks().0.iter().zip(units).all(|(byte, unit)| u16::from_le_bytes(*byte) == *unit)
}

fn slice(bytes: &[u8], offset: usize, len: usize) -> Option<&[u8]> {
    bytes.get(offset..)?.get(..len)
}

fn resident(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (raw, _) = RawResident::ref_from_prefix(&bytes[size_of::<Raw>()..]).map_err(|_| "cut off")?;
    let len = usize::try_from(raw.value_length.get()).unwrap_or(usize::MAX);
    slice(bytes, raw.value_offset.get().into(), len).ok_or("value leaves the record")
}

fn non_resident(bytes: &[u8]) -> Result<NonResident<'_>, &'static str> {
    let (raw, rest) = RawNonResident::ref_from_prefix(&bytes[size_of::<Raw>()..]).map_err(|_| "cut off")?;
    let flags = u16::from_le_bytes([bytes[12], bytes[13]]);
    // Sparse and compressed values have a separate field for the allocated bytes in use.
    let total_allocated = rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let has_total = raw.lowest_vcn == 0
        && raw.mapping_pairs_offset.get() >= 0x48
        && flags & (FLAG_SPARSE | FLAG_COMPRESSION_MASK) != 0;
    Ok(NonResident {
        lowest_vcn: raw.lowest_vcn.get(),
        highest_vcn: raw.highest_vcn.get(),
        mapping_pairs: bytes.get(raw.mapping_pairs_offset.get().into()..).ok_or("runs leave the record")?,
        compression_unit: raw.compression_unit,
        allocated_length: total_allocated.filter(|_| has_total).unwrap_or(raw.allocated_length.get()),
        file_size: raw.file_size.get(),
        valid_data_length: raw.valid_data_length.get(),
    })
}
