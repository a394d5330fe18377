//! Tests of the boot sector, and of `$MFT` in pieces.

use super::*;

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
fn a_table_whose_place_is_lost_is_found_by_its_mirror_and_that_is_reported() {
    let mut image = Image::new();
    image.0.copy_within(4 * CLUSTER..5 * CLUSTER, 2 * CLUSTER);
    image.0[0x30] = 0;
    let volume = image.open();
    assert_eq!(content(&volume).unwrap(), b"content");
    assert!(volume.volume().problems.iter().any(|problem| problem.contains("$MFTMirr")));
}
