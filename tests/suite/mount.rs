//! The third ring: real mounts of the demo disk, compared with what other programs read.

use std::{
    collections::BTreeMap,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    self,
    demo::{manifest, outcome, unpack, vhdmount},
    run, scratch, sha256,
};

/// A mount of the demo disk that ends with the test.
struct Mounted {
    image: PathBuf,
    at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mounted {
    /// `None`, and SKIPPED, where FUSE is missing.
    fn new(arguments: &[&str]) -> Option<Self> {
        if !support::have_fuse() {
            return None;
        }
        let folder = scratch();
        let image = unpack(folder.path());
        let at = folder.path().join("mnt");
        std::fs::create_dir(&at).unwrap();
        run(vhdmount().arg(&image).arg(&at).args(arguments));
        Some(Self { image, at, _folder: folder })
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.at.join(inside)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = vhdmount().arg("-u").arg(&self.at).output();
    }
}

fn is_mounted(at: &Path) -> bool {
    support::mounts().iter().any(|mount| mount == at)
}

/// Polls, since processes end when they end.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_file_is_as_in_the_manifest_and_the_image_is_unchanged() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let before = (
        sha256(&std::fs::read(&mounted.image).unwrap()),
        std::fs::metadata(&mounted.image).unwrap().mtime_nsec(),
    );
    for row in manifest() {
        let path = mounted.path(&row.path);
        let metadata = std::fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", row.path));
        match row.kind {
            "dir" => assert!(metadata.is_dir(), "{}", row.path),
            "link" => assert!(metadata.is_symlink(), "{}", row.path),
            _ => {
                assert_eq!(metadata.len(), row.size, "{}", row.path);
                assert_eq!(sha256(&std::fs::read(&path).unwrap()), row.sha256, "{}", row.path);
            }
        }
    }
    let after = (
        sha256(&std::fs::read(&mounted.image).unwrap()),
        std::fs::metadata(&mounted.image).unwrap().mtime_nsec(),
    );
    assert_eq!(before, after);
}

#[test]
fn links_lead_to_what_they_mean() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    for (link, target) in [
        (
            "p3/Documents and Settings/Ada/Documents/READ ME FIRST.txt",
            "p3/Users/Ada/Documents/READ ME FIRST.txt",
        ),
        ("p3/Users/Ada/Documents/Thesis.txt", "p3/Users/Ada/Documents/Thesis (final) v7.txt"),
        ("p3/Users/All Users", "p3/ProgramData"),
        ("esp/EFI/Boot", "p1/EFI/Boot"),
        ("by-label/Windows/Users", "p3/Users"),
    ] {
        let (link, target) = (
            std::fs::metadata(mounted.path(link)).unwrap(),
            std::fs::metadata(mounted.path(target)).unwrap(),
        );
        assert_eq!(link.ino(), target.ino());
    }
}

#[test]
fn raw_views_hold_what_qemu_reads() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let names = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(mounted.path(dir)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(!names("").contains(&".vhdmount".to_owned()), "raw views are not listed");
    assert!(names(".vhdmount").contains(&"disk.raw".to_owned()));
    if support::have(&["qemu-img"]) {
        // Both ends; qemu-img would take a minute for the zeros between them. Its count includes what it skips.
        let raw = std::fs::File::open(mounted.path(".vhdmount/disk.raw")).unwrap();
        let mebibytes = usize::try_from(raw.metadata().unwrap().len() >> 20).unwrap();
        for (skip, count) in [(0, 160), (mebibytes - 8, 8)] {
            let (part, named) = (mounted.image.with_extension("part"), |name: &str, path: &Path| {
                format!("{name}={}", path.display())
            });
            let (from, to) = (named("if", &mounted.image), named("of", &part));
            let numbers = [format!("skip={skip}"), format!("count={}", skip + count)];
            let mut dd = support::tool("qemu-img");
            run(dd.args(["dd", "-f", "vhdx", "-O", "raw", "bs=1M"]).args(numbers).args([from, to]));
            let mut ours = vec![0; count << 20];
            raw.read_exact_at(&mut ours, (skip as u64) << 20).unwrap();
            assert!(std::fs::read(&part).unwrap() == ours, "{count} MiB from {skip} MiB");
        }
    }
    let info: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mounted.path(".vhdmount/info.json")).unwrap()).unwrap();
    assert_eq!((&info["schema"], &info["format"]), (&"info/1".into(), &"vhdx".into()));
}

#[test]
fn streams_and_attributes_are_extended_attributes() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let file = mounted.path("p3/Users/Ada/Downloads/cat.jpg");
    let stream = xattr::get(&file, "user.Zone.Identifier").unwrap().expect("the stream");
    let row = manifest().into_iter().find(|row| row.path.ends_with(":Zone.Identifier")).unwrap();
    assert_eq!(sha256(&stream), row.sha256);
    let names: Vec<_> = xattr::list(&file).unwrap().collect();
    assert!(names.iter().any(|name| name == "user.Zone.Identifier"), "{names:?}");
    assert_eq!(xattr::get(&file, "system.ntfs_attrib").unwrap().map(|value| value.len()), Some(4));
    assert_eq!(xattr::get(&file, "user.none").unwrap(), None);
}

#[test]
fn df_agrees_with_the_capacity_file() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let report: toml::Value =
        toml::from_str(&std::fs::read_to_string(mounted.path(".capacity")).unwrap()).unwrap();
    let df = |path: &str| -> u64 {
        let output = run(support::tool("df").args(["-B1", "--output=avail"]).arg(mounted.path(path)));
        outcome(&output).1.lines().last().unwrap().trim().parse().unwrap()
    };
    let number = |value: &toml::Value| u64::try_from(value.as_integer().unwrap()).unwrap();
    // Other tests use the same host volume meanwhile.
    let near = |a: u64, b: u64| a.abs_diff(b) < 4 << 30;
    assert!(near(df("p3"), number(&report["volume"]["p3"]["free_achievable"])));
    assert!(near(df(""), number(&report["achievable_size"]) - number(&report["backed"])));
}

#[test]
fn an_image_inside_a_mounted_image_has_the_space_of_its_volume() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let report = |output: &[u8]| -> toml::Value { toml::from_slice(output).unwrap() };
    let outer = report(&std::fs::read(mounted.path(".capacity")).unwrap());
    let inner = mounted.path("p3/Users/Ada/Virtual Machines/thin.img");
    let inner = report(&run(vhdmount().arg("capacity").arg(&inner)).stdout);
    let (free, achievable) = (&inner["host_free"], &outer["volume"]["p3"]["free_achievable"]);
    // Other tests use the same host volume meanwhile.
    let apart = free.as_integer().unwrap().abs_diff(achievable.as_integer().unwrap());
    assert!(apart < 4 << 30, "{free:?} and {achievable:?}");
    assert_eq!(inner["status"].as_str(), Some("ok"), "64 MiB on a volume with gigabytes free");
}

#[test]
fn one_partition_is_mounted_as_the_root() {
    let Some(mounted) = Mounted::new(&["-o", "partition=3,umask=027"]) else { return };
    let metadata = std::fs::metadata(mounted.path("Windows/System32")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o750);
    assert!(mounted.path(".capacity").exists());
}

#[test]
fn nothing_can_be_written() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let refused =
        |result: std::io::Result<()>| assert_eq!(result.unwrap_err().raw_os_error(), Some(30), "EROFS");
    refused(std::fs::write(mounted.path("p3/new"), "x"));
    refused(std::fs::remove_file(mounted.path("p3/Users/Public/empty.txt")));
    refused(std::fs::create_dir(mounted.path("p3/dir")));
    refused(std::fs::rename(mounted.path("p3/Users"), mounted.path("p3/U")));
}

#[test]
fn the_same_tree_as_ntfs_3g_shows() {
    if !support::have(&["ntfs-3g", "qemu-img"]) {
        return;
    }
    let Some(mounted) = Mounted::new(&[]) else { return };
    let folder = scratch();
    let (volume, at) = (mounted.path(".vhdmount/p3.raw"), folder.path().join("ntfs"));
    std::fs::create_dir(&at).unwrap();
    // ntfs-3g reads the partition through our raw view: the container is checked against qemu elsewhere.
    let mut ntfs_3g = support::tool("ntfs-3g");
    if !ntfs_3g
        .args(["-o", "ro,streams_interface=none"])
        .arg(&volume)
        .arg(&at)
        .output()
        .unwrap()
        .status
        .success()
    {
        support::skip("ntfs-3g cannot mount here");
        return;
    }
    let (ours, theirs) = (listing(&mounted.path("p3")), listing(&at));
    run(support::tool("umount").arg(&at));
    assert_eq!(ours, theirs);
}

/// Path → kind, size, modification time, link count, hash.
fn listing(root: &Path) -> BTreeMap<String, (u32, u64, i64, i64, u64, String)> {
    let (mut out, mut todo) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let hash = match metadata.is_file() {
                true => sha256(&std::fs::read(&path).unwrap()),
                false => String::new(),
            };
            // Sizes and link counts of directories and links are each program's own affair.
            let (size, links) = if metadata.is_file() { (metadata.len(), metadata.nlink()) } else { (0, 0) };
            let kind = metadata.mode() & 0o170_000;
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            out.insert(name, (kind, size, metadata.mtime(), metadata.mtime_nsec(), links, hash));
            if metadata.is_dir() {
                todo.push(path);
            }
        }
    }
    out
}

#[test]
fn without_a_mountpoint_one_is_made_and_removed() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    unpack(folder.path());
    let pid_file = folder.path().join("pid");
    run(vhdmount().current_dir(folder.path()).arg("demo.vhdx").arg("--pid-file").arg(&pid_file));
    let at = folder.path().join("demo");
    assert!(is_mounted(&at));
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    // A zombie that no process has waited for yet has ended all the same: it has no program any more.
    let runs = || std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    assert!(runs());
    run(vhdmount().arg("-u").arg(&at));
    // A zombie has no program any more; who reaps it may take their time.
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "-u waits for the process");
    assert!(!at.exists(), "the made mountpoint is gone");
}

#[test]
fn mount_8_calls_its_helper() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("mnt"));
    std::fs::create_dir(&at).unwrap();
    let helper = folder.path().join("mount.fuse.vhdmount");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_vhdmount"), &helper).unwrap();
    let call = |arguments: &[&str]| {
        let mut command = Command::new(&helper);
        outcome(&command.arg(&image).arg(&at).args(arguments).output().unwrap())
    };
    // What mount(8) passes for a line of fstab that says neither ro nor rw.
    let (code, stdout, stderr) = call(&["-n", "-s", "-o", "rw,relatime,noauto,x-mount.mkdir,whatever"]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(is_mounted(&at) && stderr.contains("read-only"), "{stderr}");
    assert_eq!(call(&[]).0, Some(32), "mounted already");
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(call(&["-f", "-o", "ro", "-t", "fuse.vhdmount"]).0, Some(0));
    assert!(!is_mounted(&at), "-f mounts nothing");
    assert_eq!(call(&["-o", "whatever"]).0, Some(1));
}

#[test]
fn a_mount_says_how_to_end_it_and_needs_no_listener() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("full of things"));
    std::fs::create_dir(&at).unwrap();
    std::fs::write(at.join("thing"), "").unwrap();
    let (_, stdout, stderr) = outcome(&run(vhdmount().arg(&image).arg(&at)));
    let hint = format!("unmount with: vhdmount -u '{}'\n", at.display());
    assert!(stdout.ends_with(&hint) && stderr.contains("not empty"), "{stdout}{stderr}");
    run(vhdmount().arg("-u").arg(&at));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(vhdmount().arg(&image).arg(&at).stdout(writer).status().unwrap().success());
    run(vhdmount().arg("-u").arg(&at));
}

#[test]
fn the_foreground_ends_with_ctrl_c() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    let at = folder.path().join("mnt");
    std::fs::create_dir(&at).unwrap();
    let mut child = vhdmount().arg("-f").arg(&image).arg(&at).spawn().unwrap();
    wait_for("the mount comes up", || is_mounted(&at));
    run(support::tool("kill").arg("-INT").arg(child.id().to_string()));
    assert!(child.wait().unwrap().success());
    assert!(!is_mounted(&at));
}

#[test]
fn a_failed_mount_fails_the_command_itself() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let image = folder.path().join("noise.vhdx");
    std::fs::write(&image, b"vhdxfile and then nothing of the kind").unwrap();
    let at = folder.path().join("mnt");
    std::fs::create_dir(&at).unwrap();
    let (code, _, stderr) = outcome(&vhdmount().arg(&image).arg(&at).output().unwrap());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(!is_mounted(&at));
}

#[test]
fn eight_readers_at_once_read_the_same() {
    let Some(mounted) = Mounted::new(&[]) else { return };
    let rows: Vec<_> = manifest().into_iter().filter(|row| row.kind == "file").collect();
    std::thread::scope(|scope| {
        for start in 0..8 {
            let (rows, mounted) = (&rows, &mounted);
            scope.spawn(move || {
                for row in rows.iter().cycle().skip(start * 13).take(rows.len()) {
                    assert_eq!(
                        sha256(&std::fs::read(mounted.path(&row.path)).unwrap()),
                        row.sha256,
                        "{}",
                        row.path
                    );
                }
            });
        }
    });
}
