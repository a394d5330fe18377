mod gpt;
mod mbr;

use super::{Scheme, Table, scan};
use std::sync::Arc;

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
