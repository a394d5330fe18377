//! Volumes built record by record, for states that no tool creates on demand (a table in pieces, contradictions, cycles).

mod damaged_index;
mod reach;
mod special;
mod stat_record;
mod wof;

use std::{ops::ControlFlow, sync::Arc};

use super::{
    Ntfs,
    attributes::{code, file_name::tests::file_name},
    open,
};
use crate::{
    Error, Result,
    bytes::{
        ByteSource, MemorySource,
        testing::{Counted, Faulty},
    },
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId, Options, StatAhead, Streams,
        probe::{Probe, probe},
    },
};

const CLUSTER: usize = 1024;
const RECORD: usize = 1024;
const SIZE: u32 = 1024;
/// Start of the table's extents, in clusters; four records each after the first.
const EXTENTS: [usize; 3] = [4, 40, 60];
const CLUSTERS: usize = 128;
const ROOT: u64 = 5;
const FILE: u64 = 21;
const DIRECTORY: u32 = 0x1000_0000;

/// An attribute record.
fn attribute(type_code: u32, name: &str, flags: u16, form: &[u8], value: &[u8]) -> Vec<u8> {
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

pub(super) fn resident(type_code: u32, name: &str, value: &[u8]) -> Vec<u8> {
    let mut form = u32::try_from(value.len()).unwrap().to_le_bytes().to_vec();
    form.extend([0; 4]);
    attribute(type_code, name, 0, &form, value)
}

/// VCNs, runs, size, initialized size, flags, compression unit.
struct Extent<'a> {
    vcns: std::ops::RangeInclusive<u64>,
    pairs: &'a [u8],
    size: u64,
    valid: u64,
    flags: u16,
    unit: u8,
}

fn non_resident(type_code: u32, name: &str, extent: &Extent<'_>) -> Vec<u8> {
    let mut form = extent.vcns.start().to_le_bytes().to_vec();
    form.extend(extent.vcns.end().to_le_bytes());
    form.extend([0, 0, extent.unit, 0, 0, 0, 0, 0]);
    let allocated = (extent.vcns.end() + 1) * CLUSTER as u64;
    [allocated, extent.size, extent.valid].iter().for_each(|size| form.extend(size.to_le_bytes()));
    attribute(type_code, name, extent.flags, &form, extent.pairs)
}

pub(super) fn data(vcns: std::ops::RangeInclusive<u64>, pairs: &[u8], size: u64) -> Vec<u8> {
    non_resident(code::DATA, "", &Extent { vcns, pairs, size, valid: size, flags: 0, unit: 0 })
}

fn list_entry(type_code: u32, lowest_vcn: u64, segment: u64) -> Vec<u8> {
    let mut entry = type_code.to_le_bytes().to_vec();
    entry.extend([32, 0, 0, 26]);
    entry.extend(lowest_vcn.to_le_bytes());
    entry.extend(segment.to_le_bytes());
    entry.resize(32, 0);
    entry
}

/// An index root, or an index block from its index header on.
fn index_node(entries: &[Vec<u8>], first: usize, has_children: bool) -> Vec<u8> {
    let entries = entries.concat();
    let len = u32::try_from(first + entries.len()).unwrap().to_le_bytes();
    let mut node = u32::try_from(first).unwrap().to_le_bytes().to_vec();
    node.extend([len, len].concat());
    node.extend([u8::from(has_children), 0, 0, 0]);
    node.resize(first, 0);
    node.extend(entries);
    node
}

fn index_root(entries: &[Vec<u8>], has_children: bool) -> Vec<u8> {
    let mut root = [0x30, 1, SIZE].iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<_>>();
    root.extend([1, 0, 0, 0]);
    root.extend(index_node(entries, 16, has_children));
    resident(code::INDEX_ROOT, "$I30", &root)
}

/// An index entry; without a key the end marker.
fn index_entry(reference: u64, key: &[u8], child: Option<u64>) -> Vec<u8> {
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

fn index_block(vcn: u64, entries: &[Vec<u8>], has_children: bool) -> Vec<u8> {
    let mut block = b"INDX".to_vec();
    block.resize(16, 0);
    block.extend(vcn.to_le_bytes());
    block.extend(index_node(entries, 24, has_children));
    block.resize(CLUSTER, 0);
    protect(&mut block, 0x28);
    block
}

/// Writes the update sequence array.
fn protect(block: &mut [u8], at: usize) {
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

pub(super) struct Image(pub(super) Vec<u8>);

impl Image {
    /// A table in three extents, the second named by a record in the first and the third by one in the second, and a root
    /// directory with the file `file`.
    pub(super) fn new() -> Self {
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
    pub(super) fn table(&mut self, extent: &[u8], size: u64) {
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

    pub(super) fn at(number: u64) -> usize {
        let number = usize::try_from(number).unwrap();
        let cluster = match number {
            0..16 => EXTENTS[0] + number,
            16..20 => EXTENTS[1] + number - 16,
            _ => EXTENTS[2] + number - 20,
        };
        cluster * CLUSTER
    }

    fn record(&mut self, number: u64, flags: u16, base: u64, attributes: &[Vec<u8>]) {
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

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes the root directory.
    fn directory(&mut self, attributes: &[Vec<u8>]) {
        let name = resident(code::FILE_NAME, "", &file_name(ROOT, ".", 3, DIRECTORY));
        let attributes: Vec<_> = [vec![name], attributes.to_vec()].concat();
        self.record(ROOT, 3, 0, &attributes);
    }

    /// Writes the file with an attribute list, its name, and other attributes of its base record.
    fn listed(&mut self, list: &[Vec<u8>], attributes: &[Vec<u8>]) {
        let list = resident(code::ATTRIBUTE_LIST, "", &list.concat());
        let name = resident(code::FILE_NAME, "", &file_name(1 << 48 | ROOT, "file", 1, 0));
        let attributes: Vec<_> = [vec![list, name], attributes.to_vec()].concat();
        self.record(FILE, 1, 0, &attributes);
    }

    /// Writes the file with its name.
    pub(super) fn file(&mut self, attributes: &[Vec<u8>]) {
        let name = resident(code::FILE_NAME, "", &file_name(1 << 48 | ROOT, "file", 1, 0));
        let attributes: Vec<_> = [vec![name], attributes.to_vec()].concat();
        self.record(FILE, 1, 0, &attributes);
    }

    pub(super) fn open(&self) -> Ntfs {
        open(Arc::new(MemorySource(self.0.clone()))).unwrap()
    }
}

fn lookup(volume: &Ntfs, name: &str) -> Result<Option<NodeId>> {
    volume.lookup(volume.root(), NameBuf::literal(name).as_name())
}

fn names(volume: &Ntfs) -> (Vec<String>, Result<()>) {
    let mut names = Vec::new();
    volume.stat_ahead().expect_stats(volume.root(), DirCursor(0));
    let listed = volume.read_dir(volume.root(), DirCursor(0), &mut |entry| {
        names.push(entry.name.to_string());
        ControlFlow::Continue(())
    });
    (names, listed)
}

fn content(volume: &Ntfs) -> Result<Vec<u8>> {
    let source = volume.open(NodeId(FILE))?;
    let mut bytes = vec![0xee; usize::try_from(source.size()).unwrap()];
    source.read_exact_at(0, &mut bytes).map(|()| bytes)
}

fn is_corrupt<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt(_)))
}

#[test]
fn table_in_pieces_is_joined_through_its_attribute_list() {
    let volume = Image::new().open();
    assert_eq!(lookup(&volume, "FILE").unwrap(), Some(NodeId(FILE)));
    assert_eq!(content(&volume).unwrap(), b"content");
    assert_eq!(volume.parent(NodeId(FILE)).unwrap(), volume.root());
    let (names, listed) = names(&volume);
    assert_eq!(names, ["file"]);
    listed.unwrap();
    assert!(matches!(volume.stat(NodeId(15)), Err(Error::NotFound(_))), "an extension record is no file");
    assert!(matches!(volume.stat(NodeId(1 << 39)), Err(Error::NotFound(_))));
}

#[test]
fn unreadable_boot_sector_is_replaced_by_its_backup() {
    let mut image = Image::new().0;
    let last = image.len() - 512;
    image.copy_within(..512, last);
    for bad in [0..512, 0..4096, 512..1024] {
        let volume: Arc<dyn ByteSource> =
            Arc::new(Faulty::new(Arc::new(MemorySource(image.clone())), [bad].into()));
        assert!(matches!(probe(&volume, &Options::default()), Ok(Probe::Readable(_))));
    }
    image[last..].fill(0);
    let bad = 0..512;
    let volume: Arc<dyn ByteSource> = Arc::new(Faulty::new(Arc::new(MemorySource(image)), [bad].into()));
    assert!(matches!(probe(&volume, &Options::default()), Err(Error::Io { .. })));
}

#[test]
fn a_size_that_contradicts_the_backup_is_replaced_by_its_own() {
    const SECTOR: usize = 512;
    let sound = Image::new().0;
    let mut image = sound.clone();
    let backup = CLUSTERS * CLUSTER;
    image.copy_within(..SECTOR, backup);
    image[0x28..0x30].copy_from_slice(&100_u64.to_le_bytes());
    let opened = |image: &[u8]| {
        let volume = open(Arc::new(MemorySource(image.to_vec()))).unwrap();
        let problem = volume.volume().problems.iter().any(|problem| problem.contains("contradicts"));
        (volume.volume().size, problem, content(&volume).is_ok())
    };
    assert_eq!(opened(&image), (backup as u64, true, true));
    // A backup at another place than it states, or of another volume, is not accepted.
    let mut other = image.clone();
    other[backup + 0x48] ^= 1;
    assert_eq!(opened(&other), (50 * CLUSTER as u64, false, false));
    let mut moved = image.clone();
    moved.copy_within(backup..backup + SECTOR, backup + SECTOR);
    moved[backup..backup + SECTOR].fill(0);
    assert_eq!(opened(&moved), (50 * CLUSTER as u64, false, false));
    // A volume that was shrunk has its own backup, and the old one is still there.
    image.copy_within(..SECTOR, 100 * SECTOR);
    assert_eq!(opened(&image), (50 * CLUSTER as u64, false, false));
}

#[test]
fn a_bad_entry_of_an_attribute_list_costs_what_lies_behind_it() {
    let damaged = |bad: usize| {
        let mut list = [
            list_entry(code::FILE_NAME, 0, 1 << 48 | FILE),
            list_entry(code::DATA, 0, 1 << 48 | FILE),
            list_entry(code::DATA, 2, 1 << 48 | 22),
        ];
        list[bad][4] = 0;
        let mut image = Image::new();
        image.listed(&list, &[data(0..=1, &[0x11, 2, 90, 0], 4 * CLUSTER as u64)]);
        image.record(22, 1, 1 << 48 | FILE, &[data(2..=3, &[0x11, 2, 92, 0], 0)]);
        image.put(90 * CLUSTER, &[0x42; 4 * CLUSTER]);
        image.open()
    };
    let volume = damaged(2);
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 4 * CLUSTER as u64);
    let source = volume.open(NodeId(FILE)).unwrap();
    let mut buf = [0; 2 * CLUSTER];
    source.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(buf, [0x42; 2 * CLUSTER]);
    assert!(is_corrupt(source.read_exact_at(1, &mut buf)));
    assert_eq!(source.missing_from(), Some(2 * CLUSTER as u64));
    // Attributes in the base record itself are readable without the list.
    assert_eq!(damaged(1).open(NodeId(FILE)).unwrap().missing_from(), Some(2 * CLUSTER as u64));
    // If all of the content is behind the damage, the file is not an empty one.
    let mut list = [list_entry(code::FILE_NAME, 0, 1 << 48 | FILE), list_entry(code::DATA, 0, 1 << 48 | 22)];
    let mut image = Image::new();
    image.record(22, 1, 1 << 48 | FILE, &[data(0..=1, &[0x11, 2, 92, 0], 2 * CLUSTER as u64)]);
    image.listed(&list, &[]);
    assert_eq!(content(&image.open()).unwrap().len(), 2 * CLUSTER);
    list[1][4] = 0;
    image.listed(&list, &[]);
    let volume = image.open();
    assert!(is_corrupt(volume.stat(NodeId(FILE))) && is_corrupt(volume.open(NodeId(FILE)).map(drop)));
}

#[test]
fn table_with_a_foreign_extent_ends_before_it() {
    for (number, base) in [(16, 1 << 48 | 9), (16, 2 << 48), (15, 1 << 48 | 9)] {
        let mut image = Image::new();
        image.record(number, 1, base, &[data(20..=23, &[0x11, 4, 60, 0], 0)]);
        let volume = image.open();
        assert!(is_corrupt(volume.stat(NodeId(FILE))), "its record is lost, not unused");
        assert!(matches!(volume.stat(NodeId(24)), Err(Error::NotFound(_))));
        assert!(volume.stat(NodeId(ROOT)).is_ok());
        assert!(volume.volume().problems.iter().any(|problem| problem.contains("cut short")));
    }
}

#[test]
fn a_table_whose_place_is_lost_is_found_by_its_mirror_and_that_is_told() {
    let mut image = Image::new();
    image.0.copy_within(4 * CLUSTER..5 * CLUSTER, 2 * CLUSTER);
    image.0[0x30] = 0;
    let volume = image.open();
    assert_eq!(content(&volume).unwrap(), b"content");
    assert!(volume.volume().problems.iter().any(|problem| problem.contains("$MFTMirr")));
}

#[test]
fn what_a_file_lacks_is_an_error_where_it_is_read() {
    let mut image = Image::new();
    // The list names an extent that no record has.
    let list = [
        list_entry(code::FILE_NAME, 0, 1 << 48 | FILE),
        list_entry(code::DATA, 0, 1 << 48 | FILE),
        list_entry(code::DATA, 2, 1 << 48 | 22),
    ];
    image.file(&[
        resident(code::ATTRIBUTE_LIST, "", &list.concat()),
        data(0..=1, &[0x11, 2, 90, 0], 4 * CLUSTER as u64),
    ]);
    image.put(90 * CLUSTER, &[0x42; 2 * CLUSTER]);
    let volume = image.open();
    let source = volume.open(NodeId(FILE)).unwrap();
    let mut buf = [0; 2 * CLUSTER];
    source.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(buf, [0x42; 2 * CLUSTER]);
    assert!(is_corrupt(source.read_exact_at(1, &mut buf)));
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 4 * CLUSTER as u64);

    // Runs beyond the volume.
    image.file(&[data(0..=1, &[0x11, 1, 90, 0x21, 1, 0, 0x10, 0], 2 * CLUSTER as u64)]);
    let source = image.open().open(NodeId(FILE)).unwrap();
    source.read_exact_at(0, &mut buf[..CLUSTER]).unwrap();
    assert!(is_corrupt(source.read_exact_at(CLUSTER as u64, &mut buf[..1])));
}

#[test]
fn bytes_beyond_the_initialized_size_are_zeros() {
    let mut image = Image::new();
    image.put(90 * CLUSTER, &[0x42; CLUSTER]);
    let extent = Extent { vcns: 0..=0, pairs: &[0x11, 1, 90, 0], size: 1000, valid: 3, flags: 0, unit: 0 };
    image.file(&[non_resident(code::DATA, "", &extent)]);
    let mut expected = vec![0; 1000];
    expected[..3].fill(0x42);
    assert_eq!(content(&image.open()).unwrap(), expected);
}

#[test]
fn what_cannot_be_decoded_is_named() {
    let mut image = Image::new();
    let mut with = |flags, unit, more: &[Vec<u8>]| {
        let extent = Extent { vcns: 0..=0, pairs: &[0x11, 1, 90, 0], size: 1000, valid: 1000, flags, unit };
        image.file(&[vec![non_resident(code::DATA, "", &extent)], more.to_vec()].concat());
        let volume = image.open();
        assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 1000);
        content(&volume)
    };
    assert!(matches!(with(0x4000, 0, &[]), Err(Error::Denied(_))));
    assert!(matches!(with(0x0002, 4, &[]), Err(Error::Unsupported(_))));
    for unit in [0, 11, 63, 64, 255] {
        assert!(is_corrupt(with(0x0001, unit, &[])));
    }
    let mut wof = [0x8000_0017_u32.to_le_bytes(), [16, 0, 0, 0]].concat();
    [1_u32, 2, 1, 0].iter().for_each(|field| wof.extend(field.to_le_bytes()));
    // Without the stream.
    assert!(is_corrupt(with(0, 0, &[resident(code::REPARSE_POINT, "", &wof)])));
    // A damaged reparse point: the type of the file is unknown.
    image.file(&[resident(code::REPARSE_POINT, "", &wof[..12])]);
    assert!(content(&image.open()).is_err());
}

#[test]
fn streams_are_nodes_of_their_own() {
    let mut image = Image::new();
    image.file(&[
        resident(code::DATA, "", b"unnamed"),
        resident(code::DATA, "first", b"1"),
        resident(code::DATA, "Second", b"22"),
    ]);
    let volume = image.open();
    let streams = volume.streams().list_streams(NodeId(FILE)).unwrap();
    assert_eq!(
        streams.iter().map(|stream| (stream.name.to_string(), stream.size)).collect::<Vec<_>>(),
        [("first".into(), 1), ("Second".into(), 2)]
    );
    let second =
        volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal("SECOND").as_name()).unwrap().unwrap();
    assert_eq!(second, NodeId(FILE | 2 << super::records::RECORD_BITS));
    assert_eq!((volume.stat(second).unwrap().size, volume.open(second).unwrap().size()), (2, 2));
    assert!(matches!(volume.stat(NodeId(FILE | 3 << super::records::RECORD_BITS)), Err(Error::NotFound(_))));
    assert!(matches!(volume.lookup(second, NameBuf::literal("x").as_name()), Err(Error::Invalid(_))));
    assert_eq!(
        volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal("third").as_name()).unwrap(),
        None
    );
}

/// A root directory whose tree has one block, which names itself as its child.
fn circle(block_vcn: u64) -> Image {
    let mut image = Image::new();
    let key = |name| file_name(1 << 48 | ROOT, name, 1, 0);
    let block = [index_entry(1 << 48 | FILE, &key("file"), Some(0)), index_entry(0, &[], Some(0))];
    image.put(100 * CLUSTER, &index_block(block_vcn, &block, true));
    let extent =
        Extent { vcns: 0..=0, pairs: &[0x11, 1, 100, 0], size: 1024, valid: 1024, flags: 0, unit: 0 };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &extent),
        resident(code::BITMAP, "$I30", &[1, 0, 0, 0, 0, 0, 0, 0]),
    ]);
    image
}

#[test]
fn circles_in_a_directory_end() {
    let volume = circle(0).open();
    let (names, listed) = names(&volume);
    assert_eq!(names, ["file"]);
    listed.unwrap();
    assert_eq!(lookup(&volume, "file").unwrap(), Some(NodeId(FILE)));
    assert_eq!(lookup(&volume, "FILE").unwrap(), Some(NodeId(FILE)));
    assert_eq!(lookup(&volume, "absent").unwrap(), None);
}

#[test]
fn misplaced_index_blocks_are_damage() {
    let volume = circle(8).open();
    let (names, listed) = names(&volume);
    assert!(names.is_empty() && is_corrupt(listed));
    assert!(is_corrupt(lookup(&volume, "absent")));
}

#[test]
fn entries_of_reused_records_are_damage() {
    let mut image = Image::new();
    let key = file_name(1 << 48 | ROOT, "file", 1, 0);
    let entries = [index_entry(2 << 48 | FILE, &key, None), index_entry(0, &[], None)];
    image.directory(&[index_root(&entries, false)]);
    assert!(is_corrupt(lookup(&image.open(), "file")));
}

#[test]
fn endless_holes_cost_no_time() {
    // An index of 2^50 bytes, of which one cluster exists, and a bitmap that is a single hole.
    let mut image = circle(0);
    let size = 1_u64 << 50;
    let pairs = [0x06, 0, 0, 0, 0, 0, 1, 0x11, 1, 100, 0];
    let index = Extent { vcns: 0..=1 << 40, pairs: &pairs, size, valid: size, flags: 0x8000, unit: 0 };
    let bitmap = Extent {
        vcns: 0..=(1 << 40) - 1,
        pairs: &pairs[..7],
        size: size / 8192,
        valid: 0,
        flags: 0,
        unit: 0,
    };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
        non_resident(code::BITMAP, "$I30", &bitmap),
    ]);
    let volume = image.open();
    assert!(names(&volume).0.is_empty());
    assert!(lookup(&volume, "absent").is_err() || lookup(&volume, "absent").unwrap().is_none());
}

/// A volume of 4 TiB: the clusters of an image, followed by zeros.
struct Sparse(Vec<u8>);

impl ByteSource for Sparse {
    fn size(&self) -> u64 {
        4 << 40
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (to, at) in buf.iter_mut().zip(offset..) {
            *to = usize::try_from(at).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0);
        }
        Ok(())
    }
}

#[test]
fn unused_blocks_are_not_visited_one_by_one() {
    // An index of 2^31 blocks, all of them allocated, and a bitmap without any block in use.
    let mut image = Image::new();
    image.0[0x28..0x30].copy_from_slice(&(1_u64 << 33).to_le_bytes());
    let size = 1_u64 << 41;
    let index = Extent {
        vcns: 0..=(1 << 31) - 1,
        pairs: &[0x15, 0, 0, 0, 0x80, 0, 100, 0],
        size,
        valid: size,
        flags: 0,
        unit: 0,
    };
    let bitmap = Extent {
        vcns: 0..=(1 << 18) - 1,
        pairs: &[0x13, 0, 0, 4, 100, 0],
        size: size / 8192,
        valid: 0,
        flags: 0,
        unit: 0,
    };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
        non_resident(code::BITMAP, "$I30", &bitmap),
    ]);
    let counted = Arc::new(Counted::new(Arc::new(Sparse(image.0))));
    let (found, listed) = names(&open(counted.clone()).unwrap());
    listed.unwrap();
    assert!(found.is_empty());
    // The bitmap alone has 256 MiB: it is read once.
    let (operations, bytes) = counted.take();
    assert!(operations < 200_000 && bytes < 600 << 20, "{operations}, {bytes}");
}

#[test]
fn listing_ends_where_block_numbers_outgrow_the_cursor() {
    // A block behind a hole of 2^47 - 1 blocks: its cursor would be that of the root.
    let mut image = Image::new();
    let last = (1_u64 << 47) - 1;
    let key = |name| file_name(1 << 48 | ROOT, name, 1, 0);
    let block = [index_entry(1 << 48 | FILE, &key("file"), None), index_entry(0, &[], None)];
    image.put(100 * CLUSTER, &index_block(last, &block, false));
    let pairs = [0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x11, 1, 100, 0];
    let size = 1_u64 << 57;
    let index = Extent { vcns: 0..=last, pairs: &pairs, size, valid: size, flags: 0x8000, unit: 0 };
    image.directory(&[
        index_root(
            &[index_entry(1 << 48 | FILE, &key("other"), None), index_entry(0, &[], Some(last))],
            true,
        ),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
    ]);
    let volume = image.open();
    let mut cursor = DirCursor::default();
    for _ in 0..10 {
        let mut next = None;
        let listed = volume.read_dir(NodeId(ROOT), cursor, &mut |entry| {
            next = Some(entry.next);
            ControlFlow::Break(())
        });
        let Some(next) = next else {
            assert!(is_corrupt(listed));
            return;
        };
        assert!(next.0 > cursor.0, "{next:?} after {cursor:?}");
        cursor = next;
    }
    panic!("the listing does not end");
}
