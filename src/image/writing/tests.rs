//! A disk with two partitions that is written through its views.

use super::*;
use crate::bytes::ByteSink;

const MIB: u64 = 1 << 20;

/// A master boot record with these partitions, in MiB.
fn table(partitions: &[(u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    for (index, (start, len)) in partitions.iter().enumerate() {
        let entry = &mut sector[446 + 16 * index..][..16];
        entry[4] = 7;
        entry[8..12].copy_from_slice(&(start * 2048).to_le_bytes());
        entry[12..].copy_from_slice(&(len * 2048).to_le_bytes());
    }
    sector[440..444].copy_from_slice(&[1, 2, 3, 4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn disk(folder: &Path) -> WritableImage {
    let path = folder.join("disk.img");
    let mut bytes = vec![0; 16 << 20];
    bytes[..512].copy_from_slice(&table(&[(1, 4), (8, 4)]));
    std::fs::write(&path, bytes).unwrap();
    let files = SessionFiles::in_place(&path).unwrap();
    WritableImage::open(files, &OpenOptions::default(), &SessionOptions::default(), None).unwrap()
}

#[test]
fn only_volumes_that_were_written_are_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let image = disk(folder.path());
    let shown = image.shown();
    let names: Vec<_> = shown.iter().map(|shown| (&*shown.name, shown.range.clone())).collect();
    assert_eq!(names, [("disk", 0..16 * MIB), ("p1", MIB..5 * MIB), ("p2", 8 * MIB..12 * MIB)]);
    let numbers = |image: &WritableImage| -> Vec<_> {
        image.image().opened.volumes.iter().map(|content| content.number).collect()
    };
    image.disk().write_all_at(9 * MIB, &[7; 4096]).unwrap();
    let reopened = image.reopen(&shown[2].range).unwrap();
    assert_eq!((reopened.volumes, reopened.has_other_table), (vec!["p2".to_owned()], false));
    assert_eq!(numbers(&image), [1, 3]);
    assert_eq!(image.reopen(&(0..16 * MIB)).unwrap().volumes, ["p1", "p2"]);
    assert_eq!(numbers(&image), [4, 5]);
    image.close().unwrap();
    image.close().unwrap();
    assert!(image.checkpoint().is_err());
}

#[test]
fn a_new_table_is_noticed_and_left_to_the_next_mount() {
    let folder = tempfile::tempdir().unwrap();
    let image = disk(folder.path());
    image.disk().write_all_at(0, &table(&[(1, 4), (8, 2)])).unwrap();
    assert!(image.reopen(&(0..16 * MIB)).unwrap().has_other_table);
    assert_eq!(image.shown()[2].range, 8 * MIB..12 * MIB);
    image.disk().write_all_at(0, &table(&[(1, 4), (8, 4)])).unwrap();
    assert!(!image.reopen(&(0..16 * MIB)).unwrap().has_other_table);
}
