//! Partition tables: made by sgdisk, damaged in one place, and compared with its own verification.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use vhdmount::image::check::Verdict;

use super::{examine_file, expect, lines};
use crate::support::{
    boot_record::{put_record, write_at},
    have, run, scratch, tool,
};

const SIZE: u64 = 16 << 20;
const AREA: &str = "partition table";

fn read_at(path: &Path, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut file = File::open(path).expect("the image");
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).expect("it is readable");
    bytes
}

fn empty(folder: &Path) -> PathBuf {
    let path = folder.join("disk.img");
    let _ = fs::remove_file(&path);
    File::create(&path).and_then(|file| file.set_len(SIZE)).expect("space for the image");
    path
}

fn gpt(folder: &Path) -> PathBuf {
    // Made once: sgdisk waits for the device to settle, which a file has no need of.
    let made = folder.join("made.img");
    let path = empty(folder);
    if !made.exists() {
        run(tool("sgdisk").args(["-n", "1:0:+2M", "-n", "2:0:+4M"]).arg(&path));
        fs::rename(&path, &made).unwrap();
    }
    fs::copy(&made, &path).unwrap();
    path
}

/// True when sgdisk finds nothing.
fn sgdisk_is_content(path: &Path) -> bool {
    let output = tool("sgdisk").arg("-v").arg(path).output().expect("sgdisk runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let complains =
        ["Caution", "Warning", "Problem:", "corrupt", "Identified"].iter().any(|word| text.contains(word));
    output.status.success() && text.contains("No problems found") && !complains
}

/// Puts the checksums of both copies right after their entries were changed.
fn seal(path: &Path) {
    for (header, array) in [(512, 1024), (SIZE - 512, SIZE - 33 * 512)] {
        let entries = crc32(&read_at(path, array, 128 * 128));
        write_at(path, header + 88, &entries.to_le_bytes());
        write_at(path, header + 16, &[0; 4]);
        let own = crc32(&read_at(path, header, 92));
        write_at(path, header + 16, &own.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Changes bytes of entry 2 in both arrays.
fn change_second_entry(path: &Path, at: u64, bytes: &[u8]) {
    for array in [1024, SIZE - 33 * 512] {
        write_at(path, array + 128 + at, bytes);
    }
    seal(path);
}

#[test]
fn gpt_copies_are_examined_each() {
    if !have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    let path = gpt(folder.path());
    assert!(sgdisk_is_content(&path));
    expect(&examine_file(&path), AREA, &[]);

    let wrong = "wrong checksum";
    let primary = ("Note GUID partition table", "the backup GUID partition table is used");
    let cases: [(u64, &[(&str, &str)]); 4] = [
        (512 + 60, &[("Warning GUID partition table: primary GPT header", wrong), primary]),
        (1024 + 40, &[("Warning GUID partition table: primary GPT partition array", wrong), primary]),
        (SIZE - 512 + 60, &[("Warning GUID partition table: backup GPT header", wrong)]),
        (SIZE - 33 * 512 + 40, &[("Warning GUID partition table: backup GPT partition array", wrong)]),
    ];
    for (offset, expected) in cases {
        let path = gpt(folder.path());
        write_at(&path, offset, &[0x5a; 4]);
        expect(&examine_file(&path), AREA, expected);
        assert!(!sgdisk_is_content(&path));
    }
    // Both headers: no checksum vouches for what is shown.
    let path = gpt(folder.path());
    write_at(&path, 512 + 60, &[0x5a; 4]);
    write_at(&path, SIZE - 512 + 60, &[0x5a; 4]);
    let examination = examine_file(&path);
    let found = lines(&examination, AREA);
    assert_eq!(examination.verdict, Verdict::Errors);
    assert!(
        found.iter().any(|line| line.contains("no copy of the GUID partition table has the checksum")),
        "{found:?}"
    );
}

#[test]
fn what_a_gpt_says_of_itself_is_compared_with_the_disk() {
    if !have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    // The disk was enlarged.
    let path = gpt(folder.path());
    File::options().write(true).open(&path).and_then(|file| file.set_len(2 * SIZE)).expect("space");
    let found = lines(&examine_file(&path), AREA);
    assert!(
        found[0].starts_with("Warning GUID partition table: the backup") && found[0].contains("enlarged"),
        "{found:?}"
    );
    assert!(found.len() == 2 && found[1].starts_with("Note protective MBR"), "{found:?}");
    assert!(!sgdisk_is_content(&path));

    // No protective MBR.
    let path = gpt(folder.path());
    write_at(&path, 0, &[0; 512]);
    expect(&examine_file(&path), AREA, &[("Warning GUID partition table", "the protective MBR is missing")]);
    assert!(!sgdisk_is_content(&path));

    // A hybrid MBR, made on purpose.
    let path = gpt(folder.path());
    run(tool("sgdisk").args(["-h", "2"]).arg(&path));
    expect(&examine_file(&path), AREA, &[("Note GUID partition table", "hybrid MBR")]);

    // The primary names another place for the backup.
    let path = gpt(folder.path());
    write_at(&path, 512 + 32, &1000_u64.to_le_bytes());
    seal(&path);
    expect(&examine_file(&path), AREA, &[("Warning primary GPT header", "names sector 1000")]);
    assert!(!sgdisk_is_content(&path));

    // The space for partitions begins inside the array.
    let path = gpt(folder.path());
    write_at(&path, 512 + 40, &10_u64.to_le_bytes());
    seal(&path);
    expect(
        &examine_file(&path),
        AREA,
        &[("Warning primary GPT header", "reaches into those for partitions")],
    );
}

#[test]
fn gpt_partitions_are_compared_with_each_other_and_the_disk() {
    if !have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    // Entry 2 begins where entry 1 does.
    let path = gpt(folder.path());
    let start = read_at(&path, 1024 + 32, 8);
    change_second_entry(&path, 32, &start);
    expect(
        &examine_file(&path),
        AREA,
        &[("Error partition 1", "overlaps partition 2"), ("Error partition 2", "overlaps partition 1")],
    );
    assert!(!sgdisk_is_content(&path));

    // It ends behind the disk.
    let path = gpt(folder.path());
    change_second_entry(&path, 40, &(SIZE / 512 + 99).to_le_bytes());
    expect(
        &examine_file(&path),
        AREA,
        &[
            ("Error partition 2: ends", "beyond the disk's end"),
            ("Error partition 2", "array of entries"),
            ("Warning partition 2", "not within the sectors"),
        ],
    );
    assert!(!sgdisk_is_content(&path));

    // It has the first one's identity.
    let path = gpt(folder.path());
    let id = read_at(&path, 1024 + 16, 16);
    change_second_entry(&path, 16, &id);
    expect(&examine_file(&path), AREA, &[("Warning partition 2", "the same identity as partition 1")]);

    // Its type is gone, the rest is there.
    let path = gpt(folder.path());
    change_second_entry(&path, 0, &[0; 16]);
    expect(&examine_file(&path), AREA, &[("Note GUID partition table", "1 unused entries are not empty")]);
}

const LINUX: u8 = 0x83;
const EXTENDED: u8 = 0x05;

#[test]
fn mbr_and_its_chain_are_examined() {
    let folder = scratch();
    let record: &[_] = &[(0x80, LINUX, 2048, 2048), (0, EXTENDED, 8192, 8192)];
    let whole = |first: &[(u8, u8, u32, u32)]| {
        let path = empty(folder.path());
        put_record(&path, 0, first);
        put_record(&path, 8192, &[(0, LINUX, 64, 1000), (0, EXTENDED, 2048, 2048)]);
        put_record(&path, 8192 + 2048, &[(0, LINUX, 64, 1000)]);
        path
    };
    expect(&examine_file(&whole(record)), AREA, &[]);

    let path = whole(&[(0x80, LINUX, 2048, 2048), (0, EXTENDED, 8192, 8192), (0x80, LINUX, 20_000, 10)]);
    expect(
        &examine_file(&path),
        AREA,
        &[("Warning master boot record", "2 partitions are marked as active")],
    );

    let path = whole(&[(0x80, LINUX, 2048, 7000), (0, EXTENDED, 8192, 8192)]);
    expect(
        &examine_file(&path),
        AREA,
        &[
            ("Error partition 1", "overlaps partition 5"),
            ("Error partition 5", "overlaps partition 1"),
            ("Error partition 1", "overlaps the extended partition 2"),
        ],
    );

    let path = whole(&[(0, LINUX, 2048, 200_000), (0, EXTENDED, 8192, 8192)]);
    let found = lines(&examine_file(&path), AREA);
    assert!(found.iter().any(|line| line.starts_with("Error partition 1: ends")), "{found:?}");

    // The chain comes back to its beginning.
    let path = whole(record);
    put_record(&path, 8192 + 2048, &[(0, LINUX, 64, 1000), (0, EXTENDED, 2048, 2048)]);
    expect(&examine_file(&path), AREA, &[("Error master boot record", "a loop")]);

    // The second record is lost.
    let path = whole(record);
    write_at(&path, (8192 + 2048) * 512, &[0; 512]);
    expect(&examine_file(&path), AREA, &[("Error master boot record", "boot record in sector 10240")]);

    // The logical partition leaves the extended one.
    let path = whole(&[(0, LINUX, 2048, 2048), (0, EXTENDED, 8192, 2500)]);
    expect(&examine_file(&path), AREA, &[("Warning partition 6", "not within its extended partition")]);
}
