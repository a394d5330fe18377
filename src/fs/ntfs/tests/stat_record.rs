//! The cached stat records of plain files agree with their records; all other files are read each time.

use super::*;
use crate::fs::ntfs::nodes::node::Node;

/// `$STANDARD_INFORMATION` with these attribute bits and distinct times.
fn information(attributes: u32) -> Vec<u8> {
    let times = (1..=4_u64).flat_map(|n| (n * 131_072_000_000_000_007).to_le_bytes());
    let value: Vec<u8> = times.chain(attributes.to_le_bytes()).chain([0; 12]).collect();
    resident(code::STANDARD_INFORMATION, "", &value)
}

/// Compares the stat record of every MFT record with the record; returns whether that of the file is kept.
fn is_kept(image: &Image) -> bool {
    let (volume, expecting) = (image.open(), image.open());
    expecting.stats.expect(&(0..30).collect::<Vec<_>>(), 0);
    for record in 0..30 {
        assert_eq!(volume.stats.record(record), expecting.stats.record(record), "{record}");
        let full = volume.full_stat(Node { record, ordinal: 0 });
        match volume.stats.record(record) {
            Some(brief) => assert_eq!(brief.stat(), full.unwrap(), "{record}"),
            None => drop(full),
        }
    }
    assert!(volume.stats.record(ROOT).is_some());
    volume.stats.record(FILE).is_some()
}

#[test]
fn plain_files_are_kept_as_their_records_say() {
    let mut image = Image::new();
    assert!(is_kept(&image));
    for attributes in [0, 0x20, 0x2, 0x10 | 0x8000_0000] {
        image.file(&[information(attributes), data(0..=1, &[0x11, 2, 90, 0], 1500)]);
        assert!(is_kept(&image), "{attributes:#x}");
    }
}

#[test]
fn what_needs_more_than_one_record_is_not_kept() {
    let list = [list_entry(code::FILE_NAME, 0, 1 << 48 | FILE), list_entry(code::DATA, 0, 1 << 48 | FILE)];
    let link = [0x0c, 0, 0, 0xa0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let cases = [
        vec![resident(code::ATTRIBUTE_LIST, "", &list.concat()), resident(code::DATA, "", b"content")],
        vec![resident(code::DATA, "", b""), resident(code::REPARSE_POINT, "", &link)],
        vec![information(0x4), resident(code::DATA, "", b"IntxLNK\x01a\0")],
        vec![resident(code::STANDARD_INFORMATION, "", &[]), vec![0x80, 0, 0, 0, 3, 0, 0, 0]],
    ];
    for case in cases {
        let mut image = Image::new();
        image.file(&case);
        assert!(!is_kept(&image), "{case:x?}");
    }
}

#[test]
fn torn_and_unused_records_are_not_kept() {
    let mut image = Image::new();
    image.put(Image::at(FILE) + 510, &[0xee]);
    assert!(!is_kept(&image));
    assert!(is_corrupt(image.open().stat(NodeId(FILE))));
    image.put(Image::at(FILE), &[0; RECORD]);
    assert!(!is_kept(&image));
    assert!(matches!(image.open().stat(NodeId(FILE)), Err(Error::NotFound(_))));
}

#[test]
fn a_bad_sector_costs_only_its_record() {
    let bad = Image::at(FILE) as u64;
    let bad = bad..bad + RECORD as u64;
    let volume = open(Arc::new(Faulty::new(Arc::new(MemorySource(Image::new().0)), [bad].into()))).unwrap();
    volume.stats.expect(&[ROOT, FILE, 1 << 39], 0);
    assert!(volume.stat(NodeId(ROOT)).is_ok());
    assert!(matches!(volume.stat(NodeId(FILE)), Err(Error::Io { .. })));
}
