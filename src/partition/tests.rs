use std::sync::Arc;

use super::{Scheme, Table, scan};
use crate::{
    bytes::{ByteSource, MemorySource, testing::Faulty},
    guid::Guid,
    identity::DiskId,
};

const MIB: u64 = 1 << 20;
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// One entry of a GPT: type, first and last sector.
type NamedRange<'a> = (&'a str, u64, u64);

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A disk with a GPT, written according to the specification; entries 1, 2, …
struct GptDisk {
    bytes: Vec<u8>,
    sector: usize,
    entry_len: usize,
    entry_count: usize,
}

impl GptDisk {
    fn new(
        sector: usize,
        sectors: usize,
        entry_len: usize,
        entry_count: usize,
        entries: &[NamedRange<'_>],
    ) -> Self {
        let mut disk = Self { bytes: vec![0; sector * sectors], sector, entry_len, entry_count };
        disk.bytes[446..462].copy_from_slice(&mbr_entry(0, 0xee, 1, u32::try_from(sectors - 1).unwrap()));
        disk.bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let array = disk.array(entries);
        let last = sectors - 1;
        let backup_array = last - disk.array_sectors();
        for (lba, other, array_lba) in [(1, last, 2), (last, 1, backup_array)] {
            disk.bytes[array_lba * sector..][..array.len()].copy_from_slice(&array);
            let (first_usable, last_usable) = (2 + disk.array_sectors(), backup_array - 1);
            let mut header = [0; 92];
            header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
            for (at, value) in [
                (24, lba),
                (32, other),
                (40, first_usable),
                (48, last_usable),
                (72, array_lba),
                (80, entry_count),
            ] {
                header[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
            }
            header[56..72].copy_from_slice(&Guid::parse("11111111-2222-3333-4444-555555555555").unwrap().0);
            header[84..88].copy_from_slice(&u32::try_from(entry_len).unwrap().to_le_bytes());
            header[88..92].copy_from_slice(&crc32(&array).to_le_bytes());
            disk.put_header(lba, &header);
        }
        disk
    }

    fn array_sectors(&self) -> usize {
        (self.entry_len * self.entry_count).div_ceil(self.sector)
    }

    fn array(&self, entries: &[NamedRange<'_>]) -> Vec<u8> {
        let mut array = vec![0; self.entry_len * self.entry_count];
        for (entry, (kind, first, last)) in array.chunks_mut(self.entry_len).zip(entries) {
            entry[..16].copy_from_slice(&Guid::parse(kind).unwrap().0);
            entry[16..32].copy_from_slice(&[0xab; 16]);
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            entry[55] = 0x80;
            for (at, unit) in "Grüße".encode_utf16().enumerate() {
                entry[56 + 2 * at..][..2].copy_from_slice(&unit.to_le_bytes());
            }
        }
        array
    }

    fn put_header(&mut self, lba: usize, header: &[u8; 92]) {
        let mut header = *header;
        header[16..20].fill(0);
        let crc = crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        self.bytes[lba * self.sector..][..92].copy_from_slice(&header);
    }

    fn last(&self) -> usize {
        self.bytes.len() / self.sector - 1
    }

    /// Changes a field of the header at `lba` and updates its checksum.
    fn patch(&mut self, lba: usize, at: usize, value: &[u8]) {
        let mut header: [u8; 92] = self.bytes[lba * self.sector..][..92].try_into().unwrap();
        header[at..at + value.len()].copy_from_slice(value);
        self.put_header(lba, &header);
    }

    fn flip(&mut self, offset: usize) {
        self.bytes[offset] ^= 0x10;
    }

    fn scan(&self) -> Table {
        scan_bytes(&self.bytes, None)
    }
}

fn plain(entries: &[NamedRange<'_>]) -> GptDisk {
    GptDisk::new(512, 8192, 128, 128, entries)
}

fn scan_bytes(bytes: &[u8], sector_size: Option<u32>) -> Table {
    let disk: Arc<dyn ByteSource> = Arc::new(MemorySource(bytes.to_vec()));
    scan(&disk, sector_size).unwrap()
}

fn mbr_entry(flag: u8, kind: u8, first: u32, sectors: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[0] = flag;
    entry[4] = kind;
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    entry
}

/// Writes a boot record at `lba` of a disk with sectors of 512 bytes.
fn put_record(disk: &mut [u8], lba: usize, entries: &[[u8; 16]]) {
    let sector = &mut disk[lba * 512..][..512];
    sector[446..][..16 * entries.len()].copy_from_slice(entries.concat().as_slice());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
}

/// An MBR with p1 (sectors 100 to 199) and an extended partition at 1000 with logical partitions of 50 sectors.
fn mbr_disk(logical: usize) -> Vec<u8> {
    let mut disk = vec![0; 8192 * 512];
    put_record(&mut disk, 0, &[mbr_entry(0x80, 0x07, 100, 100), mbr_entry(0, 0x0f, 1000, 4000)]);
    disk[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
    for index in 0..logical {
        let next = if index + 1 < logical {
            mbr_entry(0, 5, u32::try_from((index + 1) * 60).unwrap(), 60)
        } else {
            [0; 16]
        };
        put_record(&mut disk, 1000 + index * 60, &[mbr_entry(0, 0x83, 10, 50), next]);
    }
    disk
}

fn numbers(table: &Table) -> Vec<u32> {
    table.partitions.iter().map(|partition| partition.number).collect()
}

/// Number, first sector and number of sectors of each partition.
fn places(table: &Table) -> Vec<(u32, u64, u64)> {
    let sector = u64::from(table.sector_size);
    table.partitions.iter().map(|p| (p.number, p.start / sector, p.size / sector)).collect()
}

fn problems(table: &Table) -> String {
    let partitions = table.partitions.iter().flat_map(|p| &p.problems);
    table.problems.iter().chain(partitions).map(|problem| format!("{problem}\n")).collect()
}

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
fn enlarged_and_truncated_disks_are_told_apart() {
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
fn unreadable_first_sector_leaves_the_table_behind_it() {
    let bytes = GptDisk::new(512, 4096, 128, 128, &[(LINUX, 2048, 3000)]).bytes;
    let faulty = |bytes: &[u8], bad: std::ops::Range<u64>| -> Arc<dyn ByteSource> {
        Arc::new(Faulty::new(Arc::new(MemorySource(bytes.to_vec())), [bad].into()))
    };
    // The first sector alone, then a whole first block with the primary table in it.
    for end in [512, MIB] {
        let table = scan(&faulty(&bytes, 0..end), None).unwrap();
        assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, vec![(1, 2048, 953)]));
        assert!(problems(&table).contains("first sector cannot be read"), "{}", problems(&table));
        assert_eq!(problems(&table).contains("backup"), end == MIB, "{}", problems(&table));
    }
    let table = scan(&faulty(&vec![0; 4096 * 512], 0..512), None).unwrap();
    assert_eq!((table.scheme, places(&table)), (Scheme::None, vec![(1, 0, 4096)]));
    assert!(problems(&table).contains("first sector cannot be read"));
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

/// A boot sector as FAT formatters write it.
fn fat_boot_sector(bytes_per_sector: u16) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..11].copy_from_slice(b"\xeb\x3c\x90mkfs.fat");
    sector[11..13].copy_from_slice(&bytes_per_sector.to_le_bytes());
    sector[13..17].copy_from_slice(&[4, 1, 0, 2]);
    sector[19..22].copy_from_slice(&[0, 0x10, 0xf8]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[test]
fn boot_sector_of_a_filesystem_is_no_partition_table() {
    let mut disk = vec![0; 4096 * 512];
    disk[..512].copy_from_slice(&fat_boot_sector(512));
    let whole = |disk: &[u8]| {
        let table = scan_bytes(disk, None);
        (table.scheme, places(&table), problems(&table).is_empty())
            == (Scheme::None, vec![(1, 0, 4096)], true)
    };
    assert!(whole(&disk));
    // Boot code where a table would be.
    let text = b"Remove disks or other media.\xff\r\nDisk error\xff\r\nPress any key to restart\r\n";
    disk[446..][..64].copy_from_slice(&text[..64]);
    assert!(whole(&disk));
    disk[3..11].copy_from_slice(b"NTFS    ");
    assert!(whole(&disk));
    // Code that looks like one entry by chance, with the rest invalid.
    disk[446..462].copy_from_slice(&mbr_entry(0x80, 0x07, 63, 1000));
    assert!(whole(&disk));
    // A boot loader that kept the parameter block of an earlier filesystem, before a whole table.
    put_record(&mut disk, 0, &[mbr_entry(0x80, 0x07, 63, 1000), [0; 16], [0; 16], [0; 16]]);
    assert_eq!(scan_bytes(&disk, None).scheme, Scheme::Mbr);
    // A boot sector of no known filesystem with code throughout.
    disk[..510].fill(0x90);
    assert!(whole(&disk));
}

#[test]
fn initialized_disk_without_partitions_has_an_empty_table() {
    let mut disk = vec![0; usize::try_from(2 * MIB).unwrap()];
    put_record(&mut disk, 0, &[]);
    disk[440..444].copy_from_slice(&[1, 0, 0, 0]);
    let table = scan_bytes(&disk, None);
    assert_eq!((table.scheme, table.partitions.len()), (Scheme::Mbr, 0));
    assert_eq!(table.disk_id, Some(DiskId::Mbr(1)));
    // A boot loader's sector before a filesystem that begins later.
    disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(scan_bytes(&disk, None).scheme, Scheme::None);
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

#[test]
fn tiny_disks_have_no_table() {
    for size in [0, 1, 511, 512, 513, 1024, 1536] {
        let table = scan_bytes(&vec![0; size], None);
        assert_eq!((table.scheme, table.partitions[0].size), (Scheme::None, size as u64));
    }
    let mut sector = vec![0; 512];
    put_record(&mut sector, 0, &[mbr_entry(0, 7, 1, 1)]);
    assert_eq!(problems(&scan_bytes(&sector, None)), "begins beyond the disk's end\n");
}

/// Scans any bytes: the scan ends, and its windows stay on the disk.
fn survives(bytes: &[u8]) {
    for hint in [None, Some(4096)] {
        let disk: Arc<dyn ByteSource> = Arc::new(MemorySource(bytes.to_vec()));
        let table = scan(&disk, hint).unwrap();
        assert!(table.partitions.len() <= 1024 + 4 * 256);
        for partition in &table.partitions {
            let window = partition.window(&disk);
            assert!(window.size() <= disk.size());
            if let Some(last) = window.size().checked_sub(1) {
                window.read_exact_at(last, &mut [0]).unwrap();
            }
        }
        serde_json::to_string(&table).unwrap();
    }
}

#[test]
fn truncated_and_mutated_disks_never_fail() {
    let gpt = GptDisk::new(512, 200, 128, 128, &[(LINUX, 40, 60), (ESP, 61, 90)]).bytes;
    let large = GptDisk::new(4096, 40, 256, 16, &[(LINUX, 10, 20)]).bytes;
    let mbr = mbr_disk(4)[..1300 * 512].to_vec();
    // xorshift64*: seeded, so that a failure repeats.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below as u64).unwrap()
    };
    for image in [gpt, large, mbr] {
        for part in 0..64 {
            survives(&image[..image.len() * part / 64]);
        }
        let interesting: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
        for _ in 0..1500 {
            let mut copy = image.clone();
            for _ in 0..=random(3) {
                let at = (interesting[random(interesting.len())] + random(9)).min(copy.len() - 1);
                copy[at] = [0, 0xff, 1 << random(8), copy[at] ^ 1 << random(8)][random(4)];
            }
            // Valid checksums let the changes through to the later fields.
            if random(2) == 0 {
                mend(&mut copy);
            }
            survives(&copy);
        }
    }
}

/// Updates the checksums of every GPT header and its array.
fn mend(disk: &mut [u8]) {
    for at in (0..disk.len().saturating_sub(512)).step_by(512) {
        let field = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap());
        if !disk[at..].starts_with(b"EFI PART") {
            continue;
        }
        let (lba, array, count) = (field(at + 24), field(at + 72), field(at + 80));
        let sector = (at as u64).checked_div(lba).unwrap_or(512);
        let len = (count & 0xffff_ffff) * (count >> 32);
        let start = array.checked_mul(sector).and_then(|start| usize::try_from(start).ok());
        let bytes = start.and_then(|start| disk.get(start..)?.get(..usize::try_from(len).ok()?));
        if let Some(crc) = bytes.map(crc32) {
            disk[at + 88..at + 92].copy_from_slice(&crc.to_le_bytes());
        }
        disk[at + 16..at + 20].fill(0);
        let size = u32::from_le_bytes(disk[at + 12..at + 16].try_into().unwrap()) as usize;
        let crc = crc32(&disk[at..at + size.clamp(92, 512)]);
        disk[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
    }
}
