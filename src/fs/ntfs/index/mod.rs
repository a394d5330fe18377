//! Indexes: `$INDEX_ROOT` (0x90) holds the root node of a B+tree, `$INDEX_ALLOCATION` (0xA0) its other nodes as "INDX"
//! blocks. Directories are indexes of `$FILE_NAME`; view indexes (`$SII`, `$O`, `$R`) have keys with data.
//!
//! Parsing a node checks its header; the iterator checks each entry, and ends at the first error. The callers walk from node
//! to node, and bound that walk.

pub(super) mod view;

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::{
    Error, Place, Result,
    fs::ntfs::attributes::{file_name::FileName, reference::FileReference},
};

/// The indexed type of directories: `$FILE_NAME`. View indexes have 0.
pub const INDEXED_FILE_NAME: u32 = 0x30;

/// Flag: the node has children: entries have child VCNs, and `$INDEX_ALLOCATION` exists.
const HAS_CHILDREN: u8 = 1;
const ENTRY_HAS_CHILD: u16 = 1;
const ENTRY_LAST: u16 = 2;
/// Length of an entry without a key: the end marker.
const ENTRY_HEADER: usize = size_of::<EntryHeader>();

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RootHeader {
    indexed_type: U32,
    collation_rule: U32,
    index_block_size: U32,
    clusters_per_index_block: u8,
    reserved: [u8; 3],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BlockHeader {
    magic: [u8; 4],
    usa_ofs: U16,
    usa_count: U16,
    lsn: U64,
    index_block_vcn: U64,
}

/// The header common to both kinds of node; its offsets are relative to its own start.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct IndexHeader {
    entries_offset: U32,
    index_length: U32,
    allocated_size: U32,
    flags: u8,
    reserved: [u8; 3],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHeader {
    /// Directories: the file. View indexes: data offset and length (16 bits each), then 32 reserved bits.
    file_reference: U64,
    length: U16,
    key_length: U16,
    flags: U16,
    reserved: U16,
}

/// The entries of a node, checked to be inside it.
#[derive(Clone, Copy)]
struct Node<'a> {
    /// The node from its index header to the end of its last entry.
    bytes: &'a [u8],
    first: usize,
    has_children: bool,
    structure: &'static str,
    place: Option<Place>,
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8], structure: &'static str, place: Option<Place>) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt(structure, place, problem);
        let (header, _) =
            IndexHeader::ref_from_prefix(bytes).map_err(|_| corrupt("too short for its header".into()))?;
        let first = header.entries_offset.get() as usize;
        let end = header.index_length.get() as usize;
        let entries = bytes.get(..end).filter(|_| {
            first >= size_of::<IndexHeader>() && first.checked_add(ENTRY_HEADER).is_some_and(|e| e <= end)
        });
        let Some(entries) = entries else {
            return Err(corrupt(format!("entries at {first:#x}..{end:#x} of {:#x} bytes", bytes.len())));
        };
        Ok(Self { bytes: entries, first, has_children: header.flags & HAS_CHILDREN != 0, structure, place })
    }

    fn entries(self, from: usize) -> Entries<'a> {
        Entries { node: self, at: self.first, from, done: false }
    }
}

/// The value of `$INDEX_ROOT`.
#[derive(Clone, Copy)]
pub struct IndexRoot<'a> {
    header: &'a RootHeader,
    node: Node<'a>,
}

impl<'a> IndexRoot<'a> {
    /// Parses the attribute's whole value.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its entries are not inside it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (header, rest) = RootHeader::ref_from_prefix(bytes)
            .map_err(|_| Error::corrupt("$INDEX_ROOT", None, format!("only {} bytes", bytes.len())))?;
        Ok(Self { header, node: Node::parse(rest, "$INDEX_ROOT", None)? })
    }

    /// The attribute type that is indexed ([`INDEXED_FILE_NAME`]); 0 for a view index.
    pub fn indexed_type(&self) -> u32 {
        self.header.indexed_type.get()
    }

    /// The collation rule of keys: 1 for file names, 0x10 for 32-bit numbers, …
    pub fn collation_rule(&self) -> u32 {
        self.header.collation_rule.get()
    }

    /// Bytes per index block, as stated here: the caller bounds it.
    pub fn index_block_size(&self) -> u32 {
        self.header.index_block_size.get()
    }

    /// True if entries have children in `$INDEX_ALLOCATION`.
    pub fn has_children(&self) -> bool {
        self.node.has_children
    }

    /// All entries, the end marker included.
    pub fn entries(&self) -> Entries<'a> {
        self.entries_from(0)
    }

    /// The entries at or after `offset`, which is 0 or an entry's `offset` or `next`. From a wrong offset the iterator
    /// resumes at the next valid entry.
    pub fn entries_from(&self, offset: usize) -> Entries<'a> {
        self.node.entries(offset)
    }
}

/// An index block, after its fixup.
#[derive(Clone, Copy)]
pub struct IndexBlock<'a> {
    vcn: u64,
    node: Node<'a>,
}

impl<'a> IndexBlock<'a> {
    /// Parses a whole block.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for another structure, or if its entries are not inside it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt("index block", None, problem);
        let (header, rest) = BlockHeader::ref_from_prefix(bytes)
            .map_err(|_| corrupt(format!("only {} bytes", bytes.len())))?;
        if header.magic != *b"INDX" {
            return Err(corrupt(format!("signature {:02x?} instead of \"INDX\"", header.magic)));
        }
        let vcn = header.index_block_vcn.get();
        Ok(Self { vcn, node: Node::parse(rest, "index block", Some(Place::Vcn(vcn)))? })
    }

    /// The VCN that the block states; it must equal the one by which the block was found.
    pub fn vcn(&self) -> u64 {
        self.vcn
    }

    /// True if entries have children.
    pub fn has_children(&self) -> bool {
        self.node.has_children
    }

    /// All entries, the end marker included.
    pub fn entries(&self) -> Entries<'a> {
        self.entries_from(0)
    }

    /// As [`IndexRoot::entries_from`].
    pub fn entries_from(&self, offset: usize) -> Entries<'a> {
        self.node.entries(offset)
    }
}

/// One entry of a node.
#[derive(Clone, Copy)]
pub struct IndexEntry<'a> {
    /// In a directory: the file. Meaningless in the end marker and in view indexes.
    pub file_reference: FileReference,
    /// The key; empty in the end marker.
    pub key: &'a [u8],
    /// VCN of the child node with the keys below this one, in the units of the index (clusters, or 512 bytes where a cluster
    /// is larger than an index block).
    pub child_vcn: Option<u64>,
    /// The end marker: it has no key, but may have a child with all keys above the others.
    pub last: bool,
    /// Offset of the entry in its node: for [`IndexRoot::entries_from`].
    pub offset: usize,
    /// Offset of the next entry.
    pub next: usize,
    bytes: &'a [u8],
}

impl<'a> IndexEntry<'a> {
    /// In a view index: the data of the key.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not inside the entry.
    pub fn data(&self) -> Result<&'a [u8]> {
        let start = usize::from(u16::from_le_bytes([self.bytes[0], self.bytes[1]]));
        let length = usize::from(u16::from_le_bytes([self.bytes[2], self.bytes[3]]));
        let data = self.bytes.get(start..start + length).filter(|_| start >= ENTRY_HEADER || length == 0);
        data.ok_or_else(|| {
            let at = self.offset;
            Error::corrupt(
                "index entry",
                None,
                format!("at {at:#x} of its node: data at {start:#x}, {length} bytes"),
            )
        })
    }

    /// In a directory: the parsed key.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an invalid key.
    pub fn file_name(&self) -> Result<FileName<'a>> {
        FileName::parse(self.key)
    }
}

/// Iterates over the entries of a node in order, the end marker last. Ends after the first damaged one, or with an error if
/// the end marker is missing. Every step advances by at least an entry header, so a node of 64 KiB has at most 4096.
pub struct Entries<'a> {
    node: Node<'a>,
    at: usize,
    from: usize,
    done: bool,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<IndexEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let entry = parse_entry(&self.node, self.at);
            match &entry {
                Ok(entry) => (self.at, self.done) = (entry.next, entry.last),
                Err(_) => self.done = true,
            }
            // Entries before `from` are parsed as well: a wrong offset must not start inside an entry.
            if !matches!(&entry, Ok(entry) if entry.offset < self.from) {
                return Some(entry);
            }
        }
        None
    }
}

fn parse_entry<'a>(node: &Node<'a>, offset: usize) -> Result<IndexEntry<'a>> {
    let corrupt = |problem: String| {
        Error::corrupt(node.structure, node.place, format!("entry at {offset:#x}: {problem}"))
    };
    let rest = node.bytes.get(offset..).unwrap_or_default();
    let (header, _) =
        EntryHeader::ref_from_prefix(rest).map_err(|_| corrupt("no end marker after the entries".into()))?;
    let (length, flags) = (usize::from(header.length.get()), header.flags.get());
    let last = flags & ENTRY_LAST != 0;
    let child = if flags & ENTRY_HAS_CHILD != 0 { size_of::<U64>() } else { 0 };
    let key_length = if last { 0 } else { usize::from(header.key_length.get()) };
    let bytes = rest
        .get(..length)
        .filter(|_| length.is_multiple_of(8) && length >= ENTRY_HEADER + key_length + child)
        .ok_or_else(|| {
            corrupt(format!("entry of {length} bytes, key of {key_length}, in {} bytes", rest.len()))
        })?;
    let (bytes, child) = bytes.split_at(length - child);
    Ok(IndexEntry {
        file_reference: FileReference(header.file_reference.get()),
        key: &bytes[ENTRY_HEADER..ENTRY_HEADER + key_length],
        child_vcn: U64::read_from_bytes(child).ok().map(U64::get),
        last,
        offset,
        next: offset + length,
        bytes,
    })
}

#[cfg(test)]
mod tests;
