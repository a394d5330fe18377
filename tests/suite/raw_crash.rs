//! Power cuts while other programs make and fill volumes through raw views: what mkfs.ext4 and the kernel, ntfs-3g and mtools write is
//! recorded where the session takes it, done again on files in memory, and every state that a power cut leaves is judged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vhdmount::{
    container::{
        Format, Kind, NewParent, Plan,
        write::{Publish, WriteOptions},
    },
    guid::Guid,
    testing::crash::{Explorer, Recording, Step, TRACE_VARIABLE, Traced, Workload, read_trace, steps_of},
};

use crate::support::{
    demo::vhdmount,
    have, have_fuse,
    host::{MIB, Mounted},
    run, scratch, sha256, tool,
    written_mount::{Loop, Mount},
};

const SIZE: u64 = 20 * MIB;
/// States of each workload in an ordinary run, and faults.
const STATES: usize = 24;
const FAULTS: usize = 4;

/// Files to copy.
fn files(folder: &Path) -> PathBuf {
    let from = folder.join("from");
    fs::create_dir(&from).unwrap();
    for (index, size) in [1, 511, 4096, 70_000, 70_000, 1 << 20].into_iter().enumerate() {
        let byte = u8::try_from(index).unwrap() + b'a';
        fs::write(from.join(format!("file{index}")), vec![byte; size]).unwrap();
    }
    from
}

/// What is written through the raw view of a partition while `fill` works on it with a folder of files. The image below stays as it is.
fn recorded(fill: impl Fn(&Path, &Path), check: &mut Command) -> Vec<Traced> {
    let folder = scratch();
    let (image, child) = (folder.path().join("base.vhdx"), folder.path().join("fix.vhdx"));
    run(vhdmount().args(["create", "-q", "--gpt", "--size", "20M"]).arg(&image));
    let before = sha256(&fs::read(&image).unwrap());
    let trace = folder.path().join("trace");
    let mut mount = Mount::with(
        vhdmount().env(TRACE_VARIABLE, &trace).arg("--overlay").arg(&child),
        &image,
        folder.path().join("m"),
    );
    let view = mount.raw("p1.raw");
    fill(&view, &files(folder.path()));
    run(check.arg(&view));
    mount.end();
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
    run(vhdmount().args(["check", "-q"]).arg(&child));
    read_trace(&trace).unwrap()
}

/// Copies, deletes, and copies again.
fn copy_and_delete(from: &Path, volume: &Mounted) {
    run(tool("cp").arg("-r").arg(from).arg(volume.path("to")));
    run(tool("sync").arg("-f").arg(volume.path("to")));
    fs::remove_file(volume.path("to/file3")).unwrap();
    run(tool("cp").arg(from.join("file4")).arg(volume.path("again")));
}

fn plan(format: Format) -> Plan {
    let parent = NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base".into()),
        absolute_path: None,
        time: 0,
    };
    Plan {
        kind: Kind::Differencing,
        block_size: 2 * MIB,
        log_length: 4 * MIB,
        parent: Some(parent),
        ..Plan::new(format, SIZE, 0)
    }
}

/// Explores the workload in overlays of both formats, with each way of publishing.
fn explore(name: &str, trace: &[Traced]) {
    let written = |traced: &Traced| matches!(traced, Traced::Write(..));
    println!(
        "{name}: {} operations, {} of them writes",
        trace.len(),
        trace.iter().filter(|t| written(t)).count()
    );
    for format in [Format::Vhdx, Format::Vhd] {
        for (mode, publish, every) in
            [("sync", Publish::Sync, 1), ("5s", Publish::Sync, 4), ("unmount", Publish::Unmount, 1)]
        {
            let workload = Workload {
                name: format!("{name}, {format:?}, {mode}"),
                plan: plan(format),
                options: WriteOptions { publish, ..WriteOptions::default() },
                steps: steps_of(trace, every),
            };
            let flushes = workload.steps.iter().filter(|step| **step == Step::Flush).count();
            explore_one(&workload, flushes);
        }
    }
}

fn explore_one(workload: &Workload, flushes: usize) {
    let recording = Recording::default();
    let (model, result) = workload.run(&recording);
    result.unwrap_or_else(|error| panic!("{}: {error}", workload.name));
    let explorer = Explorer::with_most(21, STATES);
    let judge = |state: &_| workload.judge(&model, state);
    let explored =
        explorer.explore(&workload.name, &recording, judge).unwrap_or_else(|problem| panic!("{problem}"));
    let faults = explorer.with_faults(&workload.name, recording.operations(), FAULTS, |recording| {
        let (model, _) = workload.run(recording);
        let explorer = Explorer::few(21, 2);
        explorer.explore("after it", recording, |state| workload.judge(&model, state)).map(|_| ())
    });
    let faults = faults.unwrap_or_else(|problem| panic!("{problem}"));
    println!(
        "{}, {flushes} flushes: {} of {} states, {} of {} faults",
        workload.name, explored.tried, explored.of, faults.tried, faults.of
    );
}

#[test]
fn what_ext4_writes_survives() {
    if !have_fuse() || !have(&["mkfs.ext4", "e2fsck", "mount", "umount", "losetup"]) {
        return;
    }
    let fill = |view: &Path, from: &Path| {
        run(tool("mkfs.ext4").arg("-q").arg(view));
        let at = from.with_file_name("volume");
        let volume = Mounted::new(tool("mount").args(["-o", "loop"]).arg(view), at);
        copy_and_delete(from, &volume);
        volume.end();
    };
    explore("mkfs.ext4 and the kernel", &recorded(fill, tool("e2fsck").arg("-fn")));
}

#[test]
fn what_ntfs_3g_writes_survives() {
    if !have_fuse() || !have(&["mkfs.ntfs", "ntfs-3g", "ntfsfix", "losetup", "umount"]) {
        return;
    }
    let fill = |view: &Path, from: &Path| {
        run(tool("mkfs.ntfs").args(["-q", "-Q", "-F"]).arg(view));
        let device = Loop::new(view);
        let volume = Mounted::new(tool("ntfs-3g").arg(&device.0), from.with_file_name("volume"));
        copy_and_delete(from, &volume);
        volume.end();
    };
    explore("mkfs.ntfs and ntfs-3g", &recorded(fill, tool("ntfsfix").arg("-n")));
}

#[test]
fn what_mtools_write_survives() {
    if !have_fuse() || !have(&["mkfs.fat", "mcopy", "mdel", "fsck.fat"]) {
        return;
    }
    let fill = |view: &Path, from: &Path| {
        run(tool("mkfs.fat").args(["-F", "16"]).arg(view));
        run(tool("mcopy").arg("-s").arg("-i").arg(view).arg(from).arg("::to"));
        run(tool("mdel").arg("-i").arg(view).arg("::to/file3"));
        run(tool("mcopy").arg("-i").arg(view).arg(from.join("file4")).arg("::again"));
    };
    explore("mkfs.fat and mtools", &recorded(fill, tool("fsck.fat").arg("-n")));
}
