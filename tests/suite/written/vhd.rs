//! VHDs that were written into on the host, judged by qemu-img, libvhdi and 7-Zip. Children, which qemu reads wrongly, are judged by
//! 7-Zip alone.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use vhdmount::{
    bytes::{BackingFile, ByteSink, FileSink},
    container::{
        self, Format, Kind, OpenOptions, Plan,
        create::Writer,
        redo,
        write::{Below, CommitMode, WritableDisk, WriteOptions},
    },
    testing::crash::{Step, Workload, stamp, steps},
};

use crate::support::{
    demo::{outcome, vhdmount},
    have, run, scratch, tool,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Writes into an image and the same into a raw file.
fn write_both(image: &Path, parent: Option<&Path>, plan: &Plan, commit: CommitMode, plain: &File, seed: u64) {
    let options = WriteOptions {
        commit,
        redo: Some(Arc::new(redo::open_beside(image).unwrap())),
        ..WriteOptions::default()
    };
    let open = || {
        let parent = parent.map(|parent| container::open(parent, &OpenOptions::default()).unwrap());
        let parent = parent.map(|parent| Below::of(&parent));
        WritableDisk::open(Arc::new(BackingFile::open(image).unwrap()), parent, &options).unwrap()
    };
    let mut disk = open();
    for (version, step) in (1..).zip(steps(seed, 60, &Workload::shape(plan, 200, true))) {
        let copy = |sectors: &std::ops::Range<u64>, discard: bool| {
            let version = if discard { 0 } else { version };
            let bytes: Vec<u8> = sectors.clone().flat_map(|sector| stamp(version, sector)).collect();
            plain.write_all_at(&bytes, sectors.start * 512).unwrap();
            bytes
        };
        let len = |sectors: &std::ops::Range<u64>| (sectors.end - sectors.start) * 512;
        match step {
            Step::Write(sectors) => disk.write_all_at(sectors.start * 512, &copy(&sectors, false)).unwrap(),
            Step::Discard(sectors) => {
                copy(&sectors, true);
                disk.discard(sectors.start * 512, len(&sectors)).unwrap();
            }
            Step::Commit(changes) => {
                let mut transaction = disk.begin();
                for (sectors, discard) in &changes {
                    let bytes = copy(sectors, *discard);
                    match discard {
                        true => transaction.discard(sectors.start * 512, len(sectors)).unwrap(),
                        false => transaction.write(sectors.start * 512, &bytes).unwrap(),
                    }
                }
                transaction.commit().unwrap();
            }
            Step::Flush => disk.flush().unwrap(),
            Step::Pieces(_) => unreachable!("only recorded workloads have them"),
            Step::Reopen => {
                disk.close().unwrap();
                disk = open();
            }
        }
    }
    disk.close().unwrap();
    redo::remove_retired(image).unwrap();
}

#[test]
fn others_read_what_was_written() {
    if !have(&["qemu-img", "vhdiinfo", "7z"]) {
        return;
    }
    let folder = scratch();
    let mut seed = 0;
    for (format, name, qemu, blocks) in [
        (Format::Vhd, "disk.vhd", "vpc", [64 * KIB, 512 * KIB, 2 * MIB]),
        (Format::Vhdx, "disk.vhdx", "vhdx", [MIB, 2 * MIB, 32 * MIB]),
    ] {
        for (kind, size, block_size) in [
            (Kind::Dynamic, 512, blocks[0]),
            (Kind::Dynamic, blocks[0] + 512, blocks[0]),
            (Kind::Dynamic, 5 * MIB + 512, blocks[1]),
            (Kind::Dynamic, 9 * MIB, blocks[2]),
            (Kind::Fixed, 3 * MIB + 1024, blocks[0]),
        ] {
            for commit in [CommitMode::Logged, CommitMode::Switched] {
                seed += 1;
                let plan = Plan { kind, block_size, ..Plan::new(format, size, 0) };
                let (image, raw) = (folder.path().join(name), folder.path().join("plain.raw"));
                let file = File::create(&image).unwrap();
                Writer::new(&FileSink::new(file, &image), &plan).unwrap().finish().unwrap();
                let plain = File::create(&raw).unwrap();
                plain.set_len(size).unwrap();
                write_both(&image, None, &plan, commit, &plain, seed);
                run(tool("qemu-img").args(["compare", "-f", "raw", "-F", qemu]).arg(&raw).arg(&image));
                if format == Format::Vhdx {
                    run(tool("qemu-img").args(["check", "-f", qemu]).arg(&image));
                }
                let info = outcome(&run(tool("vhdiinfo").arg(&image))).1;
                assert!(info.contains(&format!("({size} bytes)")), "{size}: {info}");
                if format == Format::Vhd || size.is_multiple_of(4096) {
                    run(tool("7z").args(["t", "-bd"]).arg(&image));
                }
                let checked = vhdmount().arg("check").arg(&image).output().unwrap();
                assert!(checked.status.success(), "{}: {}", image.display(), outcome(&checked).1);
                fs::remove_file(&image).unwrap();
            }
        }
    }
}

#[test]
fn largest_vhd_is_written_at_both_ends() {
    if !have(&["qemu-img", "vhdiinfo", "7z"]) {
        return;
    }
    let folder = scratch();
    let size = 2040 << 30;
    let (image, raw) = (folder.path().join("disk.vhd"), folder.path().join("plain.raw"));
    let plan = Plan::new(Format::Vhd, size, 0);
    Writer::new(&FileSink::new(File::create(&image).unwrap(), &image), &plan).unwrap().finish().unwrap();
    let plain = File::create(&raw).unwrap();
    plain.set_len(size).unwrap();
    let disk =
        WritableDisk::open(Arc::new(BackingFile::open(&image).unwrap()), None, &WriteOptions::default())
            .unwrap();
    for at in [size - 512, 0, size / 2 - 700] {
        disk.write_all_at(at, &[7; 512]).unwrap();
        plain.write_all_at(&[7; 512], at).unwrap();
    }
    disk.close().unwrap();
    let info = outcome(&run(tool("vhdiinfo").arg(&image))).1;
    assert!(info.contains(&format!("({size} bytes)")), "{info}");
    run(tool("qemu-img").args(["compare", "-f", "raw", "-F", "vpc"]).arg(&raw).arg(&image));
}

#[test]
fn children_are_read_by_others_with_what_was_written_into_them() {
    if !have(&["7z"]) {
        return;
    }
    let folder = scratch();
    let (raw, base, child) =
        (folder.path().join("plain.raw"), folder.path().join("base.vhd"), folder.path().join("child.vhd"));
    let size = 5 * MIB;
    let content: Vec<u8> = (0..size / 512).flat_map(|sector| stamp(900, sector)).collect();
    fs::write(&raw, content).unwrap();
    run(vhdmount().args(["convert", "-q"]).arg(&raw).arg(&base));
    let sum = fs::read(&base).unwrap();
    for (seed, commit) in [(90, CommitMode::Logged), (91, CommitMode::Switched)] {
        run(vhdmount().args(["create", "-q", "--parent"]).arg(&base).arg(&child));
        let plain = File::options().read(true).write(true).open(&raw).unwrap();
        (0..size / 512).for_each(|sector| plain.write_all_at(&stamp(900, sector), sector * 512).unwrap());
        let plan = Plan { block_size: 2 * MIB, ..Plan::new(Format::Vhd, size, 0) };
        write_both(&child, Some(&base), &plan, commit, &plain, seed);
        let read = run(tool("7z").args(["x", "-so"]).arg(&child)).stdout;
        assert!(read == fs::read(&raw).unwrap(), "{commit:?}");
        fs::remove_file(&child).unwrap();
    }
    assert!(fs::read(&base).unwrap() == sum, "the parent changed");
}
