//! Volumes written slot by slot and entry by entry, so that each test controls its damage exactly.

mod chains;
mod check;
mod damage;
mod directories;
mod image;
mod reach;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use self::image::{Image, SECTOR, WIDTHS, entry, long_slots};
use super::*;
use zerocopy::IntoBytes;

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
