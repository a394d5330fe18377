//! `$ATTRIBUTE_LIST`: the map from attributes to records, for files whose attributes do not fit into one record. Guards:
//! entries are inside the list, its size is bounded.

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::reference::FileReference;
use crate::{Error, Result};

/// Maximum length of a list that Windows writes.
pub const MAX_ATTRIBUTE_LIST: u64 = 256 << 10;

/// As on disk.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    type_code: U32,
    record_length: U16,
    name_length: u8,
    name_offset: u8,
    lowest_vcn: U64,
    segment_reference: U64,
    instance: U16,
}

/// The location of an attribute, or of one extent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeListEntry<'a> {
    /// Attribute type.
    pub type_code: u32,
    /// UTF-16LE; empty for unnamed attributes.
    pub name: &'a [u8],
    /// First VCN that the extent maps.
    pub lowest_vcn: u64,
    /// The record that contains it.
    pub segment: FileReference,
}

/// Iterates over the entries of a list, in order; ends after the first damaged one.
pub fn entries(list: &[u8]) -> impl Iterator<Item = Result<AttributeListEntry<'_>>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = list.get(offset..).filter(|rest| !rest.is_empty())?;
        let parsed = parse(rest);
        let at = offset;
        offset = parsed.as_ref().map_or(usize::MAX, |(_, len)| at + len);
        let corrupt =
            |problem| Error::corrupt("$ATTRIBUTE_LIST", None, format!("entry at {at:#x}: {problem}"));
        Some(parsed.map(|(entry, _)| entry).map_err(corrupt))
    })
}

fn parse(bytes: &[u8]) -> Result<(AttributeListEntry<'_>, usize), &'static str> {
    let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| "cut off")?;
    let len = usize::from(raw.record_length.get());
    if len < size_of::<Raw>() || len > bytes.len() {
        return Err("entry leaves the list");
    }
    let name = match usize::from(raw.name_length) * 2 {
        0 => &[],
        bytes_len => {
            let start = usize::from(raw.name_offset);
            bytes[..len].get(start..start + bytes_len).ok_or("name leaves the entry")?
        }
    };
    let (type_code, lowest_vcn) = (raw.type_code.get(), raw.lowest_vcn.get());
    Ok((
        AttributeListEntry {
            type_code,
            name,
            lowest_vcn,
            segment: FileReference(raw.segment_reference.get()),
        },
        len,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(type_code: u32, lowest_vcn: u64, segment: u64) -> Vec<u8> {
        let mut entry = vec![0; 32];
        entry[..4].copy_from_slice(&type_code.to_le_bytes());
        entry[4] = 32;
        entry[7] = 26;
        entry[8..16].copy_from_slice(&lowest_vcn.to_le_bytes());
        entry[16..24].copy_from_slice(&segment.to_le_bytes());
        entry
    }

    #[test]
    fn entries_name_records_and_extents() {
        let list = [entry(0x10, 0, 1 << 48 | 40), entry(0x80, 0, 41), entry(0x80, 77, 42)].concat();
        let entries: Vec<_> = entries(&list).map(Result::unwrap).collect();
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].segment.record(), entries[0].segment.sequence()), (40, 1));
        assert_eq!((entries[2].lowest_vcn, entries[2].segment.record()), (77, 42));
    }

    #[test]
    fn walk_ends_at_damage() {
        for (offset, value) in [(4, 0), (4, 8), (4, 40), (6, 9)] {
            let mut list = entry(0x80, 0, 41);
            list[offset] = value;
            assert_eq!(entries(&list).map(|entry| entry.is_err()).collect::<Vec<_>>(), [true]);
        }
        assert_eq!(entries(&[1, 2, 3]).count(), 1);
        assert_eq!(entries(&[]).count(), 0);
    }
}
