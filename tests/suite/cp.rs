//! `vhdmount cp`: what arrives, what is refused, and how it ends. NTFS volumes beside ntfs-3g are in `ntfs/copy.rs`.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::Path,
    process::Command,
};

use rustix::process::Signal;

use crate::support::{
    demo::{manifest, outcome, unpack, vhdmount},
    halfway::signalled,
    have,
    host::{Host, MIB, Mounted, unavailable},
    run, scratch, sha256, tool,
};

/// Exit code, standard output and standard error of `vhdmount cp ARGUMENTS`.
fn cp(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> (i32, String, String) {
    let (code, out, err) = outcome(&vhdmount().arg("cp").args(arguments).output().unwrap());
    (code.expect("it ends by itself"), out, err)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// An image that is nothing but bytes, to be copied as `.vhdmount/disk.raw`.
fn bytes(path: &Path, len: u64) {
    let file = fs::File::create(path).unwrap();
    let piece = vec![0x55; 1 << 20];
    (0..len / MIB).for_each(|at| file.write_all_at(&piece, at * MIB).unwrap());
    file.set_len(len).unwrap();
}

#[test]
fn the_whole_demo_disk_is_copied_as_its_manifest_says() {
    let folder = scratch();
    let image = unpack(folder.path());
    let dest = folder.path().join("copy");
    let (code, out, err) = cp([&image, Path::new("/"), &dest].into_iter().chain([Path::new("-a")]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("110 files, 5 hard links, 6 symbolic links"), "{out}");
    let mut compared = 0;
    for row in manifest() {
        let path = dest.join(&row.path);
        compared += 1;
        match row.kind {
            "dir" => assert!(fs::symlink_metadata(&path).unwrap().is_dir(), "{path:?}"),
            "link" => assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "{path:?}"),
            "stream" => {
                let (file, stream) = row.path.rsplit_once(':').unwrap();
                let value = xattr::get(dest.join(file), format!("user.{stream}")).unwrap().unwrap();
                assert_eq!(sha256(&value), row.sha256, "{path:?}");
            }
            _ => {
                let content = fs::read(&path).unwrap();
                assert_eq!((content.len() as u64, &*sha256(&content)), (row.size, row.sha256), "{path:?}");
            }
        }
    }
    assert!(compared > 130, "{compared}");
    let mails = fs::metadata(dest.join("p3/Users/Ada/Documents/mail.mbox")).unwrap();
    assert_eq!(mails.nlink(), 5);
    let thin = fs::metadata(dest.join("p3/Users/Ada/Virtual Machines/thin.img")).unwrap();
    assert!(thin.blocks() * 512 < thin.len() / 4, "{} blocks", thin.blocks());
    let system = xattr::get(dest.join("p3/Users/Public/empty.txt"), "user.ntfs_attrib").unwrap().unwrap();
    assert_eq!(system.len(), 4);
    assert_eq!(xattr::get(dest.join("p3"), "user.ntfs_crtime").unwrap().unwrap().len(), 8);
}

#[test]
fn paths_and_destination_are_those_of_cp() {
    let folder = scratch();
    let image = unpack(folder.path());
    let dest = folder.path().join("dest");
    fs::create_dir(&dest).unwrap();
    let at = |name: &str| dest.join(name);
    let copy = |paths: &[&str], dest: &Path| {
        let (code, _, err) =
            cp([Path::new("-r"), &image].into_iter().chain(paths.iter().map(Path::new)).chain([dest]));
        (code, err)
    };
    // Case is the disk's, whatever the user writes.
    assert_eq!(copy(&["P3/users/ada/DOCUMENTS/mail.MBOX", "esp/EFI/boot"], &dest).0, 0);
    assert_eq!(names(&dest), ["Boot", "mail.mbox"]);
    assert_eq!(copy(&["p3/Users/Ada/Downloads"], &at("renamed")).0, 0);
    assert_eq!(names(&at("renamed")), ["cat.jpg"]);
    assert_eq!(copy(&["p3/Users/Ada/Downloads/."], &at("Boot")).0, 0);
    assert_eq!(names(&at("Boot")), ["bootx64.efi", "cat.jpg"]);
    assert_eq!(copy(&["p3/Users/Ada/Downloads/cat.jpg:Zone.Identifier"], &at("zone")).0, 0);
    assert_eq!(fs::metadata(at("zone")).unwrap().len(), 63);
    // A link that is named is followed, a link that is found is not.
    assert_eq!(copy(&["p3/Documents and Settings"], &at("followed")).0, 0);
    assert!(fs::symlink_metadata(at("followed")).unwrap().is_dir());
    assert!(fs::symlink_metadata(at("followed/Ada/Documents/Thesis.txt")).unwrap().is_symlink());
    for (paths, dest, code, part) in [
        (&["p3/Users", "p3/Windows"][..], at("nowhere"), 3, "into an existing directory"),
        (&["p3/Users"], at("nowhere/below"), 3, "nowhere"),
        (&["p3/Users"], at("mail.mbox"), 3, "no directory"),
        (&["p3/Users/Ada/Downloads/cat.jpg"], at("new/"), 3, "no such directory"),
        (&["p3/Users/Ada", "p3/Users/Ada/."], at("nowhere"), 3, "into an existing directory"),
        (&["p3/missing", "p3/Users/Public"], dest.clone(), 4, "missing"),
        (&["p1/EFI", "esp/EFI"], dest.clone(), 4, "same name"),
    ] {
        let (got, err) = copy(paths, &dest);
        assert!(got == code && err.contains(part), "{paths:?} {dest:?}: {got} {err}");
    }
    // What could be found was copied all the same.
    assert!(at("Public/empty.txt").is_file() && at("EFI").is_dir());
    let (code, _, err) = cp([&image, Path::new("p3/Users"), &dest]);
    assert!(code == 4 && err.contains("-r copies it"), "{err}");
}

#[test]
fn nothing_that_is_there_is_replaced_unless_asked_for() {
    let folder = scratch();
    let image = unpack(folder.path());
    let dest = folder.path().join("dest");
    fs::create_dir_all(dest.join("Ada/Downloads/cat.jpg")).unwrap();
    fs::create_dir_all(dest.join("Ada/Documents")).unwrap();
    let (mine, linked) = (dest.join("Ada/Documents/READ ME FIRST.txt"), folder.path().join("linked"));
    fs::write(&mine, "mine").unwrap();
    fs::write(&linked, "linked").unwrap();
    symlink(&linked, dest.join("Ada/Documents/mail.mbox")).unwrap();
    let copy = |option: &str| cp([Path::new(option), &image, Path::new("p3/Users/Ada"), &dest]);

    let (code, _, err) = copy("-r");
    assert_eq!(code, 4);
    for part in ["READ ME FIRST.txt: exists (-f", "mail.mbox: exists", "cat.jpg: is a directory", "3 entries"]
    {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert!(dest.join("Ada/Documents/Thesis (final) v7.txt").is_file());

    let (code, out, err) = copy("-rn");
    assert!(code == 0 && err.is_empty() && out.contains("there already"), "{out}{err}");
    assert_eq!(fs::read(&mine).unwrap(), b"mine");

    let (code, _, err) = copy("-rf");
    assert!(code == 4 && err.contains("cat.jpg: is a directory") && err.contains("1 entry"), "{err}");
    assert_eq!(fs::metadata(&mine).unwrap().len(), 478);
    // The link was replaced, not what it leads to.
    assert_eq!(fs::read(&linked).unwrap(), b"linked");
    assert!(fs::symlink_metadata(dest.join("Ada/Documents/mail.mbox")).unwrap().is_file());

    let before = sha256(&fs::read(&image).unwrap());
    let (code, _, err) = cp([Path::new("-f"), &image, Path::new("p3/Users/Public/empty.txt"), &image]);
    assert!(code == 4 && err.contains("is the image itself"), "{err}");
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
}

#[test]
fn a_link_in_the_destination_is_never_followed() {
    let folder = scratch();
    let image = unpack(folder.path());
    let (dest, outside) = (folder.path().join("dest"), folder.path().join("outside"));
    fs::create_dir_all(dest.join("Users/Ada")).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, dest.join("Users/Ada/Documents")).unwrap();
    symlink(&outside, dest.join("Users/Public")).unwrap();
    for option in ["-r", "-rf", "-rn"] {
        let (code, _, err) = cp([Path::new(option), &image, Path::new("p3/Users"), &dest]);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains("Public exists and is no directory; nothing in it is copied"), "{err}");
        assert_eq!(names(&outside), [""; 0]);
    }
    assert!(dest.join("Users/Ada/Downloads/cat.jpg").is_file());
}

#[test]
fn a_full_destination_ends_it_with_nothing_by_half() {
    let Some(host) = Host::ext4(24) else { return };
    let folder = scratch();
    let image = folder.path().join("bytes");
    bytes(&image, 64 * MIB);
    let raw = Path::new(".vhdmount/disk.raw");
    let (code, _, err) = cp([&image, raw, &host.path("")]);
    assert!(code == 3 && err.contains("no more space"), "{code} {err}");
    assert_eq!(names(&host.path("")), ["lost+found"]);
    // Small files that went before stay, and are whole.
    let demo = unpack(folder.path());
    host.leave(MIB);
    let (code, _, err) = cp([Path::new("-r"), &demo, Path::new("p3/."), &host.path("")]);
    assert!(code == 3 && err.contains("copied so far"), "{code} {err}");
    for row in manifest().iter().filter(|row| row.kind == "file" && row.path.starts_with("p3/")) {
        if let Ok(content) = fs::read(host.path(&row.path[3..])) {
            assert_eq!(sha256(&content), row.sha256, "{}", row.path);
        }
    }
    run(tool("find").arg(host.path("")).args(["-name", "*.part", "-exec", "false", "{}", "+"]));
}

#[test]
fn fat_as_the_destination_gets_what_it_can_hold() {
    if !have(&["mkfs.fat", "mount", "umount"]) {
        return;
    }
    let folder = scratch();
    let volume = folder.path().join("fat.img");
    fs::File::create(&volume).unwrap().set_len(64 * MIB).unwrap();
    run(tool("mkfs.fat").args(["-F", "32"]).arg(&volume));
    let mut mount = tool("mount");
    mount.args(["-o", "loop,utf8", "-t", "vfat"]).arg(&volume);
    let at = folder.path().join("fat");
    fs::create_dir(&at).unwrap();
    let tried = mount.arg(&at).output().unwrap();
    if !tried.status.success() {
        let problem = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
        return unavailable(&format!("FAT on a loop device cannot be mounted here: {problem}"));
    }
    let fat = Mounted(at);
    let large = folder.path().join("large");
    fs::File::create(&large).unwrap().set_len(5 << 30).unwrap();
    let (code, _, err) = cp([&large, Path::new(".vhdmount/disk.raw"), &fat.0]);
    assert!(code == 4 && err.contains("(FAT) keeps at most 4294967295"), "{code} {err}");
    // No hard links, no symbolic links there.
    let demo = unpack(folder.path());
    let (code, _, err) = cp([Path::new("-r"), &demo, Path::new("p3/Users/Ada/Documents"), &fat.0]);
    assert!(code == 4 && err.contains("Thesis.txt") && err.contains("1 entry"), "{err}");
    assert!(err.contains("makes no hard link"), "{err}");
    let backup = fat.path("Documents/Backup");
    let mails = names(&backup);
    assert_eq!(mails.len(), 4);
    let first = manifest().into_iter().find(|row| row.path.ends_with("mail.mbox")).unwrap();
    for mail in mails {
        assert_eq!(sha256(&fs::read(backup.join(mail)).unwrap()), first.sha256);
    }
    // A name that FAT does not take.
    let named = folder.path().join("named");
    fs::create_dir(&named).unwrap();
    let stream = "p3/Users/Ada/Downloads/cat.jpg:Zone.Identifier";
    let (code, _, err) = cp([&demo, Path::new(stream), &fat.0]);
    assert!(code == 0 && err.contains("does not take its name"), "{code} {err}");
    assert!(fat.path("cat.jpg\u{f03a}Zone.Identifier").is_file());
}

/// Within what ext4 takes, and beyond what it takes with small blocks and without extents.
const LARGE: u64 = 1 << 40;

/// What a file may be there is found out, and whose limit it is.
#[test]
fn a_file_too_large_for_the_destination_names_the_limit() {
    let folder = scratch();
    let (large, small) = (folder.path().join("large"), folder.path().join("small"));
    fs::File::create(&large).unwrap().set_len(LARGE).unwrap();
    bytes(&small, MIB);
    let raw = Path::new(".vhdmount/disk.raw");
    if let Some(host) = Host::new("ext4", 16, &["-O", "^extents,^64bit,^metadata_csum", "-b", "1024"]) {
        // Three levels of blocks of 256 numbers each, and 12 direct ones.
        let limit: u64 = (12 + 256 + (256 << 8) + (256 << 16)) * 1024;
        let (code, _, err) = cp([&large, raw, &host.path("copy")]);
        assert!(code == 4 && err.contains(&format!("keeps at most {limit} (")), "{code} {err}");
        assert!(err.contains(&format!("{LARGE} bytes long")), "{err}");
        assert_eq!(fs::read_dir(host.path("")).unwrap().count(), 1, "nothing but lost+found is left");
    }
    // The limit of a process, for a file that is written at once and for one in pieces.
    for (image, len, limit) in [(&small, MIB, 512 << 10), (&large, LARGE, 2 << 20)] {
        let dest = folder.path().join("dest");
        let script = format!("ulimit -f {}; exec \"$0\" \"$@\"", limit / 512);
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(vhdmount().get_program()).arg("cp").arg(image).arg(raw).arg(&dest);
        let (code, _, err) = outcome(&shell.output().unwrap());
        let wanted = format!("{len} bytes long, and this process may write files of at most {limit} (");
        assert!(code == Some(4) && err.contains(&wanted) && err.contains("ulimit -f"), "{code:?} {err}");
        assert!(!dest.exists());
    }
}

#[test]
fn an_interrupt_leaves_nothing_by_half() {
    let folder = scratch();
    let (image, dest) = (folder.path().join("bytes"), folder.path().join("dest"));
    bytes(&image, 256 * MIB);
    fs::create_dir(&dest).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        for _ in 0..10 {
            let mut command: Command = vhdmount();
            command.args(["cp", "--threads", "1"]).arg(&image).args([".vhdmount/disk.raw"]).arg(&dest);
            let (code, err, halfway) = signalled(&mut command, &dest, signal);
            if halfway {
                assert_eq!(code, Some(130), "{err}");
                assert!(err.contains("interrupted"), "{err}");
                // Stopped between its last byte and its name it is whole.
                for whole in names(&dest) {
                    assert_eq!(fs::metadata(dest.join(&whole)).unwrap().len(), 256 * MIB, "{whole}");
                    fs::remove_file(dest.join(whole)).unwrap();
                }
                break;
            }
            // Too fast to be stopped halfway: then it was done.
            let _ = fs::remove_file(dest.join("disk.raw"));
        }
    }
}

#[test]
fn help_says_what_it_does_and_wrong_calls_are_refused() {
    let folder = scratch();
    let help = outcome(&run(vhdmount().args(["cp", "--help"]))).1;
    for part in
        ["PATH… DEST", "--no-clobber", "--streams", "--attributes", "Exit codes: 0", "130 interrupted"]
    {
        assert!(help.contains(part), "{part}: {help}");
    }
    for arguments in [&["cp"][..], &["cp", "a"], &["cp", "a", "b"], &["cp", "-n", "-f", "a", "b", "c"]] {
        assert_eq!(vhdmount().args(arguments).output().unwrap().status.code(), Some(1), "{arguments:?}");
    }
    let nowhere = cp([&folder.path().join("none"), Path::new("p3"), folder.path()]);
    assert_eq!(nowhere.0, 2, "{}", nowhere.2);
}
