//! `$FILE_NAME` (0x30): one name of a file, with the copy of its times and sizes for directories. It is the value of the
//! attribute, and the key of each directory entry.

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::reference::FileReference;
use crate::{Error, Result};

/// Maximum number of units in a name; its length field is one byte.
pub const MAX_NAME: usize = 255;

/// Attribute bit of directories, which only this attribute has.
pub const FILE_NAME_DIRECTORY: u32 = 0x1000_0000;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    parent_directory: U64,
    creation_time: U64,
    last_data_change_time: U64,
    last_mft_change_time: U64,
    last_access_time: U64,
    allocated_size: U64,
    data_size: U64,
    file_attributes: U32,
    /// The reparse tag if the file has a reparse point, else the packed size of its extended attributes.
    ea_size_or_reparse_tag: U32,
    file_name_length: u8,
    namespace: u8,
}

/// A parsed `$FILE_NAME`. Times and sizes are those of the last update of the directory, often outdated: `stat` uses
/// `$STANDARD_INFORMATION` and `$DATA`.
#[derive(Clone, Copy)]
pub struct FileName<'a> {
    header: &'a Header,
    name: &'a [U16],
}

/// The namespace of a name: its rules, and whether it has a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Case-sensitive, any unit but `/` and NUL.
    Posix,
    /// A long name that has an 8.3 partner.
    Win32,
    /// The 8.3 partner of a long name.
    Dos,
    /// A long name that is also a valid 8.3 name.
    Win32AndDos,
}

impl<'a> FileName<'a> {
    /// Parses the attribute's value or the entry's key.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a value shorter than its name, or of an unknown namespace.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt("$FILE_NAME", None, problem);
        let (header, rest) =
            Header::ref_from_prefix(bytes).map_err(|_| corrupt(format!("only {} bytes", bytes.len())))?;
        let length = usize::from(header.file_name_length);
        let (name, _) = <[U16]>::ref_from_prefix_with_elems(rest, length)
            .map_err(|_| corrupt(format!("a name of {length} units in {} bytes", rest.len())))?;
        if header.namespace > 3 {
            return Err(corrupt(format!("namespace {}", header.namespace)));
        }
        Ok(Self { header, name })
    }

    /// The directory that contains the name.
    pub fn parent(&self) -> FileReference {
        FileReference(self.header.parent_directory.get())
    }

    /// The name's UTF-16 units, read in place.
    pub fn units(&self) -> impl ExactSizeIterator<Item = u16> + 'a {
        self.name.iter().map(|unit| unit.get())
    }

    /// Copies the name's units into the caller's buffer, to compare and return names without allocation.
    pub fn name<'b>(&self, buf: &'b mut [u16; MAX_NAME]) -> &'b [u16] {
        buf.iter_mut().zip(self.name).for_each(|(to, from)| *to = from.get());
        &buf[..self.name.len()]
    }

    /// The name's namespace.
    pub fn namespace(&self) -> Namespace {
        match self.header.namespace {
            0 => Namespace::Posix,
            1 => Namespace::Win32,
            2 => Namespace::Dos,
            _ => Namespace::Win32AndDos,
        }
    }

    /// `FILE_ATTRIBUTE_*`, and [`FILE_NAME_DIRECTORY`].
    pub fn attributes(&self) -> u32 {
        self.header.file_attributes.get()
    }

    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.attributes() & FILE_NAME_DIRECTORY != 0
    }

    /// The reparse tag, if the attributes include the reparse point bit.
    pub fn reparse_tag(&self) -> Option<u32> {
        let is_reparse_point = self.attributes() & 0x400 != 0;
        is_reparse_point.then(|| self.header.ea_size_or_reparse_tag.get())
    }

    /// Size of the packed extended attributes; 0 for a reparse point, which has its tag in the same field.
    pub fn ea_size(&self) -> u16 {
        let low = self.header.ea_size_or_reparse_tag.get().to_le_bytes();
        if self.reparse_tag().is_some() { 0 } else { u16::from_le_bytes([low[0], low[1]]) }
    }

    /// FILETIMEs: creation, last change of the data, of the record, last access.
    pub fn times(&self) -> [u64; 4] {
        let header = self.header;
        [
            header.creation_time,
            header.last_data_change_time,
            header.last_mft_change_time,
            header.last_access_time,
        ]
        .map(U64::get)
    }

    /// Bytes allocated for the unnamed stream.
    pub fn allocated_size(&self) -> u64 {
        self.header.allocated_size.get()
    }

    /// Length of the unnamed stream.
    pub fn data_size(&self) -> u64 {
        self.header.data_size.get()
    }
}

#[cfg(test)]
pub(in super::super) mod tests {
    use super::*;

    /// A `$FILE_NAME` value.
    pub(in crate::fs) fn file_name(parent: u64, name: &str, namespace: u8, attributes: u32) -> Vec<u8> {
        let mut bytes = parent.to_le_bytes().to_vec();
        (1..=4_u64).for_each(|time| bytes.extend(time.to_le_bytes()));
        bytes.extend(8192_u64.to_le_bytes());
        bytes.extend(5000_u64.to_le_bytes());
        bytes.extend(attributes.to_le_bytes());
        bytes.extend(0xa000_000c_u32.to_le_bytes());
        let units: Vec<u16> = name.encode_utf16().collect();
        bytes.extend([u8::try_from(units.len()).unwrap(), namespace]);
        units.iter().for_each(|unit| bytes.extend(unit.to_le_bytes()));
        bytes
    }

    #[test]
    fn fields_are_read_at_any_alignment() {
        let mut bytes = vec![0xff];
        bytes.extend(file_name(5 << 48 | 77, "Grüße😀", 1, FILE_NAME_DIRECTORY | 0x400));
        let name = FileName::parse(&bytes[1..]).unwrap();
        assert_eq!((name.parent().record(), name.parent().sequence()), (77, 5));
        let mut buf = [0; MAX_NAME];
        assert_eq!(String::from_utf16(name.name(&mut buf)).unwrap(), "Grüße😀");
        assert_eq!(name.units().len(), 7);
        assert_eq!(name.namespace(), Namespace::Win32);
        assert_eq!(name.times(), [1, 2, 3, 4]);
        assert_eq!((name.allocated_size(), name.data_size()), (8192, 5000));
        assert!(name.is_directory());
        assert_eq!((name.reparse_tag(), name.ea_size()), (Some(0xa000_000c), 0));
        let plain = file_name(5, "a", 3, 0x20);
        let plain = FileName::parse(&plain).unwrap();
        assert_eq!((plain.reparse_tag(), plain.ea_size()), (None, 0x000c));
    }

    #[test]
    fn a_name_beyond_its_value_is_refused() {
        let bytes = file_name(5, "long name", 1, 0);
        (0..bytes.len()).for_each(|len| assert!(FileName::parse(&bytes[..len]).is_err(), "{len}"));
        assert!(FileName::parse(&file_name(5, "a", 4, 0)).is_err());
    }
}
