//! Overlays on the host: what other programs may do with the files of a session, what they read of an overlay, and the commands that
//! look at one, recover it, move it and throw it away.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use vhdmount::{
    bytes::{ByteSink, ByteSource, read_vec},
    container::{
        self, OpenOptions,
        session::{Publish, SessionOptions, WritingSession},
    },
};

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    have, have_fuse, run, scratch, tool,
};

const MIB: u64 = 1 << 20;

pub(crate) fn open(image: &Path, child: &Path, publish: Publish) -> WritingSession {
    let write = SessionOptions { publish, ..SessionOptions::default() };
    WritingSession::overlay(image, child, &OpenOptions::default(), &write).unwrap()
}

/// Writes what differs of a raw file into a session.
pub(crate) fn write(session: &WritingSession, from: &Path) {
    let file = File::open(from).unwrap();
    let disk = session.disk();
    let mut new = vec![0; 64 << 10];
    for at in (0..disk.size()).step_by(64 << 10) {
        let len = usize::try_from(disk.size() - at).map_or(new.len(), |rest| rest.min(new.len()));
        file.read_exact_at(&mut new[..len], at).unwrap();
        let old = read_vec(&**disk, at, len).unwrap();
        for sector in (0..len).step_by(512) {
            let range = sector..(sector + 512).min(len);
            if old[range.clone()] != new[range.clone()] {
                disk.write_all_at(at + sector as u64, &new[range]).unwrap();
            }
        }
    }
}

/// Exit code, and both outputs.
fn answer(arguments: &[&str], files: &[&Path]) -> (Option<i32>, String, String) {
    outcome(&vhdmount().args(arguments).args(files).output().unwrap())
}

fn qemu_writes(image: &Path) -> bool {
    Command::new("qemu-io").args(["-c", "write -P 7 0 512"]).arg(image).output().unwrap().status.success()
}

#[test]
fn qemu_writes_no_file_of_a_session_and_reads_them() {
    if !have(&["qemu-io", "qemu-img"]) {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    let child = folder.path().join("fix.vhdx");
    let session = open(&image, &child, Publish::Sync);
    assert!(!qemu_writes(&image), "the parent");
    run(tool("qemu-img").args(["info", "-f", "vhdx"]).arg(&image));
    session.close().unwrap();
    assert!(qemu_writes(&image));
    // Its identity has changed by that.
    let again = WritingSession::overlay(&image, &child, &OpenOptions::default(), &SessionOptions::default());
    assert!(again.map(|_| ()).unwrap_err().to_string().contains("has changed since"));
}

#[test]
fn image_that_qemu_writes_is_no_parent_and_reading_it_warns() {
    if !have(&["qemu-io"]) {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    let mut qemu = Command::new("qemu-io")
        .arg(&image)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its prompt comes when the image is open.
    let mut first = [0];
    std::io::Read::read_exact(qemu.stdout.as_mut().unwrap(), &mut first).unwrap();
    let child = folder.path().join("fix.vhdx");
    let error = WritingSession::overlay(&image, &child, &OpenOptions::default(), &SessionOptions::default());
    let error = error.map(|_| ()).unwrap_err().to_string();
    let warnings = container::open(&image, &OpenOptions::default()).unwrap().warnings;
    drop(qemu.stdin.take());
    qemu.wait().unwrap();
    assert!(error.contains("is being written by another program"), "{error}");
    assert!(!child.exists(), "an empty overlay was left");
    assert!(warnings.iter().any(|warning| warning.contains("is being written")), "{warnings:?}");
    assert!(container::open(&image, &OpenOptions::default()).unwrap().warnings.is_empty());
}

/// Bytes of the first volume, FAT, and of the second one, NTFS.
const FAT: std::ops::Range<u64> = MIB..17 * MIB;
const NTFS: std::ops::Range<u64> = 17 * MIB..47 * MIB;

/// A part of the disk as a file of its own.
fn part(plain: &Path, place: &std::ops::Range<u64>, to: &Path) {
    let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap()];
    File::open(plain).unwrap().read_exact_at(&mut bytes, place.start).unwrap();
    fs::write(to, bytes).unwrap();
}

fn put_back(plain: &Path, place: &std::ops::Range<u64>, from: &Path) {
    let bytes = fs::read(from).unwrap();
    File::options().write(true).open(plain).unwrap().write_all_at(&bytes, place.start).unwrap();
}

/// A disk with both volumes, made and filled by others; its overlay, with changes by mtools and ntfscp; the disk with them as a raw file.
fn serviced(folder: &Path, publish: Publish) -> (PathBuf, PathBuf, PathBuf) {
    let (image, child, plain) = (folder.join("base.vhdx"), folder.join("fix.vhdx"), folder.join("plain.img"));
    File::create(&plain).unwrap().set_len(48 * MIB).unwrap();
    run(tool("sgdisk")
        .args(["-n", "1:2048:34815", "-t", "1:ef00", "-n", "2:34816:96255", "-t", "2:0700"])
        .arg(&plain));
    let (text, volume) = (folder.join("text.txt"), folder.join("volume.img"));
    fs::write(&text, "before\n".repeat(1000)).unwrap();
    let fat = format!("{}@@{}", plain.display(), FAT.start);
    part(&plain, &FAT, &volume);
    run(tool("mkfs.fat").args(["-F", "16"]).arg(&volume));
    put_back(&plain, &FAT, &volume);
    run(tool("mmd").args(["-i", &fat, "::/EFI"]));
    for name in ["::/EFI/kept.txt", "::/EFI/removed.txt", "::/EFI/changed.txt"] {
        run(tool("mcopy").args(["-i", &fat]).arg(&text).arg(name));
    }
    part(&plain, &NTFS, &volume);
    run(tool("mkntfs").args(["-q", "-F", "-p", "34816", "-s", "512"]).arg(&volume));
    run(tool("ntfscp").arg("-q").arg(&volume).arg(&text).arg("kept.txt"));
    put_back(&plain, &NTFS, &volume);
    run(vhdmount().args(["convert", "-q"]).arg(&plain).arg(&image));

    fs::write(&text, "added by this session\n".repeat(1000)).unwrap();
    run(tool("mcopy").args(["-i", &fat]).arg(&text).arg("::/EFI/added.txt"));
    run(tool("mdel").args(["-i", &fat, "::/EFI/removed.txt"]));
    run(tool("mcopy").args(["-o", "-i", &fat]).arg(&text).arg("::/EFI/changed.txt"));
    run(tool("ntfscp").arg("-q").arg(&volume).arg(&text).arg("added.txt"));
    put_back(&plain, &NTFS, &volume);
    let session = open(&image, &child, publish);
    write(&session, &plain);
    session.close().unwrap();
    (image, child, plain)
}

#[test]
fn diff_names_what_other_programs_have_changed() {
    if !have(&["sgdisk", "mkfs.fat", "mkntfs", "mcopy", "mmd", "mdel", "ntfscp", "7z"]) {
        return;
    }
    for publish in [Publish::Sync, Publish::Unmount] {
        let folder = scratch();
        let (image, child, plain) = serviced(folder.path(), publish);
        let (code, text, errors) = answer(&["diff"], &[&child]);
        assert_eq!(code, Some(0), "{errors}");
        for line in [
            "added      21.5 KiB  p1/EFI/added.txt",
            "removed     6.8 KiB  p1/EFI/removed.txt",
            "changed    21.5 KiB  p1/EFI/changed.txt",
            "added      21.5 KiB  p2/added.txt",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("1 added, 1 removed, 1 changed"), "{text}");
        assert!(!text.contains("PROBLEM") && !text.contains("kept.txt"), "{text}");
        let (code, json, _) = answer(&["diff", "--json"], &[&child]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &json["schema"]), (Some(0), &"diff/1".into()));
        let all = json["differences"].as_array().unwrap();
        assert!(all.iter().any(|one| one["path"] == "EFI/added.txt" && one["change"] == "added"), "{json}");
        // Nothing differs from itself, and what is no overlay has nothing to differ from.
        let untouched = folder.path().join("untouched.vhdx");
        open(&image, &untouched, publish).close().unwrap();
        let (_, text, _) = answer(&["diff"], &[&untouched]);
        assert!(text.lines().all(|line| line.ends_with(": unchanged")), "{text}");
        assert_eq!(answer(&["diff"], &[&image]).0, Some(2));
        // As another program reads the overlay.
        let out = folder.path().join("out");
        run(tool("7z").args(["x", "-bd", "-tVHDX", "-so"]).arg(&child).stdout(File::create(&out).unwrap()));
        assert!(fs::read(&out).unwrap() == fs::read(&plain).unwrap());
        assert_eq!(answer(&["check", "-q"], &[&child]).0, Some(0));
    }
}

#[test]
fn recover_applies_what_a_power_cut_left_and_a_second_time_nothing() {
    let folder = scratch();
    let image = unpack(folder.path());
    let child = folder.path().join("fix.vhdx");
    let session = open(&image, &child, Publish::Sync);
    session.disk().write_all_at(0, &[9; 512]).unwrap();
    session.checkpoint().unwrap();
    drop(session);
    // Without its parent as well.
    let alone = folder.path().join("alone");
    fs::create_dir(&alone).unwrap();
    let moved = alone.join("fix.vhdx");
    fs::rename(&child, &moved).unwrap();
    let (code, text, errors) = answer(&["recover"], &[&moved]);
    assert!(code == Some(0) && text.contains("of the log applied"), "{text}{errors}");
    let (code, text, _) = answer(&["recover"], &[&moved]);
    assert!(code == Some(0) && text.contains("nothing to apply"), "{text}");
    fs::rename(&moved, &child).unwrap();
    let disk =
        container::open(&child, &OpenOptions { replay: false, ..OpenOptions::default() }).unwrap().disk;
    assert_eq!(read_vec(&*disk, 0, 512).unwrap(), [9; 512]);
    assert_eq!(answer(&["recover"], &[&folder.path().join("missing")]).0, Some(2));
}

#[test]
fn recover_applies_a_redo_file_and_removes_it() {
    let folder = scratch();
    let image = folder.path().join("disk.img");
    fs::write(&image, vec![1; 1 << 20]).unwrap();
    let session =
        WritingSession::in_place(&image, &OpenOptions::default(), &SessionOptions::default()).unwrap();
    let mut transaction = session.disk().begin();
    transaction.write(512, &[2; 512]).unwrap();
    transaction.write(8192, &[2; 512]).unwrap();
    transaction.commit().unwrap();
    drop(session);
    // As in the middle of the commit.
    File::options().write(true).open(&image).unwrap().write_all_at(&[1; 512], 8192).unwrap();
    let read =
        || read_vec(&*container::open(&image, &OpenOptions::default()).unwrap().disk, 8192, 512).unwrap();
    assert_eq!(read(), [2; 512]);
    let (_, _, errors) = answer(&["info"], &[&image]);
    let redo = folder.path().join("disk.img.redo");
    let (code, text, _) = answer(&["check"], &[&image]);
    assert!(code == Some(5) && text.contains("redo file"), "{text}");
    assert!(errors.contains("redo file") || answer(&["info"], &[&image]).1.contains("redo file"), "{errors}");
    let (code, text, errors) = answer(&["recover"], &[&image]);
    assert!(code == Some(0) && text.contains("redo file is applied"), "{text}{errors}");
    assert!(!redo.exists());
    assert_eq!(fs::read(&image).unwrap()[8192..8704], [2; 512]);
}

#[test]
fn discard_removes_an_overlay_and_nothing_else() {
    let folder = scratch();
    let image = unpack(folder.path());
    let before = fs::read(&image).unwrap();
    let child = folder.path().join("fix.vhdx");
    open(&image, &child, Publish::Sync).close().unwrap();
    let (code, _, errors) = answer(&["discard"], &[&child]);
    assert!(code == Some(1) && errors.contains("--force") && child.exists(), "{errors}");
    let (code, _, errors) = answer(&["discard", "-f"], &[&image]);
    assert!(code == Some(2) && errors.contains("an image of its own") && image.exists(), "{errors}");
    let session = open(&image, &child, Publish::Sync);
    let (code, _, errors) = answer(&["discard", "-f"], &[&child]);
    assert!(code == Some(2) && errors.contains("in use") && child.exists(), "{errors}");
    session.close().unwrap();
    let (code, text, errors) = answer(&["discard", "-f"], &[&child]);
    assert!(code == Some(0) && text.contains("removed"), "{text}{errors}");
    assert!(!child.exists() && fs::read(&image).unwrap() == before);
}

#[test]
fn reconnect_follows_a_parent_that_was_moved() {
    if !have(&["qemu-img", "7z"]) {
        return;
    }
    for (name, child) in [("base.vhdx", "fix.vhdx"), ("base.vhd", "fix.vhd"), ("base.img", "fix.vhdx")] {
        let folder = scratch();
        let (image, child) = (folder.path().join(name), folder.path().join(child));
        run(vhdmount().args(["create", "-q", "--size", "20M"]).arg(&image));
        let session = open(&image, &child, Publish::Sync);
        session.disk().write_all_at(5 * MIB, &[3; 4096]).unwrap();
        session.close().unwrap();
        let other = folder.path().join("another folder with a name that is longer than the first one");
        fs::create_dir(&other).unwrap();
        let moved = other.join(format!("renamed-{name}"));
        fs::rename(&image, &moved).unwrap();
        assert_eq!(answer(&["info"], &[&child]).0, Some(2), "{name}");
        let reconnect = |parent: &Path, more: &[&str]| {
            let mut command = vhdmount();
            command.arg("reconnect").arg(&child).arg("--parent").arg(parent).args(more);
            outcome(&command.output().unwrap())
        };
        let (code, text, errors) = reconnect(&moved, &[]);
        assert!(code == Some(0) && text.contains("renamed-"), "{name}: {text}{errors}");
        let read = || {
            let disk = container::open(&child, &OpenOptions::default()).unwrap().disk;
            read_vec(&*disk, 5 * MIB, 4096).unwrap()
        };
        assert_eq!(read(), [3; 4096], "{name}");
        assert_eq!(answer(&["check", "-q"], &[&child]).0, Some(0), "{name}");
        open(&moved, &child, Publish::Sync).close().unwrap();
        // Another disk of the same size.
        let other = folder.path().join(format!("other-{name}"));
        run(vhdmount().args(["create", "-q", "--size", "20M"]).arg(&other));
        if name == "base.img" {
            File::options().write(true).open(&other).unwrap().write_all_at(&[1; 512], 0).unwrap();
        }
        let (code, _, errors) = reconnect(&other, &[]);
        assert!(code == Some(2) && errors.contains("--reset-identity"), "{name}: {errors}");
        let (code, text, errors) = reconnect(&other, &["--reset-identity"]);
        assert!(code == Some(0) && text.contains("identity"), "{name}: {text}{errors}");
        assert_eq!(read(), [3; 4096], "{name}");
        assert!(reconnect(&child, &["--reset-identity"]).0 == Some(2), "{name}: a cycle");
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".redo")), "{names:?}");
        if name != "base.img" {
            run(tool("7z").args(["t", "-bd"]).arg(&child).stdout(std::process::Stdio::null()));
        }
    }
}

#[test]
fn libvhdi_reads_what_was_written_over_a_parent() {
    if !have(&["vhdimount", "fusermount"]) || !have_fuse() {
        return;
    }
    for (name, child) in [("base.vhdx", "fix.vhdx"), ("base.vhd", "fix.vhd")] {
        let folder = scratch();
        let (image, child) = (folder.path().join(name), folder.path().join(child));
        run(vhdmount().args(["create", "-q", "--size", "12M"]).arg(&image));
        // One that `create` has made is an overlay, too.
        run(vhdmount().args(["create", "-q", "--parent"]).arg(&image).arg(&child));
        let session = open(&image, &child, Publish::Unmount);
        session.disk().write_all_at(5 * MIB + 512, &[3; 4096]).unwrap();
        session.disk().write_all_at(11 * MIB, &[4; 1 << 20]).unwrap();
        let expected = read_vec(&**session.disk(), 0, 12 << 20).unwrap();
        session.close().unwrap();
        let at = folder.path().join("at");
        fs::create_dir(&at).unwrap();
        run(tool("vhdimount").arg(&child).arg(&at));
        let read = fs::read(at.join("vhdi2"));
        run(tool("fusermount").arg("-u").arg(&at));
        assert!(read.unwrap() == expected, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn only_files_are_overlays() {
    let folder = scratch();
    let (image, pipe) = (unpack(folder.path()), folder.path().join("pipe"));
    run(tool("mkfifo").arg(&pipe));
    let opened = WritingSession::overlay(&image, &pipe, &OpenOptions::default(), &SessionOptions::default());
    assert!(opened.map(|_| ()).unwrap_err().to_string().contains("is no file"));
    assert_eq!(answer(&["recover"], &[&pipe]).0, Some(2));
    assert_eq!(answer(&["discard", "-f"], &[folder.path()]).0, Some(2));
}
