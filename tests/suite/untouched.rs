//! Reading an image leaves no trace on it: neither in its bytes nor in its times.

use std::{
    fs::{self, File, FileTimes},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    chain::{base, child, put},
    support::{self, demo::vhdmount, run, scratch},
};

/// Older than the last modification, as the kernel updates it even under `relatime`.
fn age(path: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_accessed(old)).unwrap();
}

fn accessed(path: &Path) -> (i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.atime(), metadata.atime_nsec())
}

#[test]
fn no_command_changes_when_an_image_or_its_parent_was_last_read() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let base = base();
    let paths =
        [put(&at("base.vhd"), &base), put(&at("child.vhd"), &child(&base, "base.vhd", 2)), at("plain")];
    fs::write(&paths[2], "x").unwrap();
    paths.iter().for_each(|path| age(path));
    let before = accessed(&paths[0]);
    let _ = fs::read(&paths[2]).unwrap();
    if accessed(&paths[2]) == before {
        support::skip("this filesystem keeps no times of access");
        return;
    }
    for command in ["info", "ls", "check", "capacity", "map"] {
        // What the disk holds is noise: some of them say so.
        vhdmount().arg(command).arg(&paths[1]).output().unwrap();
        assert_eq!([accessed(&paths[0]), accessed(&paths[1])], [before; 2], "{command}");
    }
    vhdmount().args(["capacity", "-r"]).arg(folder.path()).output().unwrap();
    vhdmount().arg("cat").arg(&paths[1]).arg(".vhdmount/disk.raw").output().unwrap();
    vhdmount().arg("cp").arg(&paths[1]).arg(".vhdmount/disk.raw").arg(at("copy")).output().unwrap();
    assert_eq!([accessed(&paths[0]), accessed(&paths[1])], [before; 2]);
    if support::have_fuse() {
        let mountpoint = at("mnt");
        fs::create_dir(&mountpoint).unwrap();
        vhdmount().arg(&paths[1]).arg(&mountpoint).output().unwrap();
        assert_eq!(fs::read(mountpoint.join(".vhdmount/disk.raw")).unwrap().len(), 4 << 20);
        run(vhdmount().arg("-u").arg(&mountpoint));
        assert_eq!([accessed(&paths[0]), accessed(&paths[1])], [before; 2], "a mount");
    }
}
