//! Tests of GUID partition tables.

use super::*;

#[test]
fn gpt_is_read_with_sectors_of_512_and_4096_bytes() {
    for (sector, sectors) in [(512, 8192), (4096, 1024)] {
        let disk = GptDisk::new(sector, sectors, 128, 128, &[(ESP, 200, 299), (LINUX, 300, 399)]);
        for hint in [None, Some(512), Some(4096), Some(7)] {
            let table = scan_bytes(&disk.bytes, hint);
            assert_eq!((table.scheme, table.sector_size as usize), (Scheme::Gpt, sector));
            let id = Guid::parse("11111111-2222-3333-4444-555555555555").unwrap();
            assert_eq!(table.disk_id, Some(DiskId::Gpt(id)));
            assert_eq!(places(&table), [(1, 200, 100), (2, 300, 100)]);
            let fits = hint.is_none_or(|hint| hint == 7 || hint as usize == sector);
            assert_eq!(problems(&table).is_empty(), fits, "{}", problems(&table));
            let [esp, linux] = &table.partitions[..] else { panic!() };
            assert!(esp.esp && !linux.esp);
            assert_eq!((esp.type_name.as_str(), esp.name.as_str()), ("EFI system partition", "Grüße"));
            assert_eq!(linux.attribute_names(), ["no automatic mount"]);
        }
    }
}

#[test]
fn entries_larger_than_their_fields_are_read() {
    for entry_len in [256, 4096] {
        let disk = GptDisk::new(512, 8192, entry_len, 8, &[(LINUX, 2048, 4095), (LINUX, 4096, 4097)]);
        let table = disk.scan();
        assert_eq!(places(&table), [(1, 2048, 2048), (2, 4096, 2)]);
        assert_eq!(problems(&table), "");
    }
}

#[test]
fn headers_that_would_be_costly_or_impossible_are_refused() {
    for (at, value) in [(84, 64_u32), (84, 192), (84, 8192), (80, 1025), (80, u32::MAX), (12, 91), (12, 513)]
    {
        let mut disk = plain(&[(LINUX, 2048, 4095)]);
        disk.patch(1, at, &value.to_le_bytes());
        let table = disk.scan();
        assert_eq!(places(&table), [(1, 2048, 2048)], "{at} {value}");
        assert!(problems(&table).contains("the backup GUID partition table is used"), "{}", problems(&table));
        let last = disk.last();
        disk.patch(last, at, &value.to_le_bytes());
        assert_eq!(disk.scan().scheme, Scheme::Mbr);
    }
}

#[test]
fn what_is_damaged_in_one_copy_comes_from_the_other() {
    let last = 8191;
    // Primary header, primary array, backup header, backup array.
    let places_hit = [512 + 40, 1024 + 40, last * 512 + 40, (last - 32) * 512 + 40];
    for (index, hit) in places_hit.into_iter().enumerate() {
        let mut disk = plain(&[(LINUX, 2048, 4095)]);
        disk.flip(hit);
        let table = disk.scan();
        assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, vec![(1, 2048, 2048)]));
        assert!(problems(&table).contains("checksum"));
        assert_eq!(problems(&table).contains("the backup GUID partition table is used"), index < 2);
    }
    // A header of one copy and the array of the other.
    for hits in [[0, 3], [1, 2]] {
        let mut disk = plain(&[(LINUX, 2048, 4095)]);
        hits.into_iter().for_each(|hit| disk.flip(places_hit[hit]));
        assert_eq!(places(&disk.scan()), [(1, 2048, 2048)], "{hits:?}");
    }
    for hits in [[0, 2], [1, 3]] {
        let mut disk = plain(&[(LINUX, 2048, 4095)]);
        hits.into_iter().for_each(|hit| disk.flip(places_hit[hit]));
        let table = disk.scan();
        assert_eq!((table.scheme, numbers(&table)), (Scheme::Gpt, vec![1]), "{hits:?}");
        assert!(problems(&table).contains("no copy of the GUID partition table has the checksum"));
        assert!(problems(&table).contains("its place is not certain"));
    }
}

#[test]
fn table_without_a_right_checksum_is_shown_only_if_it_makes_sense_and_is_announced() {
    let broken = |entries: &[NamedRange<'_>]| {
        let mut disk = plain(entries);
        // Only the checksum of the array is wrong, in both headers; the headers' own are updated.
        for lba in [1, disk.last()] {
            disk.patch(lba, 88, &[1, 2, 3, 4]);
        }
        disk
    };
    let disk = broken(&[(LINUX, 2048, 4095), (LINUX, 4096, 5000)]);
    let table = disk.scan();
    assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, vec![(1, 2048, 2048), (2, 4096, 905)]));
    assert_eq!(table.problems.iter().filter(|p| p.severity == crate::check::Severity::Error).count(), 1);
    // Without the protective MBR the content may be anything.
    let mut unannounced = broken(&[(LINUX, 2048, 4095)]);
    unannounced.bytes[..512].fill(0);
    assert_eq!(unannounced.scan().scheme, Scheme::None);
    // Partitions that overlap or end beyond the disk: no table at all.
    for entries in [[(LINUX, 2048, 4095), (LINUX, 4000, 5000)], [(LINUX, 2048, 4095), (LINUX, 5000, 99_000)]]
    {
        let table = broken(&entries).scan();
        assert_eq!((table.scheme, numbers(&table)), (Scheme::Mbr, vec![1]));
        assert_eq!(table.partitions[0].type_name, "GPT protective");
        assert!(problems(&table).contains("no usable GUID partition table"), "{}", problems(&table));
    }
}

#[test]
fn missing_protective_mbr_is_no_obstacle() {
    let mut disk = plain(&[(LINUX, 2048, 4095)]);
    disk.bytes[..512].fill(0);
    let table = disk.scan();
    assert_eq!((table.scheme, numbers(&table)), (Scheme::Gpt, vec![1]));
    assert!(problems(&table).contains("protective MBR is missing"));
    // The whole beginning is zeroed: only the backup is left.
    disk.bytes[..64 * 512].fill(0);
    assert_eq!(disk.scan().scheme, Scheme::Gpt);
    // The beginning holds other data: the backup is a leftover.
    disk.bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(disk.scan().scheme, Scheme::None);
}

#[test]
fn unprotected_gpt_yields_to_what_uses_the_disk() {
    let mut disk = plain(&[(LINUX, 2048, 4095)]);
    disk.bytes[446..462].copy_from_slice(&mbr_entry(0x80, 0x07, 2048, 1000));
    let table = disk.scan();
    assert_eq!((table.scheme, places(&table)), (Scheme::Mbr, vec![(1, 2048, 1000)]));
    assert!(problems(&table).contains("not in use"));
    disk.bytes[446..462].fill(0);
    disk.bytes[..11].copy_from_slice(b"\xeb\x52\x90NTFS    ");
    assert_eq!(disk.scan().scheme, Scheme::None);
}

#[test]
fn hybrid_mbr_is_named_and_the_gpt_is_used() {
    let mut disk = plain(&[(LINUX, 2048, 4095)]);
    disk.bytes[462..478].copy_from_slice(&mbr_entry(0x80, 0x0c, 2048, 100));
    let table = disk.scan();
    assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, vec![(1, 2048, 2048)]));
    assert!(problems(&table).contains("hybrid MBR: its own partitions [2]"));
}

#[test]
fn enlarged_and_truncated_disks_are_distinguished() {
    let mut disk = plain(&[(LINUX, 2048, 4095), (LINUX, 5000, 6000)]);
    disk.bytes.resize(9000 * 512, 0);
    assert!(problems(&disk.scan()).contains("the disk was enlarged"));
    disk.bytes.truncate(3000 * 512);
    let table = disk.scan();
    assert_eq!(table.scheme, Scheme::Gpt);
    let said = problems(&table);
    assert!(said.contains("backup GPT header in sector 8191: lies beyond the disk's end"), "{said}");
    assert!(said.contains("cut off there") && said.contains("begins beyond the disk's end"), "{said}");
    let source: Arc<dyn ByteSource> = Arc::new(MemorySource(disk.bytes));
    assert_eq!(table.partitions[0].window(&source).size(), (3000 - 2048) * 512);
    assert_eq!(table.partitions[1].window(&source).size(), 0);
}

#[test]
fn impossible_places_are_listed_with_their_problem() {
    let disk = plain(&[
        (LINUX, 2048, 4095),
        (LINUX, 4000, 5000),
        (LINUX, 6000, 5999),
        (LINUX, 0, u64::MAX),
        (LINUX, u64::MAX, u64::MAX),
        (LINUX, 7000, 0),
        (LINUX, 1, 10),
    ]);
    let table = disk.scan();
    let said = |number: usize| {
        let texts = table.partitions[number - 1].problems.iter().map(ToString::to_string);
        texts.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(numbers(&table), [1, 2, 3, 4, 5, 6, 7]);
    assert!(
        said(1).contains("overlaps partition 2") || said(1).contains("overlaps partition 4"),
        "{}",
        said(1)
    );
    assert!(said(2).contains("overlaps"), "{}", said(2));
    assert!(said(3).contains("empty") && said(6).contains("ends before it begins"));
    assert!(
        said(4).contains("beyond the disk's end: cut off")
            && said(5).contains("begins beyond the disk's end")
    );
    assert!(said(7).contains("not within the sectors"), "{}", said(7));
}
