//! Mounts whose raw views are written, by the programs that make and fill volumes: what they find wrong afterwards, what others read of
//! the overlay, who may open what meanwhile, and what is left when a process is killed or the host is full.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    demo::vhdmount,
    have, have_fuse,
    host::{Host, MIB, Mounted},
    run, scratch, sha256, tool,
    written_mount::{Mount, partition, processes, writable},
};

/// A VHDX without content.
fn base(folder: &Path, size: &str, more: &[&str]) -> PathBuf {
    let image = folder.join("base.vhdx");
    run(vhdmount().args(["create", "-q", "--size", size]).args(more).arg(&image));
    image
}

/// A folder with files of some sizes.
fn files(folder: &Path) -> PathBuf {
    let from = folder.join("from");
    fs::create_dir(&from).unwrap();
    for (index, size) in [0_usize, 1, 511, 4096, 70_000, 3 << 20].into_iter().enumerate() {
        let byte = u8::try_from(index).unwrap() + b'a';
        fs::write(from.join(format!("file{index}")), vec![byte; size]).unwrap();
    }
    from
}

fn same(a: &Path, b: &Path) {
    run(tool("diff").arg("-r").arg(a).arg(b));
}

#[test]
fn volumes_are_made_and_filled_through_raw_views() {
    let tools =
        ["sfdisk", "mkfs.ntfs", "ntfs-3g", "ntfsfix", "mkfs.fat", "mcopy", "fsck.fat", "mkfs.ext4", "e2fsck"];
    if !have_fuse() || !have(&tools) || !have(&["losetup", "diff", "7z", "mount", "umount"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "160M", &[]), folder.path().join("fix.vhdx"));
    let before = sha256(&fs::read(&image).unwrap());
    let overlay = ["--overlay", child.to_str().unwrap()];
    let mut mount = Mount::new(&overlay, &image, folder.path().join("m"));
    partition(
        &mount.raw("disk.raw"),
        "label: gpt\nsize=40M,type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\nsize=48M\nsize=40M\n",
    );
    mount.end();
    // The tree follows the table now.
    let mut mount = Mount::new(&overlay, &image, folder.path().join("m"));
    let views = ["p1.raw", "p2.raw", "p3.raw"].map(|name| mount.raw(name));
    run(tool("mkfs.ntfs").args(["-q", "-Q", "-F"]).arg(&views[0]));
    run(tool("mkfs.fat").args(["-F", "32"]).arg(&views[1]));
    run(tool("mkfs.ext4").arg("-q").arg(&views[2]));
    let from = files(folder.path());
    for (view, by) in [(&views[0], "ntfs-3g"), (&views[2], "mount")] {
        let mut command = tool(by);
        if by == "mount" {
            command.args(["-o", "loop"]);
        }
        let volume = Mounted::new(command.arg(view), folder.path().join("volume"));
        run(tool("cp").arg("-r").arg(&from).arg(volume.path("to")));
        fs::remove_file(volume.path("to/file4")).unwrap();
        fs::write(volume.path("to/file4"), vec![b'e'; 70_000]).unwrap();
        volume.end();
    }
    run(tool("mcopy").arg("-s").arg("-i").arg(&views[1]).arg(&from).arg("::to"));
    run(tool("ntfsfix").arg("-n").arg(&views[0]));
    run(tool("fsck.fat").arg("-n").arg(&views[1]));
    run(tool("e2fsck").arg("-fn").arg(&views[2]));
    // Their directories are there as soon as the views are closed.
    same(&from, &mount.at.join("p1/to"));
    same(&from, &mount.at.join("p2/to"));
    let whole = sha256(&fs::read(mount.raw("disk.raw")).unwrap());
    mount.end();
    let others = run(tool("7z").args(["x", "-so", "-tvhdx"]).arg(&child).stderr(Stdio::null()));
    assert_eq!(sha256(&others.stdout), whole);
    run(vhdmount().args(["check", "-q"]).arg(&child));
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
}

#[test]
fn one_writer_has_its_bytes_for_itself() {
    if !have_fuse() || !have(&["mkfs.fat", "mcopy", "umount"]) {
        return;
    }
    let folder = scratch();
    let image = base(folder.path(), "64M", &["--gpt"]);
    let mut mount = Mount::new(&["--in-place"], &image, folder.path().join("m"));
    let (view, disk) = (mount.raw("p1.raw"), mount.raw("disk.raw"));
    run(tool("mkfs.fat").arg(&view));
    fs::write(folder.path().join("a"), b"first").unwrap();
    fs::write(folder.path().join("large"), vec![3; 5 << 20]).unwrap();
    run(tool("mcopy").arg("-i").arg(&view).arg(folder.path().join("a")).arg("::a"));
    let file = mount.at.join("p1/a");
    assert_eq!(fs::read(&file).unwrap(), b"first");

    let busy = |result: std::io::Result<File>| result.unwrap_err().kind() == ErrorKind::ResourceBusy;
    let reader = File::open(&file).unwrap();
    assert!(busy(writable(&view)), "a file of the volume is open");
    drop(reader);
    let writer = writable(&view).unwrap();
    assert!(busy(File::open(&disk)) && busy(File::open(&file)));
    assert!(fs::read_dir(mount.at.join("p1")).is_err());
    assert!(fs::read_to_string(mount.at.join(".capacity")).unwrap().contains("virtual_size"));
    // Its length is that of the partition.
    let len = writer.metadata().unwrap().len();
    assert_eq!(writer.set_len(0).unwrap_err().kind(), ErrorKind::PermissionDenied);
    writer.set_len(len).unwrap();
    let past = writer.write_all_at(&[1; 8192], len).and_then(|()| writer.sync_all());
    assert_eq!(past.unwrap_err().kind(), ErrorKind::StorageFull);
    drop(writer);
    assert!(writable(&file).is_err(), "files of volumes are not written");

    run(tool("mcopy").args(["-o", "-i"]).arg(&view).arg(folder.path().join("large")).arg("::b"));
    assert_eq!(fs::read(&file).unwrap(), b"first");
    assert_eq!(fs::read(mount.at.join("p1/b")).unwrap(), vec![3; 5 << 20]);
    assert_eq!(fs::metadata(&view).unwrap().len(), len);
    mount.end();
}

#[test]
fn holes_are_made_and_found() {
    if !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = base(folder.path(), "64M", &[]);
    let mut mount = Mount::new(&["--in-place"], &image, folder.path().join("m"));
    let file = writable(&mount.raw("disk.raw")).unwrap();
    file.write_all_at(&[7; 4 << 20], 8 * MIB).unwrap();
    use rustix::fs::FallocateFlags as Flags;
    rustix::fs::fallocate(&file, Flags::PUNCH_HOLE | Flags::KEEP_SIZE, 8 * MIB, 2 * MIB).unwrap();
    rustix::fs::fallocate(&file, Flags::ZERO_RANGE | Flags::KEEP_SIZE, 11 * MIB, 4096).unwrap();
    assert!(rustix::fs::fallocate(&file, Flags::empty(), 0, 4096).is_err());
    let mut bytes = vec![1; 4 << 20];
    file.read_exact_at(&mut bytes, 8 * MIB).unwrap();
    let expected = [vec![0; 2 << 20], vec![7; 1 << 20], vec![0; 4096], vec![7; (1 << 20) - 4096]].concat();
    assert!(bytes == expected);
    drop(file);
    let file = File::open(mount.raw("disk.raw")).unwrap();
    // The kernel reports the end of a writer after close() has returned, and later still where another test's process has just been
    // forked, which has our files until it is executed. Until then everything counts as data.
    let start = Instant::now();
    let first_data = || rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).unwrap();
    while first_data() == 0 && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(first_data(), 10 * MIB);
    drop(file);
    mount.end();
}

#[test]
fn what_was_synced_is_there_after_a_process_was_killed() {
    if !have_fuse() || !have(&["umount"]) {
        return;
    }
    for (killed, synced) in [(0, 3), (1, 5), (1, 14)] {
        let folder = scratch();
        let (image, child) = (base(folder.path(), "64M", &[]), folder.path().join("fix.vhdx"));
        let overlay = ["--overlay", child.to_str().unwrap()];
        let mount = Mount::new(&overlay, &image, folder.path().join("m"));
        let process = processes(&mount.at)[killed];
        let file = writable(&mount.raw("disk.raw")).unwrap();
        let place = |round: u64, write: u64| (round * 7 + write * 11) % 61 * MIB + round * 65536;
        let bytes = |round: u64| vec![u8::try_from(round + 1).unwrap(); 20_000];
        for round in 0..=synced {
            for write in 0..4 {
                file.write_all_at(&bytes(round), place(round, write)).unwrap();
            }
            if round < synced {
                file.sync_all().unwrap();
            }
        }
        run(tool("kill").args(["-9", &process.to_string()]));
        drop((file, mount));
        // Not before the files are free again.
        let again = folder.path().join("again");
        fs::create_dir(&again).unwrap();
        while !vhdmount()
            .arg("-q")
            .args(overlay)
            .arg(&image)
            .arg(&again)
            .output()
            .is_ok_and(|out| matches!(out.status.code(), Some(0 | 7)))
        {}
        let mut mount = Mount::at(again);
        let file = File::open(mount.raw("disk.raw")).unwrap();
        for (round, write) in (0..synced).flat_map(|round| (0..4).map(move |write| (round, write))) {
            let mut found = vec![0; 20_000];
            file.read_exact_at(&mut found, place(round, write)).unwrap();
            assert!(found == bytes(round), "{round} {write}");
        }
        drop(file);
        mount.end();
        run(vhdmount().args(["check", "-q"]).arg(&child));
    }
}

#[test]
fn all_or_nothing_is_published_at_the_unmount() {
    if !have_fuse() || !have(&["umount"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "64M", &[]), folder.path().join("fix.vhdx"));
    let options = ["--publish", "unmount", "--overlay", child.to_str().unwrap()];
    let read = || run(vhdmount().args(["cat"]).arg(&child).arg(".vhdmount/disk.raw")).stdout[4096];
    for (byte, is_killed, expected) in [(1, false, 1), (2, true, 1), (3, false, 3)] {
        let mut mount = Mount::new(&options, &image, folder.path().join("m"));
        let process = processes(&mount.at)[1];
        let file = writable(&mount.raw("disk.raw")).unwrap();
        file.write_all_at(&[byte; 8192], 0).unwrap();
        file.sync_all().unwrap();
        if is_killed {
            run(tool("kill").args(["-9", &process.to_string()]));
            drop(file);
            let gone = || fs::read_dir(&mount.at).is_ok_and(|mut entries| entries.next().is_none());
            while !gone() {}
        } else {
            drop(file);
            mount.end();
        }
        assert_eq!(read(), expected);
    }
}

#[test]
fn full_host_is_an_error_of_the_write_and_nothing_accepted_is_lost() {
    if !have_fuse() || !have(&["umount"]) {
        return;
    }
    let Some(host) = Host::ext4(240) else { return };
    let (image, child) = (base(&host.path(""), "1G", &[]), host.path("fix.vhdx"));
    let overlay = ["--overlay", child.to_str().unwrap()];
    let mut mount = Mount::new(&overlay, &image, host.outside().join("m"));
    let file = writable(&mount.raw("disk.raw")).unwrap();
    let (mut written, piece) = (0, vec![9; 1 << 20]);
    let error = loop {
        match file.write_all_at(&piece, written) {
            Ok(()) => written += MIB,
            Err(error) => break error,
        }
        assert!(written < 400 * MIB, "nothing was refused");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    file.sync_all().unwrap();
    drop(file);
    mount.end();
    let mut cat =
        vhdmount().arg("cat").arg(&child).arg(".vhdmount/disk.raw").stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut found) = (cat.stdout.take().unwrap(), vec![0; 1 << 20]);
    for _ in 0..written / MIB {
        std::io::Read::read_exact(&mut out, &mut found).unwrap();
        assert!(found == piece);
    }
    drop(out);
    let _ = cat.wait();
}

#[test]
fn options_of_writing_say_what_they_need() {
    let folder = scratch();
    let image = base(folder.path(), "16M", &[]);
    let refused = |options: &[&str]| {
        let output = vhdmount().args(options).arg(&image).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (options, reason) in [
        (&["-o", "rw"][..], "--overlay CHILD"),
        (&["--publish", "sync"], "--in-place"),
        (&["--in-place", "--no-replay"], "--no-replay"),
        (&["-o", "overlay=x,in_place"], "one of the two"),
        (&["-o", "in_place,ro"], "ro"),
        (&["-o", "publish=never,in_place"], "5s"),
        (&["--in-place", "--overlay", "x"], "cannot be used with"),
    ] {
        let text = refused(options);
        assert!(text.contains(reason), "{options:?}: {text}");
    }
}

#[test]
fn signal_publishes_and_unmounts() {
    if !have_fuse() || !have(&["umount"]) {
        return;
    }
    let folder = scratch();
    let image = base(folder.path(), "16M", &[]);
    let mount = Mount::new(&["--in-place"], &image, folder.path().join("m"));
    let [keeper, _] = processes(&mount.at);
    let file = writable(&mount.raw("disk.raw")).unwrap();
    file.write_all_at(&[5; 4096], 4096).unwrap();
    file.sync_all().unwrap();
    let gone = || !Path::new(&format!("/proc/{keeper}")).exists();
    let kill = || run(Command::new("kill").args(["-TERM", &keeper.to_string()]));
    // Files are open: they are served until the second signal.
    kill();
    while fs::read_dir(&mount.at).is_ok_and(|mut entries| entries.next().is_some()) {}
    file.write_all_at(&[6; 4096], 8192).unwrap();
    file.sync_all().unwrap();
    kill();
    while !gone() {}
    let found = run(vhdmount().arg("cat").arg(&image).arg(".vhdmount/disk.raw")).stdout;
    assert!(found[4096..8192] == [5; 4096] && found[8192..12288] == [6; 4096]);
}
