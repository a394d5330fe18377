//! Small host volumes of several filesystems on loop devices that can be filled up, and a program that fills them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{demo::vhdmount, have, run, run_mount, scratch, tool};

pub(crate) const MIB: u64 = 1 << 20;

/// A separate mounted volume, unmounted when dropped.
pub(crate) struct Host {
    folder: tempfile::TempDir,
    at: PathBuf,
}

impl Host {
    /// Makes a volume of `mebibytes`; `None`, and SKIPPED, where that is not possible.
    pub(crate) fn new(filesystem: &str, mebibytes: u64, options: &[&str]) -> Option<Self> {
        let make = format!("mkfs.{filesystem}");
        if !have(&[&make, "mount", "umount", "losetup", "qemu-img", "qemu-io"]) {
            return None;
        }
        let folder = folder();
        let (image, at) = (folder.path().join("host.img"), folder.path().join("host"));
        std::fs::File::create(&image).unwrap().set_len(mebibytes * MIB).unwrap();
        run(tool(&make).arg("-q").args(options).arg(&image));
        std::fs::create_dir(&at).unwrap();
        let mounted =
            tool("mount").args(["-o", "loop", "-t", filesystem]).arg(&image).arg(&at).output().unwrap();
        if !mounted.status.success() {
            let problem = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
            unavailable(&format!("{filesystem} on a loop device cannot be mounted here: {problem}"));
            return None;
        }
        Some(Self { folder, at })
    }

    /// An ext4 volume without blocks reserved for root, as which these tests run.
    pub(crate) fn ext4(mebibytes: u64) -> Option<Self> {
        Self::new("ext4", mebibytes, &["-m", "0", "-J", "size=4"])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// A folder on another volume.
    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn remount(&self, options: &str) {
        run(tool("mount").args(["-o", &format!("remount,{options}")]).arg(&self.at));
    }

    /// Creates an image with qemu-img.
    pub(crate) fn create(&self, name: &str, format: &str, options: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        let mut create = tool("qemu-img");
        create.args(["create", "-q", "-f", format]);
        if !options.is_empty() {
            create.args(["-o", options]);
        }
        run(create.arg(&path).arg(size.to_string()));
        self.settle();
        path
    }

    /// Waits until delayed allocation is complete.
    pub(crate) fn settle(&self) {
        run(tool("sync").arg("-f").arg(&self.at));
    }

    /// Allocates space until about `left` bytes are free.
    pub(crate) fn leave(&self, left: u64) {
        // The ballast file has metadata of its own.
        for _ in 0..3 {
            let free = self.free();
            assert!(free >= left, "{free} bytes are free, not {left}");
            let more = (free - left) / 65536 * 65536;
            if more > 0 {
                let size = std::fs::metadata(self.path("ballast")).map_or(0, |file| file.len()) + more;
                run(tool("fallocate").arg("-l").arg(size.to_string()).arg(self.path("ballast")));
                self.settle();
            }
        }
    }

    /// Free bytes according to df.
    pub(crate) fn free(&self) -> u64 {
        let volume = rustix::fs::statvfs(&self.at).unwrap();
        volume.f_bavail * volume.f_frsize
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let unmounted = tool("umount").arg(&self.at).output();
        if !unmounted.is_ok_and(|output| output.status.success()) {
            let _ = tool("umount").arg("-l").arg(&self.at).output();
        }
    }
}

/// In memory if there is plenty: these tests are slow on a disk that waits for each `sync`.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let ample = rustix::fs::statvfs(memory).is_ok_and(|memory| memory.f_bavail * memory.f_frsize > 2 << 30);
    match ample {
        true => tempfile::Builder::new().prefix("vhdmount-test.").tempdir_in(memory).unwrap(),
        false => scratch(),
    }
}

/// Prints SKIPPED for a feature that this machine's kernel lacks, which no installation can change.
pub(crate) fn unavailable(why: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").expect("stderr is open");
}

/// A mount by another program, unmounted when dropped.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    /// Runs `command` with a new folder as its last argument.
    pub(crate) fn new(command: &mut Command, at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        run_mount(command.arg(&at));
        Self(at)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Unmounts and waits until everything is written.
    pub(crate) fn end(self) {}
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = tool("umount").arg(&self.0).output();
        if !unmounted.is_ok_and(|output| output.status.success()) {
            let _ = tool("umount").arg("-l").arg(&self.0).output();
        }
    }
}

/// The output of `vhdmount capacity`.
pub(crate) fn capacity(image: &Path) -> Value {
    let output = run(vhdmount().args(["capacity", "--json"]).arg(image));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    super::demo::only_disk(&report).clone()
}

pub(crate) fn figure(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"))
}

/// Writes `bytes` from `offset` on by qemu-io, in the given steps; returns how many were written before the first
/// failure, which must be that the host is full.
pub(crate) fn write(image: &Path, format: &str, offset: u64, bytes: u64, step: u64) -> u64 {
    let steps = (offset..offset + bytes).step_by(usize::try_from(step).unwrap());
    let outcomes = qemu_io(image, format, steps.map(|at| (at, step.min(offset + bytes - at))));
    // Some writes after the first failure may still find room; only those before it count.
    outcomes.into_iter().map_while(|written| written).sum()
}

/// Writes to each range by qemu-io, whichever writes fail; returns how many bytes were written.
pub(crate) fn write_each(image: &Path, format: &str, ranges: impl Iterator<Item = (u64, u64)>) -> u64 {
    qemu_io(image, format, ranges).into_iter().flatten().sum()
}

/// The result of each write: its bytes, or `None` if the host is full.
fn qemu_io(image: &Path, format: &str, ranges: impl Iterator<Item = (u64, u64)>) -> Vec<Option<u64>> {
    let commands: String = ranges.map(|(at, bytes)| format!("write -P 0x5a {at} {bytes}\n")).collect();
    let mut io = Command::new("qemu-io");
    io.args(["-f", format]).arg(image).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut io = io.spawn().unwrap();
    let mut stdin = io.stdin.take().unwrap();
    // Both pipes are small: qemu-io replies while it still receives commands.
    let asking = std::thread::spawn(move || stdin.write_all(commands.as_bytes()));
    let output = io.wait_with_output().unwrap();
    asking.join().unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let outcome = |line: &str| {
        if let Some((_, rest)) = line.split_once("wrote ") {
            return Some(Some(rest.split('/').next()?.parse().ok()?));
        }
        let failed = line.contains("failed");
        assert!(!failed || line.contains("No space left"), "{line}");
        failed.then_some(None)
    };
    text.lines().filter_map(outcome).collect()
}

/// Fills an image from `offset` on until the host is full, in ever smaller steps; returns how many bytes were written.
pub(crate) fn fill(image: &Path, format: &str, offset: u64, most: u64) -> u64 {
    let mut done = 0;
    for (step, most) in [(MIB, most), (64 << 10, MIB), (4 << 10, 64 << 10), (512, 4 << 10)] {
        done += write(image, format, offset + done, most, step);
    }
    done
}
