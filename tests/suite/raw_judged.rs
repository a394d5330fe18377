//! What other programs find in disks and volumes that were written through raw views: fio reads back what it wrote, filesystems of the
//! kernel are sound, a hive that hivex has changed is read.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    have, have_fuse,
    host::{MIB, Mounted},
    run, scratch, sha256, tool,
    written_mount::{Loop, Mount, partition, writable},
};

fn base(folder: &Path, size: &str, more: &[&str]) -> PathBuf {
    let image = folder.join("base.vhdx");
    run(vhdmount().args(["create", "-q", "--size", size]).args(more).arg(&image));
    image
}

/// Random writes whose content says where it belongs, and reads of all of them.
fn fio(file: &Path, size: &str, only_read: bool) {
    let mut command = tool("fio");
    command
        .args([
            "--name=verify",
            "--rw=randwrite",
            "--bsrange=512-64k",
            "--bs_unaligned=0",
            "--ioengine=psync",
        ])
        .args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--norandommap=0", "--randseed=7"])
        .args(["--allow_file_create=0", "--fallocate=none", "--overwrite=1", "--end_fsync=1"])
        .arg(format!("--size={size}"))
        .arg(format!("--filename={}", file.display()))
        .args(only_read.then_some("--verify_only=1"));
    // Its state of the verification would land in this folder.
    run(command.arg("--verify_state_save=0").stdout(Stdio::null()));
}

#[test]
fn fio_reads_back_what_it_wrote() {
    if !have_fuse() || !have(&["fio"]) {
        return;
    }
    for (name, child) in [("base.vhdx", "fix.vhdx"), ("base.vhd", "fix.vhd")] {
        let folder = scratch();
        let (image, child) = (folder.path().join(name), folder.path().join(child));
        run(vhdmount().args(["create", "-q", "--gpt", "--size", "40M"]).arg(&image));
        let before = sha256(&fs::read(&image).unwrap());
        for (publish, view, size) in
            [("sync", "disk.raw", "40M"), ("unmount", "disk.raw", "40M"), ("sync", "p1.raw", "24M")]
        {
            // The first one writes over the partition table.
            if view == "p1.raw" {
                fs::remove_file(&child).unwrap();
            }
            let options = ["--publish", publish, "--overlay", child.to_str().unwrap()];
            let mut mount = Mount::new(&options, &image, folder.path().join("m"));
            fio(&mount.raw(view), size, false);
            mount.end();
            run(vhdmount().args(["check", "-q"]).arg(&child));
            if view == "p1.raw" {
                let mut mount = Mount::new(&options, &image, folder.path().join("m"));
                fio(&mount.raw(view), size, true);
                mount.end();
            }
        }
        assert_eq!(sha256(&fs::read(&image).unwrap()), before);
    }
}

#[test]
fn xfs_and_btrfs_are_sound() {
    let tools =
        ["sfdisk", "mkfs.xfs", "xfs_repair", "mkfs.btrfs", "btrfs", "mount", "umount", "losetup", "7z"];
    if !have_fuse() || !have(&tools) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "600M", &[]), folder.path().join("fix.vhdx"));
    let options = ["--overlay", child.to_str().unwrap()];
    let mut mount = Mount::new(&options, &image, folder.path().join("m"));
    partition(&mount.raw("disk.raw"), "label: gpt\nsize=320M\nsize=200M\n");
    mount.end();
    let mut mount = Mount::new(&options, &image, folder.path().join("m"));
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    for number in 0..200_u32 {
        let byte = u8::try_from(number).unwrap();
        fs::write(from.join(format!("file{number}")), vec![byte; 1 + number as usize * 397]).unwrap();
    }
    let check = |name: &str, device: &Loop| {
        let mut command = tool(name);
        match name {
            "btrfs" => command.args(["check", "--force"]),
            _ => command.arg("-n"),
        };
        run(command.arg(&device.0).stderr(Stdio::null()));
    };
    let volumes = [("p1.raw", "mkfs.xfs", "xfs_repair"), ("p2.raw", "mkfs.btrfs", "btrfs")];
    for (view, make, checker) in volumes {
        let device = Loop::new(&mount.raw(view));
        run(tool(make).arg("-q").arg(&device.0));
        let volume = Mounted::new(tool("mount").arg(&device.0), folder.path().join("volume"));
        run(tool("cp").arg("-r").arg(&from).arg(volume.path("to")));
        for number in (0..200).step_by(3) {
            fs::remove_file(volume.path(&format!("to/file{number}"))).unwrap();
        }
        run(tool("fstrim").arg(&volume.0));
        volume.end();
        check(checker, &device);
    }
    let whole = sha256(&fs::read(mount.raw("disk.raw")).unwrap());
    mount.end();
    run(vhdmount().args(["check", "-q"]).arg(&child));
    let others = run(tool("7z").args(["x", "-so", "-tvhdx"]).arg(&child).stderr(Stdio::null()));
    assert_eq!(sha256(&others.stdout), whole);
    // As the kernel reads them from a mount that is only read.
    let mount = Mount::new(&[], &child, folder.path().join("m"));
    for (view, _, checker) in volumes {
        let device = Loop::read_only(&mount.raw(view));
        check(checker, &device);
        let volume =
            Mounted::new(tool("mount").args(["-o", "ro"]).arg(&device.0), folder.path().join("volume"));
        for number in 0..200 {
            let name = format!("file{number}");
            match number % 3 {
                0 => assert!(!volume.path("to").join(&name).exists()),
                _ => run(tool("cmp").arg(from.join(&name)).arg(volume.path("to").join(&name)))
                    .status
                    .success()
                    .then_some(())
                    .unwrap(),
            }
        }
        volume.end();
    }
}

#[test]
fn hivex_changes_a_hive_on_ntfs() {
    if !have_fuse() || !have(&["ntfs-3g", "hivexsh", "hivexget", "umount", "ntfsfix"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (unpack(folder.path()), folder.path().join("fix.vhdx"));
    let before = sha256(&fs::read(&image).unwrap());
    let mut mount = Mount::new(&["--overlay", child.to_str().unwrap()], &image, folder.path().join("m"));
    let view = mount.raw("p3.raw");
    let volume = Mounted::new(tool("ntfs-3g").arg(&view), folder.path().join("volume"));
    let hive = volume.path("Windows/System32/config/SOFTWARE");
    let script = folder.path().join("script");
    fs::write(&script, "cd Microsoft\nadd Servicing\ncd Servicing\nsetval 1\nBy\nstring:vhdmount\ncommit\n")
        .unwrap();
    run(tool("hivexsh").arg("-w").arg("-f").arg(&script).arg(&hive));
    volume.end();
    run(tool("ntfsfix").arg("-n").arg(&view).stdout(Stdio::null()));
    // The directory shows it as soon as the view is closed, and the overlay by itself.
    let seen = mount.at.join("p3/Windows/System32/config/SOFTWARE");
    let value = |hive: &Path| run(tool("hivexget").arg(hive).arg(r"\Microsoft\Servicing").arg("By")).stdout;
    assert_eq!(value(&seen), b"vhdmount\n");
    mount.end();
    let copy = folder.path().join("copy");
    let hive = "p3/Windows/System32/config/SOFTWARE";
    run(vhdmount().arg("cat").arg(&child).arg(hive).stdout(File::create(&copy).unwrap()));
    assert_eq!(value(&copy), b"vhdmount\n");
    let (_, text, _) = outcome(&vhdmount().arg("diff").arg(&child).output().unwrap());
    assert!(text.contains("p3/Windows/System32/config/SOFTWARE"), "{text}");
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
}

#[test]
fn what_a_running_mount_has_not_published_is_said() {
    if !have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "200M", &["--gpt"]), folder.path().join("fix.vhdx"));
    let options = ["--publish", "unmount", "--overlay", child.to_str().unwrap()];
    let mut mount = Mount::new(&options, &image, folder.path().join("m"));
    let used = || {
        let text = fs::read_to_string(mount.at.join(".capacity")).unwrap();
        assert!(text.contains("virtual_size"), "{text}");
        text
    };
    let empty = used();
    let file = writable(&mount.raw("disk.raw")).unwrap();
    file.write_all_at(&vec![7; 30 << 20], 20 * MIB).unwrap();
    file.sync_all().unwrap();
    drop(file);
    // A name leads to the same text for a moment.
    while used() == empty {}
    assert!(used().contains("A publish is pending: 3"), "{}", used());
    for command in ["info", "capacity", "map", "check"] {
        let (_, text, errors) = outcome(&vhdmount().arg(command).arg(&child).output().unwrap());
        let all = format!("{text}{errors}");
        assert!(
            all.contains("being written by") && all.contains("A publish is pending: 3"),
            "{command}: {all}"
        );
    }
    mount.end();
    let (_, text, errors) = outcome(&vhdmount().arg("info").arg(&child).output().unwrap());
    assert!(!format!("{text}{errors}").contains("pending"), "{text}{errors}");
}

#[test]
fn another_partition_table_is_said_at_the_end() {
    if !have_fuse() || !have(&["sfdisk"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "64M", &[]), folder.path().join("fix.vhdx"));
    let options = ["--overlay", child.to_str().unwrap()];
    let mount = Mount::new(&options, &image, folder.path().join("m"));
    partition(&mount.raw("disk.raw"), "label: gpt\nsize=20M\n");
    let (code, _, errors) = outcome(&vhdmount().arg("-u").arg(&mount.at).output().unwrap());
    assert!(code == Some(0) && errors.contains("another partition table now"), "{errors}");
    let mount = Mount::new(&options, &image, folder.path().join("m"));
    let (code, _, errors) = outcome(&vhdmount().arg("-u").arg(&mount.at).output().unwrap());
    assert!(code == Some(0) && errors.is_empty(), "{errors}");
}

#[test]
fn files_of_a_volume_that_the_session_has_made_are_all_added() {
    if !have_fuse() || !have(&["mkfs.fat", "mcopy"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "64M", &["--gpt"]), folder.path().join("fix.vhdx"));
    let mut mount = Mount::new(&["--overlay", child.to_str().unwrap()], &image, folder.path().join("m"));
    run(tool("mkfs.fat").arg(mount.raw("p1.raw")).stdout(Stdio::null()));
    fs::write(folder.path().join("a.txt"), "text").unwrap();
    run(tool("mcopy").arg("-i").arg(mount.raw("p1.raw")).arg(folder.path().join("a.txt")).arg("::a.txt"));
    mount.end();
    let (code, text, errors) = outcome(&vhdmount().arg("diff").arg(&child).output().unwrap());
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("p1/a.txt") && text.contains("unformatted in the parent: 1 added"), "{text}");
    // And the other way round.
    let second = folder.path().join("second.vhdx");
    let mut mount = Mount::new(&["--overlay", second.to_str().unwrap()], &child, folder.path().join("m"));
    let file = writable(&mount.raw("p1.raw")).unwrap();
    file.write_all_at(&vec![0; 4 << 20], 0).unwrap();
    drop(file);
    mount.end();
    let (_, text, _) = outcome(&vhdmount().arg("diff").arg(&second).output().unwrap());
    assert!(text.contains("removed") && text.contains("p1/a.txt"), "{text}");
}
