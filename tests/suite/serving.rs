//! The process behind a mount: how it ends, what it says where it cannot begin, and that no root is needed.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    self,
    demo::{manifest, outcome, unpack, vhdmount},
    run, scratch, sha256,
};

struct Served {
    at: PathBuf,
    pid: String,
    folder: tempfile::TempDir,
}

/// The demo disk, mounted in the background; `None`, and SKIPPED, where FUSE is missing.
fn serve() -> Option<Served> {
    if !support::have_fuse() {
        return None;
    }
    let folder = scratch();
    let (image, at, pid_file) = (unpack(folder.path()), folder.path().join("mnt"), folder.path().join("pid"));
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&image).arg(&at).arg("--pid-file").arg(&pid_file));
    let pid = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    Some(Served { at, pid, folder })
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = vhdmount().arg("-u").arg(&self.at).output();
    }
}

impl Served {
    fn signal(&self, signal: &str) {
        run(support::tool("kill").arg(signal).arg(&self.pid));
    }

    /// Waits for the program to end; its zombie may stay until somebody reaps it. The kernel has closed the connection
    /// to FUSE only when the last thread is gone: it may outlive the first one, whose state is the process's.
    fn wait_until_ended(&self) {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed() < Duration::from_secs(20), "the server has not ended");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn has_ended(&self) -> bool {
        let process = Path::new("/proc").join(&self.pid);
        let Ok(stat) = fs::read_to_string(process.join("stat")) else { return true };
        let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        zombie && fs::read_dir(process.join("task")).map_or(0, Iterator::count) <= 1
    }
}

#[test]
fn a_dead_mount_is_named_and_cured() {
    let Some(served) = serve() else { return };
    served.signal("-KILL");
    served.wait_until_ended();
    let image = served.folder.path().join("demo.vhdx");
    let (code, _, stderr) = outcome(&vhdmount().arg(&image).arg(&served.at).output().unwrap());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("dead mount") && stderr.contains("vhdmount -u"), "{stderr}");
    run(vhdmount().arg("-u").arg(&served.at));
    assert_eq!(fs::read_dir(&served.at).unwrap().count(), 0);
    let (code, _, stderr) = outcome(&vhdmount().arg("-u").arg(&served.at).output().unwrap());
    assert!(code == Some(3) && stderr.contains("nothing is mounted"), "{stderr}");
}

#[test]
fn a_busy_mount_is_not_unmounted() {
    let Some(served) = serve() else { return };
    let file = File::open(served.at.join(".vhdmount/disk.raw")).unwrap();
    let (code, _, stderr) = outcome(&vhdmount().arg("-u").arg(&served.at).output().unwrap());
    assert!(code == Some(3) && stderr.contains("in use"), "{stderr}");
    file.read_exact_at(&mut [0; 512], 0).unwrap();
}

#[test]
fn a_signal_unmounts_and_leaves_open_files_readable() {
    let Some(served) = serve() else { return };
    let file = File::open(served.at.join(".vhdmount/disk.raw")).unwrap();
    served.signal("-TERM");
    let start = Instant::now();
    while fs::read_dir(&served.at).unwrap().count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "still mounted");
        thread::sleep(Duration::from_millis(10));
    }
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 512).unwrap();
    assert_eq!(&sector[..8], b"EFI PART");
    drop(file);
    served.wait_until_ended();
    assert!(!served.folder.path().join("pid").exists(), "the pid file is removed");
}

/// Runs a script in a mount namespace of its own, as root; `None` where that is not possible.
fn isolated(script: &str, arguments: &[&Path]) -> Option<std::process::Output> {
    let may =
        Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        support::skip("no right to a mount namespace");
        return None;
    }
    Some(Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).args(arguments).output().unwrap())
}

/// The program and the demo disk where every user can read them.
fn public(folder: &Path) -> (PathBuf, PathBuf) {
    let program = folder.join("vhdmount");
    fs::copy(env!("CARGO_BIN_EXE_vhdmount"), &program).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    (program, unpack(folder))
}

#[test]
fn users_mount_through_fusermount3() {
    if !support::have_fuse() || !support::have(&["fusermount3", "setpriv", "unshare"]) {
        return;
    }
    let folder = scratch();
    let (program, image) = public(folder.path());
    let row = manifest().into_iter().find(|row| row.kind == "file").unwrap();
    let script = r#"
        set -e
        mknod "$4/fuse" c 10 229 && chmod 666 "$4/fuse" && mount --bind "$4/fuse" /dev/fuse
        mkdir "$4/mnt" && chown 65534:65534 "$4/mnt"
        user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        user "$1" -q "$2" "$4/mnt"
        user cat "$4/mnt/$3"
        user "$1" -u "$4/mnt"
        test -z "$(ls "$4/mnt")"
    "#;
    let arguments = [program.as_path(), &image, Path::new(&row.path), folder.path()];
    let Some(output) = isolated(script, &arguments) else { return };
    let (code, _, stderr) = outcome(&output);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(sha256(&output.stdout), row.sha256);
}

#[test]
fn without_the_fuse_device_the_error_says_what_to_do() {
    let folder = scratch();
    let (program, image) = public(folder.path());
    let script = r#"mount -t tmpfs none /dev && mkdir "$3/mnt" && "$1" "$2" "$3/mnt""#;
    let Some(output) = isolated(script, &[&program, &image, folder.path()]) else { return };
    let (code, _, stderr) = outcome(&output);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("--device /dev/fuse") && stderr.contains("vhdmount info"), "{stderr}");
}
