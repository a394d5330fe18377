//! A volume written record by record.

use std::sync::Arc;

use crate::{
    bytes::MemorySource,
    fs::ntfs::{
        Ntfs,
        attributes::{code, file_name::tests::file_name},
        open,
    },
};

pub(in crate::fs::ntfs) const CLUSTER: usize = 1024;

pub(in crate::fs::ntfs) const RECORD: usize = 1024;

pub(in crate::fs::ntfs) const SIZE: u32 = 1024;

/// Start of the table's extents, in clusters; four records each after the first.
pub(in crate::fs::ntfs) const EXTENTS: [usize; 3] = [4, 40, 60];

pub(in crate::fs::ntfs) const CLUSTERS: usize = 128;

pub(in crate::fs::ntfs) const ROOT: u64 = 5;

pub(in crate::fs::ntfs) const FILE: u64 = 21;

pub(in crate::fs::ntfs) const DIRECTORY: u32 = 0x1000_0000;

/// An attribute record.
pub(in crate::fs::ntfs) fn attribute(
    type_code: u32,
    name: &str,
    flags: u16,
    form: &[u8],
    value: &[u8],
) -> Vec<u8> {
    let header = 16 + form.len();
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let value_at = (header + units.len()).next_multiple_of(8);
    let mut bytes = type_code.to_le_bytes().to_vec();
    bytes.extend(u32::try_from((value_at + value.len()).next_multiple_of(8)).unwrap().to_le_bytes());
    bytes.extend([u8::from(form.len() > 8), u8::try_from(units.len() / 2).unwrap()]);
    bytes.extend(u16::try_from(header).unwrap().to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(form);
    bytes.extend(units);
    bytes.resize(value_at, 0);
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    // Offset of the value or the runs.
    let field = if form.len() > 8 { 32 } else { 20 };
    bytes[field..field + 2].copy_from_slice(&u16::try_from(value_at).unwrap().to_le_bytes());
    bytes
}

pub(in crate::fs::ntfs) fn resident(type_code: u32, name: &str, value: &[u8]) -> Vec<u8> {
    let mut form = u32::try_from(value.len()).unwrap().to_le_bytes().to_vec();
    form.extend([0; 4]);
    attribute(type_code, name, 0, &form, value)
}

/// VCNs, runs, size, initialized size, flags, compression unit.
pub(in crate::fs::ntfs) struct Extent<'a> {
    pub(in crate::fs::ntfs) vcns: std::ops::RangeInclusive<u64>,
    pub(in crate::fs::ntfs) pairs: &'a [u8],
    pub(in crate::fs::ntfs) size: u64,
    pub(in crate::fs::ntfs) valid: u64,
    pub(in crate::fs::ntfs) flags: u16,
    pub(in crate::fs::ntfs) unit: u8,
}

pub(in crate::fs::ntfs) fn non_resident(type_code: u32, name: &str, extent: &Extent<'_>) -> Vec<u8> {
    let mut form = extent.vcns.start().to_le_bytes().to_vec();
    form.extend(extent.vcns.end().to_le_bytes());
    form.extend([0, 0, extent.unit, 0, 0, 0, 0, 0]);
    let allocated = (extent.vcns.end() + 1) * CLUSTER as u64;
    [allocated, extent.size, extent.valid].iter().for_each(|size| form.extend(size.to_le_bytes()));
    attribute(type_code, name, extent.flags, &form, extent.pairs)
}

pub(in crate::fs::ntfs) fn data(vcns: std::ops::RangeInclusive<u64>, pairs: &[u8], size: u64) -> Vec<u8> {
    non_resident(code::DATA, "", &Extent { vcns, pairs, size, valid: size, flags: 0, unit: 0 })
}

pub(in crate::fs::ntfs) fn list_entry(type_code: u32, lowest_vcn: u64, segment: u64) -> Vec<u8> {
    let mut entry = type_code.to_le_bytes().to_vec();
    entry.extend([32, 0, 0, 26]);
    entry.extend(lowest_vcn.to_le_bytes());
    entry.extend(segment.to_le_bytes());
    entry.resize(32, 0);
    entry
}

/// As [`list_entry`], of an attribute with a name.
pub(in crate::fs::ntfs) fn named_list_entry(type_code: u32, name: &str, segment: u64) -> Vec<u8> {
    let mut entry = list_entry(type_code, 0, segment);
    entry.truncate(26);
    entry[6] = u8::try_from(name.encode_utf16().count()).unwrap();
    entry.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    entry.resize(entry.len().next_multiple_of(8), 0);
    entry[4] = u8::try_from(entry.len()).unwrap();
    entry
}

/// An index root, or an index block from its index header on.
pub(in crate::fs::ntfs) fn index_node(entries: &[Vec<u8>], first: usize, has_children: bool) -> Vec<u8> {
    let entries = entries.concat();
    let len = u32::try_from(first + entries.len()).unwrap().to_le_bytes();
    let mut node = u32::try_from(first).unwrap().to_le_bytes().to_vec();
    node.extend([len, len].concat());
    node.extend([u8::from(has_children), 0, 0, 0]);
    node.resize(first, 0);
    node.extend(entries);
    node
}

pub(in crate::fs::ntfs) fn index_root(entries: &[Vec<u8>], has_children: bool) -> Vec<u8> {
    let mut root = [0x30, 1, SIZE].iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<_>>();
    root.extend([1, 0, 0, 0]);
    root.extend(index_node(entries, 16, has_children));
    resident(code::INDEX_ROOT, "$I30", &root)
}

/// An index entry; without a key the end marker.
pub(in crate::fs::ntfs) fn index_entry(reference: u64, key: &[u8], child: Option<u64>) -> Vec<u8> {
    let mut entry = reference.to_le_bytes().to_vec();
    let len = (16 + key.len()).next_multiple_of(8) + child.map_or(0, |_| 8);
    entry.extend(u16::try_from(len).unwrap().to_le_bytes());
    entry.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
    entry.extend([u8::from(child.is_some()) | u8::from(key.is_empty()) << 1, 0, 0, 0]);
    entry.extend(key);
    entry.resize(len - child.map_or(0, |_| 8), 0);
    entry.extend(child.map_or(Vec::new(), |child| child.to_le_bytes().to_vec()));
    entry
}

pub(in crate::fs::ntfs) fn index_block(vcn: u64, entries: &[Vec<u8>], has_children: bool) -> Vec<u8> {
    let mut block = b"INDX".to_vec();
    block.resize(16, 0);
    block.extend(vcn.to_le_bytes());
    block.extend(index_node(entries, 24, has_children));
    block.resize(CLUSTER, 0);
    protect(&mut block, 0x28);
    block
}

/// Writes the update sequence array.
pub(in crate::fs::ntfs) fn protect(block: &mut [u8], at: usize) {
    let count = block.len() / 512 + 1;
    block[4..6].copy_from_slice(&u16::try_from(at).unwrap().to_le_bytes());
    block[6..8].copy_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
    block[at..at + 2].copy_from_slice(&[7, 7]);
    for i in 1..count {
        let tail = i * 512 - 2;
        block.copy_within(tail..tail + 2, at + 2 * i);
        block[tail..tail + 2].copy_from_slice(&[7, 7]);
    }
}

pub(in crate::fs::ntfs) struct Image(pub(in crate::fs::ntfs) Vec<u8>);

impl Image {
    /// A table in three extents, the second named by a record in the first and the third by one in the second, and a root
    /// directory with the file `file`.
    pub(in crate::fs::ntfs) fn new() -> Self {
        let mut image = Self(vec![0; (CLUSTERS + 1) * CLUSTER]);
        let boot = &mut image.0[..512];
        boot[3..11].copy_from_slice(b"NTFS    ");
        boot[0x0b..0x0e].copy_from_slice(&[0, 2, 2]);
        boot[0x28..0x30].copy_from_slice(&(CLUSTERS as u64 * 2).to_le_bytes());
        boot[0x30] = 4;
        boot[0x38] = 2;
        boot[0x40] = 1;
        boot[0x44] = 1;
        let list = [
            list_entry(code::FILE_NAME, 0, 1 << 48),
            list_entry(code::DATA, 0, 1 << 48),
            list_entry(code::DATA, 16, 1 << 48 | 15),
            list_entry(code::DATA, 20, 1 << 48 | 16),
        ];
        let mft = [
            resident(code::ATTRIBUTE_LIST, "", &list.concat()),
            resident(code::FILE_NAME, "", &file_name(ROOT, "$MFT", 3, 0)),
            data(0..=15, &[0x11, 16, 4, 0], 24 * RECORD as u64),
        ];
        image.record(0, 1, 0, &mft);
        image.record(15, 1, 1 << 48, &[data(16..=19, &[0x11, 4, 40, 0], 0)]);
        image.record(16, 1, 1 << 48, &[data(20..=23, &[0x11, 4, 60, 0], 0)]);
        let key = file_name(1 << 48 | ROOT, "file", 1, 0);
        image.directory(&[index_root(
            &[index_entry(1 << 48 | FILE, &key, None), index_entry(0, &[], None)],
            false,
        )]);
        image.file(&[resident(code::DATA, "", b"content")]);
        image
    }

    /// Replaces the last extent of the table; makes the table `size` bytes long.
    pub(in crate::fs::ntfs) fn table(&mut self, extent: &[u8], size: u64) {
        self.record(16, 1, 1 << 48, &[extent.to_vec()]);
        let size = size.to_le_bytes();
        let record = Self::at(0);
        // Both sizes of the first extent; the fixup is not in these bytes.
        let sizes = self.0[record..record + 512]
            .windows(8)
            .position(|field| field == (24 * RECORD as u64).to_le_bytes());
        let sizes = record + sizes.unwrap();
        self.put(sizes, &size);
        self.put(sizes + 8, &size);
    }

    pub(in crate::fs::ntfs) fn at(number: u64) -> usize {
        let number = usize::try_from(number).unwrap();
        let cluster = match number {
            0..16 => EXTENTS[0] + number,
            16..20 => EXTENTS[1] + number - 16,
            _ => EXTENTS[2] + number - 20,
        };
        cluster * CLUSTER
    }

    pub(in crate::fs::ntfs) fn record(&mut self, number: u64, flags: u16, base: u64, attributes: &[Vec<u8>]) {
        let mut record = vec![0; 56];
        record[..4].copy_from_slice(b"FILE");
        record[16] = 1;
        record[18] = 1;
        record[20] = 56;
        record[22..24].copy_from_slice(&flags.to_le_bytes());
        record[32..40].copy_from_slice(&base.to_le_bytes());
        attributes.iter().for_each(|attribute| record.extend(attribute));
        record.extend(code::END.to_le_bytes());
        record.resize(record.len().next_multiple_of(8), 0);
        let used = u32::try_from(record.len()).unwrap();
        record[24..28].copy_from_slice(&used.to_le_bytes());
        record[28..32].copy_from_slice(&SIZE.to_le_bytes());
        assert!(record.len() <= RECORD, "{}", record.len());
        record.resize(RECORD, 0);
        protect(&mut record, 48);
        self.put(Self::at(number), &record);
    }

    pub(in crate::fs::ntfs) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes the root directory.
    pub(in crate::fs::ntfs) fn directory(&mut self, attributes: &[Vec<u8>]) {
        let name = resident(code::FILE_NAME, "", &file_name(ROOT, ".", 3, DIRECTORY));
        let attributes: Vec<_> = [vec![name], attributes.to_vec()].concat();
        self.record(ROOT, 3, 0, &attributes);
    }

    /// Writes the file with an attribute list, its name, and other attributes of its base record.
    pub(in crate::fs::ntfs) fn listed(&mut self, list: &[Vec<u8>], attributes: &[Vec<u8>]) {
        let list = resident(code::ATTRIBUTE_LIST, "", &list.concat());
        let name = resident(code::FILE_NAME, "", &file_name(1 << 48 | ROOT, "file", 1, 0));
        let attributes: Vec<_> = [vec![list, name], attributes.to_vec()].concat();
        self.record(FILE, 1, 0, &attributes);
    }

    /// Writes the file with its name.
    pub(in crate::fs::ntfs) fn file(&mut self, attributes: &[Vec<u8>]) {
        let name = resident(code::FILE_NAME, "", &file_name(1 << 48 | ROOT, "file", 1, 0));
        let attributes: Vec<_> = [vec![name], attributes.to_vec()].concat();
        self.record(FILE, 1, 0, &attributes);
    }

    pub(in crate::fs::ntfs) fn open(&self) -> Ntfs {
        open(Arc::new(MemorySource(self.0.clone()))).unwrap()
    }
}
