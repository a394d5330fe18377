use super::*;
use crate::fs::ntfs::attributes::file_name::{MAX_NAME, tests::file_name};

fn entry(reference: u64, key: &[u8], child: Option<u64>, flags: u16) -> Vec<u8> {
    let padding = key.len().next_multiple_of(8) - key.len();
    let length = 16 + key.len() + padding + if child.is_some() { 8 } else { 0 };
    let mut bytes = reference.to_le_bytes().to_vec();
    bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
    bytes.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
    bytes.extend((flags | u16::from(child.is_some())).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(key);
    bytes.extend(vec![0; padding]);
    bytes.extend(child.iter().flat_map(|vcn| vcn.to_le_bytes()));
    bytes
}

fn node(first: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let entries = entries.concat();
    let end = first + u32::try_from(entries.len()).unwrap();
    let mut bytes = [first, end, end + 64, 1].map(u32::to_le_bytes).concat();
    bytes.resize(first as usize, 0);
    bytes.extend(entries);
    bytes.extend([0xee; 64]);
    bytes
}

fn directory() -> Vec<u8> {
    let mut root = [INDEXED_FILE_NAME, 1, 4096, 1].map(u32::to_le_bytes).concat();
    root.extend(node(
        16,
        &[
            entry(3 << 48 | 64, &file_name(5, "alpha", 1, 0x20), Some(0), 0),
            entry(65, &file_name(5, "beta and more", 0, 0x20), Some(7), 0),
            entry(0, &[], Some(9), 2),
        ],
    ));
    root
}

fn block() -> Vec<u8> {
    let mut block = b"INDX\x28\0\x09\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
    block.extend(node(0x28, &[entry(64, &file_name(5, "alpha", 1, 0x20), None, 0), entry(0, &[], None, 2)]));
    block
}

#[test]
fn root_of_a_directory() {
    let bytes = directory();
    let root = IndexRoot::parse(&bytes).unwrap();
    assert_eq!((root.indexed_type(), root.collation_rule(), root.index_block_size()), (0x30, 1, 4096));
    assert!(root.has_children());
    let entries: Vec<_> = root.entries().map(Result::unwrap).collect();
    assert_eq!(entries.iter().map(|e| e.child_vcn).collect::<Vec<_>>(), [Some(0), Some(7), Some(9)]);
    assert_eq!(entries.iter().map(|e| e.last).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!((entries[0].file_reference.record(), entries[0].file_reference.sequence()), (64, 3));
    let mut buf = [0; MAX_NAME];
    assert_eq!(String::from_utf16_lossy(entries[1].file_name().unwrap().name(&mut buf)), "beta and more");
    assert!(entries[2].key.is_empty() && entries[2].file_name().is_err());
}

#[test]
fn listing_resumes_at_an_entry_and_never_inside_one() {
    let bytes = directory();
    let root = IndexRoot::parse(&bytes).unwrap();
    let all: Vec<usize> = root.entries().map(|entry| entry.unwrap().offset).collect();
    for from in 0..bytes.len() {
        let rest: Vec<usize> = root.entries_from(from).map(|entry| entry.unwrap().offset).collect();
        assert_eq!(rest, all.iter().copied().filter(|at| *at >= from).collect::<Vec<_>>());
    }
}

#[test]
fn block_states_its_vcn() {
    let bytes = block();
    let block = IndexBlock::parse(&bytes).unwrap();
    assert_eq!(block.vcn(), 5);
    assert_eq!(block.entries().count(), 2);
    assert!(block.entries().all(|entry| entry.unwrap().child_vcn.is_none()));
    let mut other = bytes.clone();
    other[..4].copy_from_slice(b"BAAD");
    assert!(IndexBlock::parse(&other).is_err());
}

#[test]
fn view_entry_has_data() {
    // $SII: key at 16, data at 20.
    let mut view = entry(0, &[1, 1, 0, 0, 9, 9, 9, 9], None, 0);
    view[..4].copy_from_slice(&[20, 0, 4, 0]);
    view[10] = 4;
    let bytes = [vec![0; 16], node(16, &[view, entry(0, &[], None, 2)])].concat();
    let entry = |bytes: &[u8]| {
        let entry = IndexRoot::parse(bytes).unwrap().entries().next().unwrap().unwrap();
        entry.data().map(|data| (entry.key.to_vec(), data.to_vec()))
    };
    assert_eq!(entry(&bytes).unwrap(), (vec![1, 1, 0, 0], vec![9; 4]));
    for (offset, length) in [(20, 5), (24, 1), (0, 4), (255, 4)] {
        let mut bad = bytes.clone();
        (bad[32], bad[34]) = (offset, length);
        assert!(entry(&bad).is_err(), "{offset} {length}");
    }
}

#[test]
fn a_node_without_end_marker_yields_its_entries_then_an_error() {
    let bytes = [vec![0; 16], node(16, &[entry(64, &[0; 8], None, 0)])].concat();
    let entries: Vec<_> = IndexRoot::parse(&bytes).unwrap().entries().collect();
    assert!(matches!(&entries[..], [Ok(_), Err(Error::Corrupt(_))]));
}

#[test]
fn damage_is_an_error_and_bounded() {
    for bytes in [directory(), [vec![0; 16], block()[24..].to_vec()].concat()] {
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 7, 8, 15, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let Ok(root) = IndexRoot::parse(&bad) else { continue };
                let mut offset = 0;
                for entry in root.entries().flatten() {
                    assert!(entry.next > entry.offset && entry.offset >= offset);
                    offset = entry.next;
                    let _ = (entry.data(), entry.file_name());
                }
            }
        }
        (0..bytes.len()).for_each(|len| {
            let _ = IndexRoot::parse(&bytes[..len]).map(|root| root.entries().count());
        });
    }
}
