//! Tests of master boot records and chains of extended ones.

use super::*;

#[test]
fn logical_partitions_are_numbered_from_5() {
    let table = scan_bytes(&mbr_disk(3), None);
    assert_eq!((table.scheme, table.disk_id), (Scheme::Mbr, Some(DiskId::Mbr(0x1234_abcd))));
    assert_eq!(places(&table), [(1, 100, 100), (5, 1010, 50), (6, 1070, 50), (7, 1130, 50)]);
    assert_eq!(table.partitions[0].attribute_names(), ["active"]);
    assert_eq!(table.partitions[1].type_name, "Linux filesystem");
    assert_eq!(problems(&table), "");
}

#[test]
fn second_extended_partition_continues_the_numbers() {
    let mut disk = mbr_disk(2);
    disk[478..494].copy_from_slice(&mbr_entry(0, 5, 6000, 1000));
    put_record(&mut disk, 6000, &[mbr_entry(0, 7, 1, 9)]);
    assert_eq!(numbers(&scan_bytes(&disk, None)), [1, 5, 6, 7]);
}

#[test]
fn one_damaged_extended_boot_record_leaves_the_others() {
    let mut disk = mbr_disk(4);
    let record = 1060 * 512;
    disk[record + 510] = 0;
    let table = scan_bytes(&disk, None);
    assert_eq!(numbers(&table), [1, 5, 6, 7, 8]);
    assert!(problems(&table).contains("plausible"), "{}", problems(&table));
    disk[record..record + 512].fill(0xa7);
    let table = scan_bytes(&disk, None);
    assert_eq!(places(&table), [(1, 100, 100), (5, 1010, 50), (7, 1130, 50), (8, 1190, 50)]);
    assert!(problems(&table).contains("boot record in sector 1060"), "{}", problems(&table));
    // With the first record lost, nothing locates the second.
    for byte in [0xa7, 0] {
        disk[1000 * 512..][..512].fill(byte);
        let table = scan_bytes(&disk, None);
        assert_eq!(numbers(&table), [1]);
        assert!(
            problems(&table).contains("boot record in sector 1000: no boot record"),
            "{}",
            problems(&table)
        );
    }
    // A record without entries is what partitioning tools write for an empty extended partition.
    put_record(&mut disk, 1000, &[[0; 16]; 4]);
    assert_eq!(problems(&scan_bytes(&disk, None)), "");
}

#[test]
fn link_and_partitions_are_taken_from_every_slot_of_an_extended_boot_record() {
    let mut disk = mbr_disk(0);
    let logical = |first| mbr_entry(0, 0x83, first, 50);
    let link = mbr_entry(0, 5, 1000, 500);
    put_record(&mut disk, 1000, &[logical(10), logical(100), link]);
    put_record(&mut disk, 2000, &[[0; 16], logical(10), [0; 16], logical(200)]);
    let found = places(&scan_bytes(&disk, None));
    assert_eq!(found, [(1, 100, 100), (5, 1010, 50), (6, 1100, 50), (7, 2010, 50), (8, 2200, 50)]);
    // Entries in the last two slots beyond the record's share are garbage.
    put_record(&mut disk, 2000, &[logical(10), [0; 16], logical(480), mbr_entry(0x31, 0x83, 20, 9)]);
    assert_eq!(numbers(&scan_bytes(&disk, None)), [1, 5, 6, 7]);
}

#[test]
fn unreadable_extended_boot_record_is_a_problem_not_a_failure() {
    let disk = mbr_disk(3);
    let record = 1060 * 512..1061 * 512;
    let disk: Arc<dyn ByteSource> = Arc::new(Faulty::new(Arc::new(MemorySource(disk)), [record].into()));
    let table = scan(&disk, None).unwrap();
    assert_eq!(numbers(&table), [1, 5, 7]);
}

#[test]
fn chain_of_extended_boot_records_ends_in_a_loop() {
    let mut disk = mbr_disk(3);
    for target in [60, 0x3c, 0, u32::MAX, 7000] {
        put_record(&mut disk, 1120, &[mbr_entry(0, 0x83, 10, 50), mbr_entry(0, 5, target, 60)]);
        let table = scan_bytes(&disk, None);
        assert_eq!(numbers(&table), [1, 5, 6, 7]);
        let back = [60, 0].contains(&target);
        assert_eq!(problems(&table).contains("a loop"), back, "{}", problems(&table));
    }
    // A record that points at itself through one that holds nothing.
    put_record(&mut disk, 1000, &[[0; 16], mbr_entry(0, 5, 60, 60)]);
    put_record(&mut disk, 1060, &[[0; 16], mbr_entry(0, 5, 60, 60)]);
    assert_eq!(numbers(&scan_bytes(&disk, None)), [1]);
}

#[test]
fn number_of_logical_partitions_is_bounded() {
    let mut disk = vec![0; 4000 * 512];
    put_record(&mut disk, 0, &[mbr_entry(0, 5, 1, 3999)]);
    for index in 0..1000 {
        let next = mbr_entry(0, 5, u32::try_from(index + 1).unwrap() * 2, 2);
        put_record(&mut disk, 1 + index * 2, &[mbr_entry(0, 0x83, 1, 1), next]);
    }
    let table = scan_bytes(&disk, None);
    assert_eq!(table.partitions.len(), 256);
    assert!(problems(&table).contains("too many"));
}

#[test]
fn mbr_of_a_disk_with_large_sectors_is_found_by_its_partitions() {
    let mut disk = vec![0; usize::try_from(4 * MIB).unwrap()];
    put_record(&mut disk, 0, &[mbr_entry(0, 0x0c, 256, 512)]);
    assert_eq!(scan_bytes(&disk, None).sector_size, 512);
    assert_eq!(scan_bytes(&disk, Some(4096)).partitions[0].start, MIB);
    disk[usize::try_from(MIB).unwrap()..][..512].copy_from_slice(&fat_boot_sector(4096));
    let table = scan_bytes(&disk, None);
    assert_eq!((table.sector_size, table.partitions[0].start), (4096, MIB));
    // The image may come from a disk with other sectors than its container states.
    let table = scan_bytes(&disk, Some(512));
    assert_eq!((table.sector_size, table.partitions[0].start), (4096, MIB));
    assert!(problems(&table).contains("written for sectors of 4096 bytes"));
}

#[test]
fn sectors_are_found_by_an_extended_boot_record_where_no_volume_states_them() {
    let mut disk = vec![0; usize::try_from(4 * MIB).unwrap()];
    put_record(&mut disk, 0, &[mbr_entry(0, 0x0f, 64, 512)]);
    // Sector 64 of 4096 bytes.
    put_record(&mut disk, 64 * 8, &[mbr_entry(0, 7, 64, 100)]);
    let table = scan_bytes(&disk, None);
    assert_eq!((table.sector_size, table.partitions[0].start), (4096, 128 * 4096));
    assert_eq!(table.partitions[0].number, 5);
}
