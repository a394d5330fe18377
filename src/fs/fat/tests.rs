//! Volumes written slot by slot and entry by entry, so that each test controls its damage exactly.

mod check;
mod damage;
mod image;
mod reach;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use zerocopy::IntoBytes;

use self::image::{Image, SECTOR, WIDTHS, entry, long_slots};
use super::*;
use crate::{
    bytes::{
        MemorySource, check_range,
        testing::{Counted, Faulty},
    },
    fs::{
        DirCursor, FileSystem, NameBuf, Timestamp,
        probe::{Probe, probe},
    },
};

fn list(fs: &Fat, dir: NodeId) -> (Vec<String>, Result<()>) {
    let mut names = Vec::new();
    let result = fs.read_dir(dir, DirCursor::default(), &mut |entry| {
        names.push(entry.name.to_string());
        ControlFlow::Continue(())
    });
    (names, result)
}

fn find(fs: &Fat, name: &str) -> NodeId {
    fs.lookup(fs.root(), NameBuf::literal(name).as_name()).unwrap().unwrap_or_else(|| panic!("no {name}"))
}

fn read(fs: &Fat, name: &str) -> Result<Vec<u8>> {
    let file = fs.open(find(fs, name))?;
    let mut content = vec![0; usize::try_from(file.size()).unwrap()];
    file.read_exact_at(0, &mut content).map(|()| content)
}

#[test]
fn fragmented_chain_is_read_in_order() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 5, 300, 7]);
        image.entry(0, b"A       BIN", 0x20, 10, 2100);
        [10, 11, 5, 300, 7].iter().zip(1..).for_each(|(cluster, byte)| image.fill(*cluster, byte));
        let fs = image.open();
        let content = read(&fs, "a.bin").unwrap();
        let expected: Vec<u8> = (0..2100_u16).map(|i| (i / 512 + 1).to_le_bytes()[0]).collect();
        assert_eq!(content, expected, "{width:?}");
        let stat = fs.stat(find(&fs, "A.BIN")).unwrap();
        assert_eq!((stat.size, stat.allocated, stat.attributes), (2100, 2560, 0x20));
    }
}

#[test]
fn chain_that_ends_early_gives_its_beginning_and_then_an_error() {
    for (width, stop) in
        [(Width::Fat12, 0xff7), (Width::Fat16, 0), (Width::Fat32, 1), (Width::Fat32, 0x0fff_ffff)]
    {
        let mut image = Image::new(width);
        image.chain(&[10, 11]);
        image.set(11, stop);
        image.entry(0, b"A          ", 0, 10, 1500);
        image.fill(10, 1);
        let fs = image.open();
        assert!(matches!(read(&fs, "A"), Err(Error::Corrupt(_))));
        let mut beginning = [0; 1024];
        fs.open(find(&fs, "A")).unwrap().read_exact_at(0, &mut beginning).unwrap();
        assert_eq!(beginning[..512], [1; 512]);
    }
}

#[test]
fn loop_is_not_read_as_content() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 20]);
        image.set(20, 11);
        image.entry(0, b"A          ", 0, 10, 100 * 512);
        image.entry(1, b"B          ", 0x10, 10, 0);
        for cluster in [10, 11, 20] {
            let at = image.cluster(cluster);
            (0..16).for_each(|i| image.slot(at + i * 32, entry(b"X          ", 0, 0, 0).as_bytes()));
        }
        let fs = image.open();
        let file = fs.open(find(&fs, "A")).unwrap();
        assert!(file.read_exact_at(0, &mut [0; 3 * 512]).is_ok());
        assert!(file.read_exact_at(3 * 512, &mut [0]).is_err());
        let (names, result) = list(&fs, find(&fs, "B"));
        assert_eq!(names.len(), 48);
        assert!(matches!(result, Err(Error::Corrupt(_))));
        assert!(fs.lookup(find(&fs, "B"), NameBuf::literal("Y").as_name()).is_err());
    }
}

#[test]
fn file_with_a_size_but_no_clusters_fails_when_read() {
    let mut image = Image::new(Width::Fat16);
    image.entry(0, b"A          ", 0, 0, 5);
    image.entry(1, b"B          ", 0, 0xfff0, 5);
    image.entry(2, b"EMPTY      ", 0, 0, 0);
    image.entry(3, b"DIR        ", 0x10, 0, 0);
    let fs = image.open();
    assert!(read(&fs, "A").is_err() && read(&fs, "B").is_err());
    assert_eq!(read(&fs, "EMPTY").unwrap(), b"");
    assert!(matches!(list(&fs, find(&fs, "DIR")), (names, Ok(())) if names.is_empty()));
}

#[test]
fn cross_linked_files_share_their_clusters() {
    let mut image = Image::new(Width::Fat12);
    image.chain(&[10, 12]);
    image.chain(&[11, 12]);
    [10, 11, 12].iter().for_each(|cluster| image.fill(*cluster, cluster.to_le_bytes()[0]));
    image.entry(0, b"A          ", 0, 10, 1024);
    image.entry(1, b"B          ", 0, 11, 1024);
    let fs = image.open();
    assert_eq!(read(&fs, "A").unwrap()[..], [[10; 512], [12; 512]].concat());
    assert_eq!(read(&fs, "B").unwrap()[..], [[11; 512], [12; 512]].concat());
}

#[test]
fn second_table_serves_chains_that_the_first_has_lost() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 12]);
        image.set_in(0, 11, 0);
        image.entry(0, b"A          ", 0, 10, 1500);
        [10, 11, 12].iter().for_each(|cluster| image.fill(*cluster, 7));
        let fs = image.open();
        assert_eq!(read(&fs, "A").unwrap(), [7; 1500]);
        assert!(fs.volume().problems.is_empty());

        let fat = image.fat as u64;
        let source = Arc::new(MemorySource(image.bytes.clone()));
        let first_table = fat..fat + image.fat_len as u64;
        let bad_sectors = Faulty::new(source, [first_table].into());
        let fs = open(Arc::new(bad_sectors)).unwrap();
        assert_eq!(read(&fs, "A").unwrap(), [7; 1500]);
        assert_eq!(fs.volume().problems, ["table 1 damaged: table 2 is preferred"]);
        assert_eq!(fs.space().usage().unwrap().free, image.open().space().usage().unwrap().free - 512);
    }
}

#[test]
fn table_that_is_not_kept_current_is_not_used() {
    let mut image = Image::new(Width::Fat32);
    image.bytes[40] = 0x81;
    image.set_in(1, 10, image.end());
    image.set_in(0, 10, 11);
    image.entry(0, b"A          ", 0, 10, 600);
    let fs = image.open();
    assert!(read(&fs, "A").is_err());
}

#[test]
fn bad_sector_in_a_directory_hides_only_itself() {
    let mut image = Image::new(Width::Fat12);
    (0..64).for_each(|i| image.entry(i, b"A          ", 0, 0, 0));
    let bad = image.root as u64 + 512..image.root as u64 + 1024;
    let fs = open(Arc::new(Faulty::new(Arc::new(MemorySource(image.bytes)), vec![bad]))).unwrap();
    let (names, result) = list(&fs, fs.root());
    assert_eq!(names.len(), 16);
    assert!(matches!(result, Err(Error::Io { .. })));
    // The listing continues behind the damage.
    let mut more = 0;
    fs.read_dir(fs.root(), DirCursor(32), &mut |_| {
        more += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(more, 32);
}

#[test]
fn long_name_must_be_whole_and_belong_to_its_short_one() {
    let name = "a long name of 😀 more than 26 units.txt";
    let slots = long_slots(name, b"ALONGN~1TXT");
    let listed = |slots: &[[u8; 32]], short: &[u8; 11]| {
        let mut image = Image::new(Width::Fat12);
        slots.iter().enumerate().for_each(|(i, slot)| image.slot(image.root + i * 32, slot));
        image.entry(slots.len(), short, 0x20, 0, 0);
        list(&image.open(), ROOT).0
    };
    assert_eq!(slots.len(), 4);
    assert_eq!(listed(&slots, b"ALONGN~1TXT"), [name]);
    let fallback = ["ALONGN~1.TXT"];
    assert_eq!(listed(&slots, b"ALONGN~2TXT"), ["ALONGN~2.TXT"], "checksum");
    assert_eq!(listed(&slots[1..], b"ALONGN~1TXT"), fallback, "last piece missing");
    assert_eq!(listed(&slots[..3], b"ALONGN~1TXT"), fallback, "first piece missing");
    assert_eq!(listed(&[slots[0], slots[2], slots[3]], b"ALONGN~1TXT"), fallback, "gap");
    let mut deleted = slots.clone();
    deleted[2][0] = slot::DELETED;
    assert_eq!(listed(&deleted, b"ALONGN~1TXT"), fallback, "deleted piece");
    let orphans = [&slots[..2], &slots[..]].concat();
    assert_eq!(listed(&orphans, b"ALONGN~1TXT"), [name], "orphans before it");
    assert_eq!(listed(&long_slots(&"x".repeat(255), b"X          "), b"X          "), ["x".repeat(255)]);
    assert_eq!(listed(&long_slots(&"x".repeat(256), b"X          "), b"X          "), ["X"]);
    assert_eq!(listed(&long_slots("exactly 13 un", b"X          "), b"X          "), ["exactly 13 un"]);
}

#[test]
fn listing_continues_at_every_cursor() {
    let mut image = Image::new(Width::Fat12);
    let mut at = image.root;
    for i in 0..9_u8 {
        let short = [b'A' + i, b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' '];
        for slot in long_slots(&format!("file number {i} of several"), &short) {
            image.slot(at, &slot);
            at += 32;
        }
        image.slot(at, entry(&short, 0, 0, 0).as_bytes());
        at += 32;
    }
    let fs = image.open();
    let mut cursors = vec![DirCursor::default()];
    fs.read_dir(ROOT, DirCursor::default(), &mut |entry| {
        cursors.push(entry.next);
        ControlFlow::Continue(())
    })
    .unwrap();
    for (i, cursor) in cursors.iter().enumerate() {
        let mut names = Vec::new();
        fs.read_dir(ROOT, *cursor, &mut |entry| {
            names.push(entry.name.to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(names.len(), 9 - i);
        assert!(names.first().is_none_or(|name| *name == format!("file number {i} of several")));
    }
    assert!(fs.read_dir(ROOT, DirCursor(u64::MAX), &mut |_| panic!("nothing is there")).is_ok());
}

#[test]
fn short_names_have_their_case_bits_and_their_code_page() {
    let mut image = Image::new(Width::Fat12);
    let mut nt = entry(b"README  TXT", 0, 0, 0);
    for (i, bits) in [0, 0x08, 0x10, 0x18].into_iter().enumerate() {
        nt.nt_res = bits;
        image.slot(image.root + i * 32, nt.as_bytes());
    }
    image.entry(4, b"\x05\x8e\x9a A   \xe1  ", 0, 0, 0);
    image.entry(5, b"           ", 0, 0, 0);
    let fs = image.open();
    let names = ["README.TXT", "readme.TXT", "README.txt", "readme.txt", "σÄÜ A.ß"];
    assert_eq!(list(&fs, ROOT).0, names);
    let unique: std::collections::HashSet<_> = names[..4].iter().map(|name| find(&fs, name)).collect();
    assert_eq!(unique.len(), 4, "an exact match wins");
    let greek = Options { codepage: CodePage::from_number(1253).unwrap(), ..Options::default() };
    let fs = open_with(Arc::new(MemorySource(image.bytes)), greek).unwrap();
    assert_eq!(list(&fs, ROOT).0[4], "ε\u{8e}\u{9a} A.α");
}

#[test]
fn label_of_the_root_wins_and_is_not_listed() {
    let mut image = Image::new(Width::Fat32);
    assert_eq!(image.open().volume().label, "");
    image.bytes[71..82].copy_from_slice(b"IN BOOT    ");
    assert_eq!(image.open().volume().label, "IN BOOT");
    image.entry(0, b"IN ROOT \x8e  ", attr::VOLUME_ID, 0, 0);
    let fs = image.open();
    assert_eq!(fs.volume().label, "IN ROOT Ä");
    assert_eq!(fs.volume().serial, Some(VolumeSerial::Fat(0x1234_abcd)));
    assert_eq!(list(&fs, ROOT).0, [""; 0]);
}

#[test]
fn dirty_flags_are_seen() {
    for (width, clean) in [(Width::Fat16, 0x8000), (Width::Fat32, 0x0800_0000)] {
        let mut image = Image::new(width);
        assert!(!image.open().volume().dirty);
        image.set(1, image.end() & !clean);
        assert!(image.open().volume().dirty);
        image.set(1, image.end() & !(clean >> 1));
        let info = image.open().volume();
        assert_eq!((info.dirty, info.problems.len()), (false, 1));
    }
    let mut image = Image::new(Width::Fat12);
    image.bytes[37] = 1;
    assert!(image.open().volume().dirty);
}

#[test]
fn copy_of_the_boot_sector_is_used() {
    let mut image = Image::new(Width::Fat32);
    image.chain(&[10]);
    image.fill(10, 3);
    image.entry(0, b"A          ", 0, 10, 9);
    image.bytes[..SECTOR].fill(0xee);
    assert!(!detect(&image.bytes));
    let source = MemorySource(image.bytes.clone());
    assert!(detect_backup(&source));
    let fs = image.open();
    assert_eq!(read(&fs, "A").unwrap(), [3; 9]);
    assert_eq!(fs.volume().problems, ["boot sector damaged: its copy in sector 6 is used"]);
    let probed = |volume: Arc<dyn ByteSource>| probe(&volume, &crate::fs::Options::default());
    assert!(matches!(probed(Arc::new(source)), Ok(Probe::Readable(_))));
    let bad = 0..512;
    let unreadable = Faulty::new(Arc::new(MemorySource(image.bytes.clone())), [bad].into());
    assert!(matches!(probed(Arc::new(unreadable)), Ok(Probe::Readable(_))));
    image.bytes[6 * SECTOR..7 * SECTOR].fill(0);
    let source = Arc::new(MemorySource(image.bytes));
    assert!(open(source.clone()).is_err() && !matches!(probed(source), Ok(Probe::Readable(_))));
}

#[test]
fn other_boot_sectors_are_not_claimed() {
    let fat = Image::new(Width::Fat32).bytes;
    assert!(detect(&fat) && detect(&fat[..512]) && !detect(&fat[..511]));
    for (at, claim) in [
        (3, &b"NTFS    "[..]),
        (3, b"EXFAT   "),
        (3, b"-FVE-FS-"),
        (424, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"),
    ] {
        let mut sector = fat[..512].to_vec();
        sector[at..at + claim.len()].copy_from_slice(claim);
        assert!(!detect(&sector));
    }
    // The parameter block decides, not the signature.
    let mut unsigned = fat[..512].to_vec();
    unsigned[..3].fill(0);
    unsigned[510..].fill(0);
    assert!(detect(&unsigned));
    assert!(!detect(&[0; 512]) && !detect(&[0xff; 512]));
}

#[test]
fn directory_cycles_are_not_entered_and_parents_found() {
    let mut image = Image::new(Width::Fat16);
    image.chain(&[10]);
    image.chain(&[11]);
    image.entry(3, b"OUTER      ", 0x10, 10, 0);
    let outer = image.cluster(10);
    image.slot(outer, entry(b".          ", 0x10, 10, 0).as_bytes());
    image.slot(outer + 32, entry(b"..         ", 0x10, 0, 0).as_bytes());
    image.slot(outer + 64, entry(b"INNER      ", 0x10, 11, 0).as_bytes());
    let inner = image.cluster(11);
    image.slot(inner, entry(b".          ", 0x10, 11, 0).as_bytes());
    image.slot(inner + 32, entry(b"..         ", 0x10, 10, 0).as_bytes());
    image.slot(inner + 64, entry(b"CYCLE      ", 0x10, 10, 0).as_bytes());
    (0..3).for_each(|i| image.entry(i, b"\xe5          ", 0, 0, 0));
    let fs = image.open();
    let at = |dir, name| fs.lookup(dir, NameBuf::literal(name).as_name()).unwrap().unwrap();
    let outer = at(ROOT, "outer");
    let inner = at(outer, "inner");
    assert_eq!(fs.parent(outer).unwrap(), ROOT);
    assert_eq!(fs.parent(inner).unwrap(), outer);
    let (names, listed) = list(&fs, at(inner, "cycle"));
    assert!(names.is_empty() && matches!(listed, Err(Error::Corrupt(_))), "it is entered from the root");
    assert_eq!(fs.parent(ROOT).unwrap(), ROOT);
    assert_eq!(list(&fs, outer).0, ["INNER"], "neither . nor ..");
}

#[test]
fn numbers_that_are_no_nodes_are_not_found() {
    let mut image = Image::new(Width::Fat16);
    image.entry(0, b"A          ", 0, 0, 0);
    let fs = image.open();
    let root = image.root as u64 / 32;
    assert!(fs.stat(NodeId(root)).is_ok());
    for node in [1, root + 1, root - 1, u64::MAX, u64::MAX / 32, 5000 * 512 / 32, 4999 * 512 / 32] {
        assert!(matches!(fs.stat(NodeId(node)), Err(Error::NotFound(_))), "{node}");
        assert!(fs.open(NodeId(node)).is_err() && fs.directory(NodeId(node)).is_err());
    }
}

#[test]
fn volume_cut_short_reads_as_far_as_it_goes() {
    let mut image = Image::new(Width::Fat12);
    image.chain(&[10, 300]);
    image.entry(0, b"A          ", 0, 10, 1024);
    image.fill(10, 4);
    let end = image.cluster(300) + 100;
    image.bytes.truncate(end);
    let fs = image.open();
    assert_eq!(fs.volume().problems.len(), 1);
    let file = fs.open(find(&fs, "A")).unwrap();
    assert!(file.read_exact_at(0, &mut [0; 612]).is_ok());
    assert!(matches!(file.read_exact_at(0, &mut [0; 613]), Err(Error::Corrupt(_))));
}

#[test]
fn times_are_shifted_to_utc() {
    let mut image = Image::new(Width::Fat12);
    let mut entry = entry(b"A          ", 0, 0, 0);
    entry.crt_date = (1 << 5 | 2).into();
    entry.crt_time = (1 << 11).into();
    entry.crt_time_tenth = 101;
    image.slot(image.root, entry.as_bytes());
    let options = Options { utc_offset_minutes: 60, ..Options::default() };
    let fs = open_with(Arc::new(MemorySource(image.bytes.clone())), options).unwrap();
    let times = fs.stat(find(&fs, "A")).unwrap().times;
    assert_eq!(times.created, Timestamp { seconds: 315_532_800 + 86_400 + 1, nanos: 10_000_000 });
    assert_eq!(times.modified.seconds, 315_532_800 - 3600);
    assert_eq!(times.accessed, times.modified);
}

#[test]
fn largest_volume_opens_with_little_reading() {
    struct Huge(Vec<u8>, AtomicUsize);
    impl ByteSource for Huge {
        fn size(&self) -> u64 {
            u64::from(u32::MAX) * 512
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            check_range(self.size(), offset, buf.len())?;
            self.1.fetch_add(buf.len(), Ordering::Relaxed);
            buf.fill(0);
            let boot = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            buf.iter_mut().zip(boot).for_each(|(to, from)| *to = *from);
            Ok(())
        }
    }
    let mut boot = Image::new(Width::Fat32).bytes[..SECTOR].to_vec();
    boot[13] = 16;
    boot[19..21].fill(0);
    boot[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    boot[36..40].copy_from_slice(&2_097_152_u32.to_le_bytes());
    let source = Arc::new(Huge(boot, AtomicUsize::new(0)));
    let fs = open(source.clone()).unwrap();
    assert_eq!(fs.geometry.clusters, 268_173_309);
    assert_eq!(list(&fs, ROOT).0, [""; 0]);
    assert!(source.1.load(Ordering::Relaxed) < 100_000);
}

/// Counts the reads that reach the volume.
struct Counting(MemorySource, AtomicUsize);

impl ByteSource for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn open_file_reads_once_per_contiguous_run() {
    let mut image = Image::new(Width::Fat16);
    image.chain(&(100..2000).chain(3000..4000).collect::<Vec<_>>());
    image.entry(0, b"A          ", 0, 100, 2900 * 512);
    let source = Arc::new(Counting(MemorySource(image.bytes), AtomicUsize::new(0)));
    let fs = open(source.clone()).unwrap();
    let file = fs.open(find(&fs, "A")).unwrap();
    let before = source.1.load(Ordering::Relaxed);
    assert!(before < 10, "{before} reads to open a volume and a file");
    file.read_exact_at(0, &mut vec![0; 2900 * 512]).unwrap();
    assert_eq!(source.1.load(Ordering::Relaxed) - before, 2);
    file.read_exact_at(1000 * 512, &mut [0; 512]).unwrap();
    assert_eq!(source.1.load(Ordering::Relaxed) - before, 3);
}
