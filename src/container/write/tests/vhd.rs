//! VHDs and raw images that are written: every kind, what is refused, and where the footer is.

use super::{
    model::{compare, ways},
    *,
};
use crate::bytes::MemorySource;

const KIB: u64 = 1 << 10;

fn vhd(kind: Kind, size: u64, block_size: u64) -> Plan {
    let parent = child(MIB, MIB).parent.filter(|_| kind == Kind::Differencing);
    Plan { kind, block_size, parent, ..Plan::new(Format::Vhd, size, 0) }
}

#[test]
fn vhds_hold_what_was_written() {
    for (way, options) in ways().into_iter().filter(|(_, options)| options.log_limit.is_none()) {
        for kind in [Kind::Dynamic, Kind::Differencing] {
            for (size, block) in
                [(1024, 2 * MIB), (3 * MIB + 512, 64 * KIB), (5 * MIB, 512 * KIB), (9 * MIB, 4 * MIB)]
            {
                compare(
                    &format!("VHD {kind:?} {size} {block} {way}"),
                    &vhd(kind, size, block),
                    &options,
                    300_000,
                );
            }
        }
        compare(&format!("VHD fixed {way}"), &vhd(Kind::Fixed, 2 * MIB + 512, 2 * MIB), &options, 300_000);
        compare(&format!("raw {way}"), &Plan::new(Format::Raw, 2 * MIB + 512, 0), &options, 300_000);
    }
}

fn opened(file: &Arc<MemoryFile>) -> Result<WritableDisk> {
    WritableDisk::open(file.clone(), None, &WriteOptions::default())
}

fn dynamic_with_two_blocks() -> Sparse {
    made(&vhd(Kind::Dynamic, MIB, 64 * KIB), &[(0, vec![1; 512]), (300 << 10, vec![2; 512])])
}

fn bytes_of(file: &dyn ByteSource) -> Vec<u8> {
    read_vec(file, 0, usize::try_from(file.size()).unwrap()).unwrap()
}

/// Where the table is in these small images.
const TABLE: u64 = 512 + 1024;

#[test]
fn damaged_images_are_refused_before_anything_is_written() {
    let sound = dynamic_with_two_blocks();
    let entry = u32::from_be_bytes(read_vec(&sound, TABLE, 4).unwrap().try_into().unwrap());
    let last = u32::try_from(sound.size() / 512).unwrap();
    let damages: Vec<(u64, Vec<u8>, &str)> = vec![
        (TABLE + 8, (entry + 1).to_be_bytes().to_vec(), "overlap"),
        (TABLE + 8, entry.to_be_bytes().to_vec(), "overlap"),
        (TABLE + 8, 0_u32.to_be_bytes().to_vec(), "own structures"),
        (TABLE + 8, 3_u32.to_be_bytes().to_vec(), "own structures"),
        (TABLE + 8, (last - 1).to_be_bytes().to_vec(), "beyond the end"),
        (TABLE + 8, 0x7fff_ffff_u32.to_be_bytes().to_vec(), "beyond the end"),
        // A bit of the header's reserved bytes.
        (512 + 1000, vec![1], "checksum"),
    ];
    for (at, bytes, why) in damages {
        let mut damaged = sound.clone();
        damaged.write(at, &bytes);
        let file = Arc::new(MemoryFile::new(damaged));
        let before = bytes_of(&*file);
        let error = opened(&file).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(bytes_of(&*file) == before, "{why}");
    }
}

#[test]
fn footers_are_mended_by_the_first_write_and_not_by_opening() {
    let sound = dynamic_with_two_blocks();
    let footer = read_vec(&sound, 0, 512).unwrap();
    for end in [false, true] {
        let mut damaged = sound.clone();
        damaged.write(if end { sound.size() - 512 } else { 0 }, &[0; 100]);
        let file = Arc::new(MemoryFile::new(damaged));
        let before = bytes_of(&*file);
        let disk = opened(&file).unwrap();
        assert!(bytes_of(&*file) == before);
        disk.write_all_at(512, &[3; 512]).unwrap();
        disk.close().unwrap();
        assert_eq!(read_vec(&*file, 0, 512).unwrap(), footer);
        assert_eq!(read_vec(&*file, file.size() - 512, 512).unwrap(), footer);
    }
}

#[test]
fn commit_without_a_redo_file_is_refused_and_writing_goes_on() {
    let file = Arc::new(MemoryFile::new(dynamic_with_two_blocks()));
    let disk = opened(&file).unwrap();
    let mut transaction = disk.begin();
    transaction.write(0, &[5; 512]).unwrap();
    let error = transaction.commit().unwrap_err().to_string();
    assert!(error.contains("redo file"), "{error}");
    disk.write_all_at(0, &[6; 512]).unwrap();
    disk.close().unwrap();
}

#[test]
fn discarded_blocks_are_used_again_and_the_end_is_given_back() {
    let file = Arc::new(MemoryFile::new(dynamic_with_two_blocks()));
    let two = file.size();
    let disk = opened(&file).unwrap();
    for round in 1..10_u8 {
        disk.write_all_at(512 << 10, &[round; 128 << 10]).unwrap();
        disk.flush().unwrap();
        disk.discard(512 << 10, 128 << 10).unwrap();
        disk.flush().unwrap();
    }
    disk.close().unwrap();
    assert_eq!(file.size(), two);
    assert!(file.content().stored() < two);
}

#[test]
fn largest_disk_is_written_at_its_end() {
    let size = 2040 << 30;
    let file = Arc::new(MemoryFile::new(made(&vhd(Kind::Dynamic, size, 2 * MIB), &[])));
    let disk = opened(&file).unwrap();
    disk.write_all_at(size - 512, &[9; 512]).unwrap();
    disk.write_all_at(0, &[8; 512]).unwrap();
    disk.close().unwrap();
    let disk = read_only(file.content(), None);
    assert_eq!(read_vec(&*disk, size - 512, 512).unwrap(), [9; 512]);
    assert_eq!(read_vec(&*disk, 0, 512).unwrap(), [8; 512]);
}

#[test]
fn child_of_a_vhd_needs_its_parent_and_keeps_zeros_that_hide_it() {
    let plan = vhd(Kind::Differencing, MIB, 64 * KIB);
    let file = Arc::new(MemoryFile::new(made(&plan, &[])));
    assert!(opened(&file).is_err());
    let parent: Arc<dyn ByteSource> = Arc::new(MemorySource(vec![4; 1 << 20]));
    let disk =
        WritableDisk::open(file.clone(), Some(Below::unverified(parent.clone())), &WriteOptions::default())
            .unwrap();
    disk.discard(64 << 10, 64 << 10).unwrap();
    disk.close().unwrap();
    let disk = read_only(file.content(), Some(&parent));
    assert_eq!(read_vec(&*disk, (64 << 10) - 1, 2).unwrap(), [4, 0]);
    assert_eq!(read_vec(&*disk, (128 << 10) - 1, 2).unwrap(), [0, 4]);
}

#[test]
fn raw_disk_is_not_made_to_look_like_an_image() {
    let file = Arc::new(MemoryFile::new(Sparse::new(MIB)));
    let disk = opened(&file).unwrap();
    let mut sector = vec![0; 512];
    sector[..8].copy_from_slice(b"vhdxfile");
    assert!(disk.write_all_at(0, &sector).is_err());
    disk.write_all_at(512, &sector).unwrap();
    sector[..8].copy_from_slice(b"conectix");
    assert!(disk.write_all_at(MIB - 512, &sector).is_err());
    assert!(disk.write_all_at(0, b"conectix").is_err());
    disk.close().unwrap();
}
