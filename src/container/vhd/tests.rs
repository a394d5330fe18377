//! Images made by the writer that the integration tests use too, then damaged here.

use super::{blocks::bit_run, *};
use crate::{
    bytes::{MemorySource, testing::Faulty},
    container::Disk,
};

#[path = "../../../tests/suite/support/vhd_writer.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod vhd_writer;
use vhd_writer::{VhdWriter, noise, seal, utf16le};

const KIB: u64 = 1024;

fn open_bytes(bytes: Vec<u8>) -> Result<Vhd> {
    open(Arc::new(MemorySource(bytes)), "test.vhd")
}

/// Reads a chain; a lone child gets a parent of zeros.
fn read_all(layers: Vec<Vhd>) -> Result<Vec<u8>> {
    let zeros = crate::container::raw::open(Arc::new(MemorySource(vec![0; 512])), "", None);
    let layers = layers.into_iter().map(|layer| Arc::new(layer) as Arc<dyn Layer>);
    let disk = Disk::new(layers.chain([Arc::new(zeros) as Arc<dyn Layer>]).collect());
    read_vec(&disk, 0, usize::try_from(disk.size()).unwrap())
}

/// A dynamic disk of a little more than 1 MiB, with four allocated blocks, out of order in the file.
fn dynamic() -> VhdWriter {
    let mut image = VhdWriter::new(3, 1025 * KIB + 512, 128 << 10);
    image.write(0, &noise(1, 300_000));
    image.write(2049, &noise(2, 1024));
    image.reversed = true;
    image
}

#[test]
fn dynamic_disk_reads_as_written() {
    let image = dynamic();
    let vhd = open_bytes(image.build()).unwrap();
    assert_eq!(vhd.info().problems, Vec::<String>::new());
    assert_eq!(vhd.info().creator, "Microsoft Windows 6.1 on Windows");
    assert_eq!(vhd.info().disk_id.unwrap().to_string(), "11111111-1111-1111-1111-111111111111");
    assert_eq!(vhd.growth(), Growth { block_size: 128 << 10, block_cost: (128 << 10) + 512, group: None });
    assert!(read_all(vec![vhd]).unwrap() == image.content(&[]));
}

#[test]
fn every_block_size_reads_as_written() {
    for shift in 9..24 {
        let mut image = VhdWriter::new(3, 3_000_000 / 512 * 512, 1 << shift);
        image.write(7, &noise(shift, 100_000));
        image.write(5800, &noise(shift, 512));
        let vhd = open_bytes(image.build()).unwrap();
        assert!(read_all(vec![vhd]).unwrap() == image.content(&[]), "block size {}", 1 << shift);
    }
    for block_size in [0, 256, 3 << 20, 512 << 20, 1 << 31] {
        let mut image = VhdWriter::new(3, 1 << 20, 1 << 20).build();
        image[512 + 32..][..4].copy_from_slice(&u32::to_be_bytes(block_size));
        seal(&mut image[512..1536], 36);
        assert!(open_bytes(image).is_err(), "{block_size}");
    }
}

#[test]
fn clear_bit_is_data_in_a_dynamic_disk_and_the_parent_in_a_differencing_one() {
    let mut parent = dynamic();
    parent.blocks[0].as_mut().unwrap().present.fill(false);
    let base = parent.content(&[]);
    assert!(read_all(vec![open_bytes(parent.build()).unwrap()]).unwrap() == base);
    let mut child = VhdWriter::child_of(&parent, "parent.vhd", [0x22; 16]);
    // Runs that begin and end at every bit of a bitmap's byte.
    (0..2000_u64).filter(|n| n * n % 17 < 8).for_each(|n| child.write(n, &noise(n, 512)));
    // Data under a clear bit must not be returned.
    for block in child.blocks.iter_mut().flatten() {
        let absent = block.present.iter().enumerate().filter(|(_, present)| !**present);
        absent.for_each(|(n, _)| block.data[n * 512..][..512].fill(0xee));
    }
    let chain = vec![open_bytes(child.build()).unwrap(), open_bytes(parent.build()).unwrap()];
    assert!(read_all(chain).unwrap() == child.content(&base));
    let mut alone = child.content(&[]);
    assert!(read_all(vec![open_bytes(child.build()).unwrap()]).unwrap() == alone);
    alone.fill(0);
    child.blocks.fill_with(|| None);
    assert!(read_all(vec![open_bytes(child.build()).unwrap()]).unwrap() == alone);
}

#[test]
fn bitmap_longer_than_a_sector_is_followed() {
    // 8 MiB blocks: 16,384 sectors, a bitmap of four sectors.
    let mut child = VhdWriter::new(4, 20 << 20, 8 << 20);
    for n in [0, 4095, 4096, 8191, 12_287, 12_288, 16_383, 16_384, 40_959] {
        child.write(n, &noise(n, 512));
    }
    let vhd = open_bytes(child.build()).unwrap();
    assert_eq!(vhd.resolve(1 << 20).unwrap(), Segment { place: Place::Parent, len: (1 << 20) - 512 });
    assert!(read_all(vec![vhd]).unwrap() == child.content(&[]));
}

#[test]
fn bit_runs_end_where_the_bits_change() {
    let mut bits = [0; 512];
    for range in [3..5, 8..16, 20..41, 4095..4096] {
        range.for_each(|n: usize| bits[n / 8] |= 0x80 >> (n % 8));
    }
    let run = |sector: u64| {
        let (present, len) = bit_run(&bits, sector * 512);
        (present, len / 512)
    };
    assert_eq!([run(0), run(3), run(4), run(5)], [(false, 3), (true, 2), (true, 1), (false, 3)]);
    assert_eq!([run(8), run(15), run(16), run(20)], [(true, 8), (true, 1), (false, 4), (true, 21)]);
    assert_eq!([run(41), run(4094), run(4095)], [(false, 4054), (false, 1), (true, 1)]);
    assert_eq!(bit_run(&bits, 3 * 512 + 100), (true, 924));
}

#[test]
fn absent_blocks_are_joined_and_allocation_ignores_bitmaps() {
    let mut child = VhdWriter::new(4, 1 << 20, 4096);
    child.write(9, &noise(1, 512));
    let vhd = open_bytes(child.build()).unwrap();
    assert_eq!(vhd.resolve(100).unwrap(), Segment { place: Place::Parent, len: 3996 });
    assert_eq!(vhd.resolve(8192).unwrap(), Segment { place: Place::Parent, len: 64 * 4096 });
    let Segment { place: Place::File(at), len: 4096 } = vhd.allocation(4096).unwrap() else { panic!() };
    assert_eq!(vhd.resolve(4096 + 512).unwrap(), Segment { place: Place::File(at + 512), len: 512 });
    assert_eq!(vhd.resolve(4096).unwrap(), Segment { place: Place::Parent, len: 512 });
    assert!(matches!(vhd.resolve(1 << 20), Err(Error::Invalid(_))));
}

#[test]
fn fixed_disk_reads_as_written_with_either_footer_length() {
    for footer_len in [512, 511] {
        let mut image = VhdWriter::new(2, 100 * KIB, 0);
        image.fixed = noise(3, 100 << 10);
        image.footer_len = footer_len;
        let vhd = open_bytes(image.build()).unwrap();
        assert_eq!((vhd.info().kind, vhd.info().problems.len()), (Kind::Fixed, 0));
        assert!(read_all(vec![vhd]).unwrap() == image.fixed);
    }
}

#[test]
fn dynamic_disk_with_a_short_footer_opens() {
    let mut image = dynamic();
    image.footer_len = 511;
    let vhd = open_bytes(image.build()).unwrap();
    assert_eq!(vhd.info().problems, Vec::<String>::new());
    assert!(read_all(vec![vhd]).unwrap() == image.content(&[]));
}

#[test]
fn footer_and_copy_replace_each_other() {
    let image = dynamic();
    let good = image.build();
    let end = good.len() - 512;
    for (damage, word) in
        [(0..8, "copy"), (60..61, "copy"), (end..end + 8, "end"), (end + 100..end + 101, "end")]
    {
        let mut bytes = good.clone();
        bytes[damage].iter_mut().for_each(|byte| *byte ^= 0x55);
        let vhd = open_bytes(bytes).unwrap();
        assert!(vhd.info().problems[0].contains(word), "{:?}", vhd.info().problems);
        assert!(read_all(vec![vhd]).unwrap() == image.content(&[]));
    }
    let mut bytes = good.clone();
    bytes[0] = 0;
    bytes[end] = 0;
    assert!(matches!(open_bytes(bytes), Err(Error::Corrupt(_))));
    // Both checksums are wrong, everything else is valid.
    let mut bytes = good;
    bytes[70] ^= 1;
    bytes[end + 70] ^= 1;
    assert!(!detect(&MemorySource(bytes.clone())));
    assert!(detect_damaged(&MemorySource(bytes.clone())));
    assert!(open_bytes(bytes).unwrap().info().problems[0].contains("checksum"));
}

#[test]
fn file_cut_off_loses_only_what_is_missing() {
    let mut image = dynamic();
    image.reversed = false;
    let mut bytes = image.build();
    bytes.truncate(bytes.len() - 512 - (100 << 10));
    let vhd = open_bytes(bytes).unwrap();
    assert!(vhd.info().problems[0].contains("cut off"));
    let content = image.content(&[]);
    let disk = Disk::new(vec![Arc::new(vhd)]);
    let mut buf = vec![0; 300_000];
    disk.read_exact_at(0, &mut buf).unwrap();
    assert!(buf == content[..300_000]);
    // A fixed disk with a partition table, whose file lacks the second half of the disk.
    let mut image = VhdWriter::new(2, 100 * KIB, 0);
    image.fixed = noise(3, 100 << 10);
    put_table(&mut image.fixed);
    let bytes = image.build();
    let short = [&bytes[..50 << 10], &bytes[100 << 10..]].concat();
    let vhd = open_bytes(short).unwrap();
    assert!(vhd.info().problems[0].contains("last 51200 bytes"));
    let disk = Disk::new(vec![Arc::new(vhd)]);
    disk.read_exact_at(0, &mut buf[..50 << 10]).unwrap();
    assert!(disk.read_exact_at(50 << 10, &mut buf[..1]).is_err());
}

/// A master boot record with one partition in the first sector.
fn put_table(disk: &mut [u8]) {
    disk[446..510].fill(0);
    disk[450] = 7;
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
}

#[test]
fn partition_copied_out_of_a_fixed_disk_is_complete() {
    let mut image = VhdWriter::new(2, 1024 * KIB, 0);
    image.fixed = noise(3, 1 << 20);
    put_table(&mut image.fixed);
    // A boot sector at the start of the partition, 64 KiB into the disk, where Windows Server 2008 put it.
    image.fixed[64 << 10..][..11].copy_from_slice(b"\xeb\x52\x90NTFS    ");
    image.fixed[(64 << 10) + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
    let vhd = open_bytes(image.build()[64 << 10..].to_vec()).unwrap();
    assert_eq!(vhd.virtual_size(), 960 << 10);
    assert!(vhd.info().problems[0].contains("nothing is missing"), "{:?}", vhd.info().problems);
    let disk = Disk::new(vec![Arc::new(vhd)]);
    assert!(read_vec(&disk, 0, 960 << 10).unwrap() == image.fixed[64 << 10..]);
}

#[test]
fn sectors_of_the_parent_are_read_through_a_block_that_is_cut_off() {
    let mut child = VhdWriter::new(4, 1024 * KIB, 128 << 10);
    child.write(0, &noise(1, 512));
    let mut bytes = child.build();
    bytes.truncate(bytes.len() - 512 - (128 << 10) + 512);
    let vhd = open_bytes(bytes).unwrap();
    let content = read_all(vec![vhd]).unwrap();
    assert!(content == child.content(&[]));
}

#[test]
fn bad_table_entry_damages_its_block_alone() {
    for entry in [0, 1, 2, 3, 0x7fff_ffff, 0xffff_fffe] {
        let image = dynamic();
        let mut bytes = image.build();
        bytes[1536 + 4..][..4].copy_from_slice(&u32::to_be_bytes(entry));
        let disk = Disk::new(vec![Arc::new(open_bytes(bytes).unwrap())]);
        let content = image.content(&[]);
        let mut buf = vec![0; 128 << 10];
        for block in 0..8 {
            let at = block * (128 << 10);
            let result = disk.read_exact_at(at as u64, &mut buf);
            assert_eq!(result.is_err(), block == 1, "entry {entry:#x}, block {block}: {result:?}");
            assert!(block == 1 || buf == content[at..][..128 << 10]);
        }
    }
}

#[test]
fn table_too_short_or_outside_the_file_fails_where_it_is_needed() {
    let image = dynamic();
    let mut bytes = image.build();
    bytes[512 + 28..][..4].copy_from_slice(&4_u32.to_be_bytes());
    seal(&mut bytes[512..1536], 36);
    let vhd = open_bytes(bytes).unwrap();
    assert!(vhd.info().problems[0].contains("too short"));
    assert!(vhd.resolve(0).is_ok() && vhd.resolve(512 << 10).is_err());
    let mut bytes = image.build();
    bytes[512 + 16..][..8].copy_from_slice(&u64::MAX.to_be_bytes());
    seal(&mut bytes[512..1536], 36);
    assert!(matches!(open_bytes(bytes).unwrap().resolve(0), Err(Error::Corrupt(_))));
}

#[test]
fn hostile_sizes_are_refused_without_memory() {
    let mut image = VhdWriter::new(3, 1 << 20, 512);
    image.size = 2040 << 30;
    let error = open_bytes(image.build()).unwrap();
    // The table has entries for the first mebibyte only.
    assert!(error.resolve(0).is_ok() && error.resolve(1 << 20).is_err());
    let mut bytes = image.build();
    bytes[512 + 28..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(open_bytes(bytes), Err(Error::Unsupported(_))));
    for size in [u64::MAX, 1 << 62, (64 << 40) + 1] {
        image.size = size;
        image.disk_type = 3;
        assert!(matches!(open_bytes(image.build()), Err(Error::Corrupt(_))));
    }
}

#[test]
fn current_size_counts_unless_an_old_writer_gave_the_geometry_more() {
    let size = |creator: &[u8; 4], geometry, blocks: u64| {
        let mut image = VhdWriter::new(3, blocks << 20, 1 << 20);
        image.size = 1000 * KIB;
        image.creator = *creator;
        image.geometry = geometry;
        open_bytes(image.build()).unwrap().virtual_size()
    };
    assert_eq!(size(b"vpc ", (10, 4, 17), 1), 1000 * KIB);
    assert_eq!(size(b"qemu", (30, 4, 17), 1), 30 * 4 * 17 * 512);
    assert_eq!(size(b"win ", (30, 4, 17), 1), 1000 * KIB);
    assert_eq!(size(b"qemu", (100, 4, 17), 1), 1000 * KIB, "the table has no room for it");
    assert_eq!(size(b"qemu", (65_535, 16, 255), 1), 1000 * KIB);
}

#[test]
fn size_that_is_no_multiple_of_a_sector_is_kept() {
    let mut image = VhdWriter::new(3, 4097, 4096);
    image.write(0, &noise(1, 4096));
    image.write(8, &[7]);
    let content = read_all(vec![open_bytes(image.build()).unwrap()]).unwrap();
    assert_eq!((content.len(), content[4096]), (4097, 7));
}

#[test]
fn locators_are_decoded_whatever_their_encoding() {
    let parent = VhdWriter::new(3, 1 << 20, 1 << 20);
    let mut child = VhdWriter::child_of(&parent, "Größe.vhd", [2; 16]);
    child.locators.push((*b"MacX", b"file://localhost/disks/base.vhd\0".to_vec()));
    child.locators.push((*b"Mac ", vec![0, 0, 0, 1]));
    let vhd = open_bytes(child.build()).unwrap();
    let found = vhd.parent().unwrap();
    assert_eq!(found.relative.as_deref(), Some(".\\Größe.vhd"));
    assert_eq!(found.absolute.as_deref(), Some("C:\\Virtual Disks\\Größe.vhd"));
    assert_eq!(found.url.as_deref(), Some("file://localhost/disks/base.vhd"));
    assert_eq!(found.unicode_name.as_deref(), Some("Größe.vhd"));
    assert_eq!(found.parent_unique_id, open_bytes(parent.build()).unwrap().unique_id());
    assert!(vhd.info().problems[0].contains("Mac"));
    assert_eq!(vhd.info().parent_paths.len(), 4);

    child.locators = vec![
        (*b"W2ru", "..\\b.vhd".encode_utf16().flat_map(u16::to_be_bytes).collect()),
        (*b"Wi2k", b"C:\\b.vhd\0".to_vec()),
    ];
    let vhd = open_bytes(child.build()).unwrap();
    assert_eq!(vhd.parent().unwrap().relative.as_deref(), Some("..\\b.vhd"));
    assert_eq!(vhd.parent().unwrap().absolute.as_deref(), Some("C:\\b.vhd"));

    child.locators = vec![(*b"W2ru", utf16le("a\u{1b}[2Jb")), (*b"W2ku", vec![b'a'; 70_000])];
    let vhd = open_bytes(child.build()).unwrap();
    assert_eq!((vhd.parent().unwrap().relative.as_deref(), vhd.info().problems.len()), (None, 2));
}

#[test]
fn bitmap_beyond_the_file_costs_no_read() {
    let mut child = VhdWriter::new(4, 1 << 20, 128 << 10);
    child.write(0, &noise(1, 512));
    let mut bytes = child.build();
    bytes[1536 + 4..][..28].fill(0x11);
    let file = Arc::new(crate::bytes::testing::Counted::new(Arc::new(MemorySource(bytes))));
    let vhd = open(file.clone(), "child.vhd").unwrap();
    // The table.
    assert!(vhd.resolve(0).is_ok());
    file.take();
    (1..8).for_each(|block| assert!(vhd.resolve(block * (128 << 10)).is_err()));
    assert_eq!(file.take(), (0, 0));
}

#[test]
fn unreadable_bitmap_is_an_error_and_nothing_is_cached_of_it() {
    let mut child = VhdWriter::new(4, 1 << 20, 1 << 20);
    child.write(0, &noise(1, 512));
    let file = Arc::new(MemorySource(child.build()));
    let bad = Arc::new(Faulty::new(file, vec![2048..2049, 2060..2061]));
    let vhd = open(bad, "bad.vhd").unwrap();
    assert!(matches!(vhd.resolve(0), Err(Error::Io { .. })));
    assert!(vhd.allocation(0).is_ok());
}

/// Cut off at 64 places, and 4,000 single bytes changed: every read returns, none panics.
#[test]
fn damage_never_panics() {
    let parent = dynamic();
    let mut child = VhdWriter::child_of(&parent, "p.vhd", [2; 16]);
    child.write(3, &noise(9, 5000));
    let good = child.build();
    let walk = |bytes: Vec<u8>| {
        let Ok(vhd) = open_bytes(bytes) else { return };
        let disk = Disk::new(vec![Arc::new(vhd), Arc::new(open_bytes(parent.build()).unwrap())]);
        let mut buf = [0; 4096];
        for step in 0..40 {
            let at = disk.size() / 40 * step;
            let take = usize::try_from((disk.size() - at).min(4096)).unwrap();
            let _ = disk.read_exact_at(at, &mut buf[..take]);
            let _ = disk.extent_at(at);
        }
    };
    for cut in 0..64 {
        walk(good[..good.len() * cut / 64].to_vec());
    }
    for seed in 1..4000_u64 {
        let random = noise(seed, 16);
        let mut bytes = good.clone();
        // Mostly the structures at the front, where damage has most effect.
        let limit = if seed % 4 == 0 { good.len() } else { 3 << 10 };
        let at = usize::from(u16::from_le_bytes([random[8], random[9]])) * 31 % limit;
        bytes[at] ^= random[10] | 1;
        if (512..1536).contains(&at) && seed % 2 == 0 {
            seal(&mut bytes[512..1536], 36);
        }
        if at < 512 {
            seal(&mut bytes[..512], 64);
            let end = bytes.len() - 512;
            bytes.copy_within(..512, end);
        }
        walk(bytes);
    }
}
