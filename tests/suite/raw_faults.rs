//! Written mounts on hosts that fail, and in the way of processes that are killed: what was synced before is there, and the overlay opens
//! and is sound.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    demo::{outcome, vhdmount},
    have, have_fuse,
    host::{MIB, Mounted, unavailable},
    mounts, run, scratch, sha256, tool,
    written_mount::{Mount, Volume, processes, writable},
};

/// A dynamic image that holds nothing but a partition.
fn base(folder: &Path, size: &str) -> PathBuf {
    let image = folder.join("base.vhdx");
    run(vhdmount().args(["create", "-q", "--gpt", "--size", size]).arg(&image));
    image
}

/// Bytes that are no zeros, which would take no space.
fn content(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((number * 31 + at as u64 * 7) % 251).unwrap() + 1).collect()
}

/// Content of the disk of an image.
fn read(image: &Path, at: u64, len: usize) -> Vec<u8> {
    let opened = vhdmount::container::open(image, &vhdmount::container::OpenOptions::default()).unwrap();
    vhdmount::bytes::read_vec(&*opened.disk, at, len).unwrap()
}

fn is_sound(image: &Path) {
    let (code, text, errors) = outcome(&vhdmount().args(["check"]).arg(image).output().unwrap());
    assert!(matches!(code, Some(0 | 5)) && !text.contains("ERROR"), "{code:?} {text}{errors}");
}

/// How a host fails when its filesystem has accepted the data already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Its device takes no more, as a thin one that is full.
    Full,
    /// Its device is gone: every request to it fails.
    Gone,
}

/// A host whose device fails.
struct Failing {
    /// Where the device's file is kept: a small filesystem in memory, or another written mount.
    memory: Option<Volume>,
    mount: Option<Mount>,
    folder: tempfile::TempDir,
}

impl Failing {
    fn new(failure: Failure) -> Option<Self> {
        let folder = scratch();
        let at = folder.path().join("device");
        fs::create_dir(&at).unwrap();
        let mut failing = Self { memory: None, mount: None, folder };
        match failure {
            Failure::Full => {
                let mut mount = tool("mount");
                mount.args(["-t", "tmpfs", "-o", "size=60m", "tmpfs"]);
                if !mount.arg(&at).output().unwrap().status.success() {
                    unavailable("tmpfs cannot be mounted here");
                    return None;
                }
                failing.memory = Some(Volume(at.clone()));
                File::create(at.join("host.img")).unwrap().set_len(300 * MIB).unwrap();
            }
            Failure::Gone => {
                let image = failing.folder.path().join("host.img");
                File::create(&image).unwrap().set_len(300 * MIB).unwrap();
                failing.mount = Some(Mount::new(&["--in-place"], &image, at));
            }
        }
        run(tool("mkfs.ext4").args(["-q", "-F", "-m", "0", "-J", "size=4"]).arg(failing.image()));
        Some(failing)
    }

    fn image(&self) -> PathBuf {
        match &self.mount {
            Some(mount) => mount.raw("disk.raw"),
            None => self.folder.path().join("device/host.img"),
        }
    }

    fn mount(&self) -> Mounted {
        Mounted::new(tool("mount").args(["-o", "loop"]).arg(self.image()), self.folder.path().join("host"))
    }

    fn fail(&self) {
        if let Some(mount) = &self.mount {
            run(tool("kill").args(["-9", &processes(&mount.at)[1].to_string()]));
        }
    }

    /// The device works again, and the filesystem is what a restart makes of it.
    fn mend(&mut self) {
        if let Some(memory) = &self.memory {
            run(tool("mount").args(["-o", "remount,size=400m"]).arg(&memory.0));
        }
        if let Some(mount) = self.mount.take() {
            let at = mount.at.with_file_name("again");
            drop(mount);
            let image = self.folder.path().join("host.img");
            self.mount = Some(mounted_again(&["--in-place"], &image, at));
        }
        let checked = tool("e2fsck").args(["-fy"]).arg(self.image()).output().unwrap();
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
    }
}

#[test]
fn device_of_the_host_that_fails_ends_the_writing_and_what_was_synced_is_there() {
    if !have_fuse() || !have(&["mount", "umount", "mkfs.ext4", "e2fsck", "losetup", "kill"]) {
        return;
    }
    for failure in [Failure::Full, Failure::Gone] {
        let Some(mut failing) = Failing::new(failure) else { return };
        let host = failing.mount();
        let (image, child) = (base(&host.0, "1G"), host.path("fix.vhdx"));
        run(tool("sync").arg("-f").arg(&image));
        let mut mount =
            Mount::new(&["--overlay", child.to_str().unwrap()], &image, failing.folder.path().join("m"));
        let file = writable(&mount.raw("disk.raw")).unwrap();
        let mut synced = 0;
        let error = loop {
            let at = (synced + 1) * 4 * MIB;
            let written = file.write_all_at(&content(synced, 4 << 20), at).and_then(|()| file.sync_all());
            match written {
                Ok(()) => synced += 1,
                Err(error) => break error,
            }
            if synced == 5 {
                failing.fail();
            }
            assert!(synced < 60, "the device never failed");
        };
        assert!(synced > 2, "{failure:?}: {error}");
        // Nothing is written any more; reads go on.
        let again = file.write_all_at(&[1; 4096], 0).and_then(|()| file.sync_all());
        assert!(again.is_err(), "{failure:?}");
        let mut found = vec![0; 4 << 20];
        file.read_exact_at(&mut found, 4 * MIB).unwrap();
        assert!(found == content(0, 4 << 20));
        drop(file);
        mount.end();
        host.end();
        failing.mend();
        let host = failing.mount();
        is_sound(&child);
        for number in 0..synced {
            assert!(read(&child, (number + 1) * 4 * MIB, 4 << 20) == content(number, 4 << 20), "{number}");
        }
        host.end();
        if let Some(mount) = &mut failing.mount {
            mount.end();
        }
    }
}

/// Of a user, or of the filesystem.
#[test]
fn longest_file_of_the_host_ends_the_writing_and_what_was_synced_is_there() {
    if !have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "1G"), folder.path().join("fix.vhdx"));
    // In units of 512 bytes: 100 MiB.
    let script = r#"trap "" XFSZ; ulimit -f 204800; exec "$@""#;
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh"]).arg(vhdmount().get_program()).arg("--overlay").arg(&child);
    let mut mount = Mount::with(&mut limited, &image, folder.path().join("m"));
    let file = writable(&mount.raw("disk.raw")).unwrap();
    let mut synced = 0;
    let error = loop {
        let at = (synced + 1) * 8 * MIB;
        match file.write_all_at(&content(synced, 8 << 20), at).and_then(|()| file.sync_all()) {
            Ok(()) => synced += 1,
            Err(error) => break error,
        }
        assert!(synced < 100, "nothing was refused");
    };
    assert!(synced > 2 && error.kind() != ErrorKind::NotFound, "{synced} {error}");
    drop(file);
    mount.end();
    is_sound(&child);
    for number in 0..synced {
        assert!(read(&child, (number + 1) * 8 * MIB, 8 << 20) == content(number, 8 << 20), "{number}");
    }
}

/// Opens the mount again, as soon as the killed one has let go of the files.
fn mounted_again(options: &[&str], image: &Path, at: PathBuf) -> Mount {
    fs::create_dir_all(&at).unwrap();
    let mut tries = 0;
    loop {
        let output = vhdmount().arg("-q").args(options).arg(image).arg(&at).output().unwrap();
        if matches!(output.status.code(), Some(0 | 7)) {
            return Mount::at(at);
        }
        tries += 1;
        assert!(tries < 1000, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn overlay_survives_processes_that_are_killed_while_programs_write() {
    if !have_fuse() || !have(&["dd", "mkfs.ext4", "e2fsck", "umount", "kill"]) {
        return;
    }
    for (killed, program) in [(0, "dd"), (1, "dd"), (1, "mkfs.ext4")] {
        let folder = scratch();
        let (image, child) = (base(folder.path(), "200M"), folder.path().join("fix.vhdx"));
        let before = sha256(&fs::read(&image).unwrap());
        let options = ["--overlay", child.to_str().unwrap()];
        let mount = Mount::new(&options, &image, folder.path().join("m"));
        let process = processes(&mount.at)[killed];
        let view = mount.raw("p1.raw");
        let file = writable(&view).unwrap();
        file.write_all_at(&content(1, 4 << 20), 150 * MIB).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let taken = || fs::metadata(&child).unwrap().blocks();
        let synced = taken();
        let mut command = tool(program);
        match program {
            "dd" => command.arg("if=/dev/urandom").arg(format!("of={}", view.display())).args([
                "bs=1M",
                "count=120",
                "conv=notrunc,fsync",
            ]),
            _ => command.args(["-q", "-F", "-E", "nodiscard"]).arg(&view).arg("100M"),
        };
        let mut writer = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // In the middle: when something of it has arrived.
        while taken() == synced && writer.try_wait().unwrap().is_none() {}
        run(tool("kill").args(["-9", &process.to_string()]));
        let _ = writer.wait();
        drop(mount);
        let mut mount = mounted_again(&options, &image, folder.path().join("again"));
        let file = File::open(mount.raw("p1.raw")).unwrap();
        let mut found = vec![0; 4 << 20];
        file.read_exact_at(&mut found, 150 * MIB).unwrap();
        assert!(found == content(1, 4 << 20), "{program}: what was synced is lost");
        drop(file);
        run(tool("mkfs.ext4").args(["-q", "-F"]).arg(mount.raw("p1.raw")));
        run(tool("e2fsck").arg("-fn").arg(mount.raw("p1.raw")));
        mount.end();
        run(vhdmount().args(["check", "-q"]).arg(&child));
        assert_eq!(sha256(&fs::read(&image).unwrap()), before, "{program}: the image was changed");
    }
}

#[test]
fn publication_that_is_killed_is_whole_or_nothing() {
    if !have_fuse() || !have(&["umount", "kill"]) {
        return;
    }
    let places = [3, 17, 40, 41, 90].map(|place| place * MIB);
    for (name, file_of_overlay) in [("base.vhdx", "fix.vhdx"), ("base.vhd", "fix.vhd")] {
        let folder = scratch();
        let (image, child) = (folder.path().join(name), folder.path().join(file_of_overlay));
        run(vhdmount().args(["create", "-q", "--size", "100M"]).arg(&image));
        let options = ["--publish", "unmount", "--overlay", child.to_str().unwrap()];
        let head = || {
            let mut head = vec![0; 192 << 10];
            let file = File::open(&child).unwrap();
            let len = file.read_at(&mut head, 0).unwrap();
            head.truncate(len);
            head
        };
        let mut published = 0;
        for round in 1..=6 {
            let mount = mounted_again(&options, &image, folder.path().join("m"));
            let process = processes(&mount.at)[1];
            let file = writable(&mount.raw("disk.raw")).unwrap();
            for place in places {
                file.write_all_at(&content(round, 1 << 20), place).unwrap();
            }
            file.sync_all().unwrap();
            drop(file);
            let before = head();
            let mut unmount = vhdmount().arg("-u").arg(&mount.at).stderr(Stdio::null()).spawn().unwrap();
            // When it has begun, or when a header has changed.
            let mut goes_on = || unmount.try_wait().unwrap().is_none();
            match round % 2 {
                0 => while goes_on() && mounts().contains(&mount.at) {},
                _ => while goes_on() && head() == before {},
            }
            let _ = tool("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
            let _ = unmount.wait();
            drop(mount);
            let mut tries = 0;
            loop {
                let (code, _, errors) = outcome(&vhdmount().arg("recover").arg(&child).output().unwrap());
                if code == Some(0) {
                    break;
                }
                tries += 1;
                assert!(tries < 1000, "{name}: {errors}");
            }
            let now: Vec<u64> = places
                .iter()
                .map(|place| {
                    let found = read(&child, *place, 1 << 20);
                    let all = [0, published, round];
                    let fits = |number: &u64| match number {
                        0 => found.iter().all(|byte| *byte == 0),
                        number => found == content(*number, 1 << 20),
                    };
                    *all.iter().rev().find(|number| fits(number)).expect("one of the sessions")
                })
                .collect();
            assert!(now.iter().all(|number| *number == now[0]), "{name}, round {round}: {now:?}");
            assert!(now[0] == published || now[0] == round, "{name}, round {round}: {now:?}");
            published = now[0];
            run(vhdmount().args(["check", "-q"]).arg(&child));
        }
    }
}

#[test]
fn busy_mount_stays_and_the_end_waits_for_the_last_publication() {
    if !have_fuse() || !have(&["mkfs.ext4", "mount", "umount", "losetup", "fsfreeze", "e2fsck"]) {
        return;
    }
    let folder = scratch();
    let (image, child) = (base(folder.path(), "100M"), folder.path().join("fix.vhdx"));
    let options = ["--overlay", child.to_str().unwrap()];
    let mut mount = Mount::new(&options, &image, folder.path().join("m"));
    let pids = processes(&mount.at);
    let view = mount.raw("p1.raw");
    run(tool("mkfs.ext4").arg("-q").arg(&view));
    let volume = Mounted::new(tool("mount").args(["-o", "loop"]).arg(&view), folder.path().join("volume"));
    fs::write(volume.path("a"), content(2, 3 << 20)).unwrap();
    let busy = || {
        let (code, _, errors) = outcome(&vhdmount().arg("-u").arg(&mount.at).output().unwrap());
        assert!(code != Some(0) && errors.contains("in use"), "{code:?} {errors}");
    };
    busy();
    run(tool("fsfreeze").arg("-f").arg(&volume.0));
    busy();
    run(tool("fsfreeze").arg("-u").arg(&volume.0));
    fs::write(volume.path("b"), content(3, 3 << 20)).unwrap();
    volume.end();
    mount.end();
    for pid in pids {
        let state = fs::read_to_string(format!("/proc/{pid}/stat"));
        assert!(state.is_err() || state.is_ok_and(|text| text.contains(") Z ")), "{pid} goes on");
    }
    let (code, text, _) = outcome(&vhdmount().arg("recover").arg(&child).output().unwrap());
    assert!(code == Some(0) && text.contains("nothing to apply"), "{text}");
    let mount = Mount::new(&options, &image, folder.path().join("m"));
    run(tool("e2fsck").arg("-fn").arg(mount.raw("p1.raw")));
    let volume = Mounted::new(
        tool("mount").args(["-o", "loop"]).arg(mount.raw("p1.raw")),
        folder.path().join("volume"),
    );
    assert!(fs::read(volume.path("a")).unwrap() == content(2, 3 << 20));
    assert!(fs::read(volume.path("b")).unwrap() == content(3, 3 << 20));
    volume.end();
}
