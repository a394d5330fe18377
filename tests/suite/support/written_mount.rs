//! Mounts whose raw views are written.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{demo::vhdmount, run, run_mount, tool};

/// A written mount, unmounted when dropped.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
}

impl Mount {
    pub(crate) fn new(options: &[&str], image: &Path, at: PathBuf) -> Self {
        Self::with(vhdmount().args(options), image, at)
    }

    /// Runs a command with options.
    pub(crate) fn with(command: &mut Command, image: &Path, at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        run_mount(command.arg("-q").arg(image).arg(&at));
        Self { at }
    }

    /// One that is there already.
    pub(crate) fn at(at: PathBuf) -> Self {
        Self { at }
    }

    pub(crate) fn raw(&self, name: &str) -> PathBuf {
        self.at.join(".vhdmount").join(name)
    }

    pub(crate) fn end(&mut self) {
        // Another test's child has copies of all open files until it runs its program.
        let mut left = 100;
        while !vhdmount().arg("-u").arg(&self.at).output().unwrap().status.success() {
            left -= 1;
            assert!(left > 0, "{} stays busy", self.at.display());
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = tool("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

pub(crate) fn writable(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The processes of a mount: the one that keeps it, and the one that serves it.
pub(crate) fn processes(at: &Path) -> [u32; 2] {
    let text = xattr::get(at, "user.vhdmount.server_pid").unwrap().unwrap();
    let keeper: u32 = String::from_utf8(text).unwrap().parse().unwrap();
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let named =
        |pid: &u32| fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1);
    let server = children.split_whitespace().map(|pid| pid.parse().unwrap()).find(named).unwrap();
    [keeper, server]
}

/// Writes a partition table in the words of sfdisk.
pub(crate) fn partition(disk: &Path, table: &str) {
    let mut child = tool("sfdisk").arg("-q").arg(disk).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A file on a loop device.
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    pub(crate) fn new(file: &Path) -> Self {
        Self::with(&[], file)
    }

    pub(crate) fn read_only(file: &Path) -> Self {
        Self::with(&["--read-only"], file)
    }

    fn with(options: &[&str], file: &Path) -> Self {
        let output = run(tool("losetup").args(["--find", "--show"]).args(options).arg(file));
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = tool("losetup").args(["-d", &self.0]).output();
    }
}

/// A mounted folder, unmounted when dropped.
pub(crate) struct Volume(pub(crate) PathBuf);

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = tool("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}
