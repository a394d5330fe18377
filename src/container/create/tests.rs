use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    bytes::{
        ByteSource, ExtentKind, FileSource, MemorySource,
        testing::{MemoryFile, Sparse},
    },
    container::{Layer, NewParent, OpenOptions, open_source},
    guid::Guid,
};

const MIB: u64 = 1 << 20;

fn plans(size: u64) -> Vec<Plan> {
    let mut plans = vec![Plan::new(Format::Raw, size, 0)];
    for kind in [Kind::Fixed, Kind::Dynamic] {
        plans.push(Plan { kind, ..Plan::new(Format::Vhd, size, 0) });
        plans.push(Plan { kind, block_size: 64 << 10, ..Plan::new(Format::Vhd, size, 0) });
        for block_size in [1, 2, 32].map(|mib| mib * MIB) {
            plans.push(Plan { kind, block_size, ..Plan::new(Format::Vhdx, size, 0) });
        }
        if size.is_multiple_of(4096) {
            plans.push(Plan { kind, logical_sector_size: 4096, ..Plan::new(Format::Vhdx, size, 0) });
        }
    }
    plans
}

/// Writes these stretches, of bytes that depend on their place, and opens the image.
fn filled(plan: &Plan, stretches: &[(u64, usize)]) -> Sparse {
    let sink = MemoryFile::default();
    let mut writer = Writer::new(&sink, plan).unwrap();
    for (offset, len) in stretches {
        let bytes: Vec<u8> = (*offset..).take(*len).map(pattern).collect();
        writer.write(*offset, &bytes).unwrap();
    }
    let len = writer.finish().unwrap();
    let written = sink.content();
    assert_eq!(len, written.size());
    written
}

fn pattern(at: u64) -> u8 {
    u8::try_from(at % 251).unwrap() | 1
}

#[test]
fn what_is_written_is_read_and_the_rest_is_zeros() {
    for size in [512, 4096, MIB, 9 * MIB + 512, 70 * MIB] {
        for plan in plans(size) {
            let mut stretches = vec![(0, 512)];
            if size > 9 * MIB {
                // Over the end of a block, and the last sector.
                stretches.extend([(2 * MIB - 1000, 2000), (8 * MIB + 3, 70_000), (size - 512, 512)]);
            }
            let image = open_source(Arc::new(filled(&plan, &stretches)), &OpenOptions::default())
                .unwrap_or_else(|error| panic!("{plan:?}: {error}"));
            let info = image.infos().next().unwrap();
            assert_eq!(info.problems, [""; 0], "{plan:?}");
            assert_eq!((info.format, info.kind, info.virtual_size), (plan.format, plan.kind, size));
            let mut expected = vec![0; usize::try_from(size).unwrap()];
            for (start, len) in stretches {
                let (at, bytes) = (usize::try_from(start).unwrap(), (start..).take(len).map(pattern));
                expected[at..at + len].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            }
            let mut content = vec![0; expected.len()];
            image.disk.read_exact_at(0, &mut content).unwrap();
            let difference = content.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(difference, None, "{plan:?}");
        }
    }
}

#[test]
fn largest_disks_are_written_in_little_space() {
    for (format, size, block_size) in [
        (Format::Vhdx, 64 << 40, 256 * MIB),
        (Format::Vhdx, 64 << 40, 2 * MIB),
        (Format::Vhd, 2040 << 30, 2 * MIB),
    ] {
        let plan = Plan { block_size, ..Plan::new(format, size, 0) };
        let image = filled(&plan, &[(0, 512), (size / 3 / 512 * 512, 512), (size - 512, 512)]);
        let disk = open_source(Arc::new(image), &OpenOptions::default()).unwrap().disk;
        assert_eq!(disk.size(), size);
        for at in [0, size / 3 / 512 * 512, size - 512] {
            let mut sector = [0; 512];
            disk.read_exact_at(at, &mut sector).unwrap();
            assert_eq!(sector[7], pattern(at + 7));
        }
        let extent = disk.extent_at(512 * MIB).unwrap();
        assert_eq!(extent.kind, ExtentKind::Hole);
    }
}

#[test]
fn blocks_come_in_ascending_order() {
    let sink = MemoryFile::default();
    let mut writer = Writer::new(&sink, &Plan::new(Format::Vhdx, 64 * MIB, 0)).unwrap();
    writer.write(40 * MIB, &[1]).unwrap();
    assert!(writer.write(2 * MIB, &[1]).is_err());
    assert!(writer.write(64 * MIB, &[1]).is_err());
    writer.write(41 * MIB, &[1]).unwrap();
}

#[test]
fn what_a_format_cannot_be_is_refused() {
    let refused = |plan: Plan| plan.validate().unwrap_err().to_string();
    let vhd = |size| Plan::new(Format::Vhd, size, 0);
    let vhdx = |size| Plan::new(Format::Vhdx, size, 0);
    assert!(refused(vhd((2040 << 30) + 512)).contains("2.0 TiB"), "{}", refused(vhd((2040 << 30) + 512)));
    assert!(refused(vhdx((64 << 40) + 512)).contains("64.0 TiB"));
    assert!(refused(vhdx(1000)).contains("multiple"));
    assert!(refused(vhdx(0)).contains("0 bytes"));
    assert!(refused(Plan { block_size: 3 * MIB, ..vhdx(MIB) }).contains("power of two"));
    assert!(refused(Plan { block_size: 64 << 10, ..vhdx(MIB) }).contains("1.0 MiB"));
    assert!(refused(Plan { block_size: 64 << 10, ..vhd(2040 << 30) }).contains("larger blocks"));
    assert!(refused(Plan { logical_sector_size: 4096, ..vhd(MIB) }).contains("sectors"));
    assert!(refused(Plan { kind: Kind::Differencing, ..vhdx(MIB) }).contains("parent"));
}

#[test]
fn a_copy_leaves_out_holes_zeros_and_what_is_skipped() {
    let mut content = vec![0; 10 << 20];
    content[3 << 20..4 << 20].fill(7);
    content[(5 << 20) + 4096 * 40..(5 << 20) + 4096 * 41].fill(8);
    content[9 << 20..].fill(9);
    let source = MemorySource(content.clone());
    let sink = MemoryFile::default();
    let plan = Plan { block_size: MIB, ..Plan::new(Format::Vhdx, source.size(), 0) };
    let mut writer = Writer::new(&sink, &plan).unwrap();
    let skip = std::slice::from_ref(&(9 * MIB..10 * MIB));
    let mut progress = |_| ControlFlow::Continue(());
    let copied = Copy { source: &source, skip, progress: &mut progress }.run(&mut writer).unwrap();
    assert_eq!(copied, Copied::Whole { written: MIB + 4096, shared: 0 });
    let len = writer.finish().unwrap();
    // The structures up to 4 MiB, and the two blocks that have something.
    assert_eq!(len, 6 * MIB);
    let disk = open_source(Arc::new(sink.content()), &OpenOptions::default()).unwrap().disk;
    let difference =
        |skip| first_difference(&source, &*disk, skip, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(difference(skip), None);
    assert_eq!(difference(&[]), Some(9 * MIB));
}

/// A file in memory to which the host shares up to so many more stretches of a file.
struct Sharing {
    file: MemoryFile,
    left: AtomicUsize,
}

impl ByteSink for Sharing {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        self.file.reserve(range)
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }

    fn share(&self, offset: u64, from: InFile<'_>) -> bool {
        assert!([offset, from.offset, from.len].iter().all(|at| at.is_multiple_of(4096)));
        let allowed = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, allowed).is_err() {
            return false;
        }
        let mut bytes = vec![0; usize::try_from(from.len).unwrap()];
        from.file.read_exact_at(from.offset, &mut bytes).unwrap();
        self.file.write_all_at(offset, &bytes).unwrap();
        true
    }
}

#[test]
fn what_the_host_does_not_share_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let size = 9 * MIB + 512;
    let content: Vec<u8> = (0..size).map(pattern).collect();
    std::fs::write(&path, &content).unwrap();
    for (left, least) in [(0, 0), (1, MIB), (3, 3 * MIB), (usize::MAX, 9 * MIB)] {
        for plan in [
            Plan { block_size: MIB, ..Plan::new(Format::Vhdx, size, 0) },
            Plan { block_size: MIB, ..Plan::new(Format::Vhd, size, 0) },
            Plan::new(Format::Raw, size, 0),
        ] {
            let source = FileSource::open(&path).unwrap();
            let sink = Sharing { file: MemoryFile::default(), left: AtomicUsize::new(left) };
            let mut writer = Writer::new(&sink, &plan).unwrap();
            let copy = Copy { source: &source, skip: &[], progress: &mut |_| ControlFlow::Continue(()) };
            let Copied::Whole { written, shared } = copy.run(&mut writer).unwrap() else {
                panic!("it was ended")
            };
            assert!(written + shared == size && shared >= least, "{plan:?}: {written} {shared}");
            writer.finish().unwrap();
            let image: Arc<dyn ByteSource> = Arc::new(sink.file.content());
            let disk = match plan.format {
                Format::Raw => image,
                _ => open_source(image, &OpenOptions::default()).unwrap().disk,
            };
            let difference = first_difference(&source, &*disk, &[], &mut |_| ControlFlow::Continue(()));
            assert_eq!(difference.unwrap(), None, "{plan:?}, {left}");
        }
    }
}

#[test]
fn children_name_their_parent() {
    for format in [Format::Vhdx, Format::Vhd] {
        let identity = Guid::from_fields(1, 2, 3, [4; 8]);
        let parent = NewParent {
            identity,
            relative_path: Some(r"..\base disks\Büro.vhdx".into()),
            absolute_path: Some(r"C:\base disks\Büro.vhdx".into()),
            time: 77,
        };
        let plan = Plan { kind: Kind::Differencing, parent: Some(parent), ..Plan::new(format, 64 * MIB, 0) };
        let source: Arc<dyn ByteSource> = Arc::new(filled(&plan, &[]));
        let info = match format {
            Format::Vhd => vhd::open(source, "").unwrap().info().clone(),
            _ => vhdx::open(source, "", &vhdx::OpenOptions::default()).unwrap().info().clone(),
        };
        assert_eq!((info.kind, info.parent_id), (Kind::Differencing, Some(identity)));
        assert_eq!(info.parent_paths[..2], [r"..\base disks\Büro.vhdx", r"C:\base disks\Büro.vhdx"]);
        assert_eq!(info.problems, [""; 0]);
    }
}
