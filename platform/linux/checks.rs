//! Checks made before mounting, and FUSE's errors explained for the user.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use super::{MountError, is_mounted, mount_table, patience, unmount};

/// Checks the mountpoint and the FUSE device. A directory that is not empty is allowed, as mount(8) does: its content
/// is hidden until the unmount.
pub(super) fn check(mountpoint: &Path) -> Result<(), MountError> {
    let refuse = |problem: &str| Err(MountError::mountpoint(mountpoint, problem));
    if mount_table::find(mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours()) {
        return Err(MountError::mountpoint(mountpoint, occupied(mountpoint)));
    }
    let metadata = match fs::metadata(mountpoint) {
        Ok(metadata) => metadata,
        Err(error) if is_stale(&error) => return Err(MountError::mountpoint(mountpoint, stale(mountpoint))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refuse("does not exist; create it first (mkdir)");
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied && is_mounted(mountpoint) => {
            return refuse("another user has mounted an image here");
        }
        Err(error) => return refuse(&error.to_string()),
    };
    if !metadata.is_dir() {
        return refuse("is not a directory");
    }
    if fs::read_dir(mountpoint).is_ok_and(|mut entries| entries.next().is_some()) {
        log::warn!("{} is not empty: its content is hidden until the unmount", mountpoint.display());
    }
    device()
}

/// The message for a mountpoint that already holds one of our mounts.
pub(super) fn occupied(mountpoint: &Path) -> String {
    if unmount::is_silent(mountpoint) {
        let path = mountpoint.display();
        return format!(
            "an image is mounted here already, and its process does not answer (stopped, or stuck on its storage); \
             vhdmount -u {path} takes that mount away"
        );
    }
    // The kernel caches a dead mount's attributes; statfs has to reach the server.
    let path = mountpoint.to_owned();
    let usage = patience::ask(Duration::from_secs(2), || true, move || rustix::fs::statfs(path).map(|_| ()));
    match usage {
        Some(Err(error)) if is_stale(&error.into()) => stale(mountpoint),
        Some(Err(rustix::io::Errno::ACCESS)) => "another user has mounted an image here".into(),
        _ => "an image is mounted here already; unmount it first (vhdmount -u)".into(),
    }
}

/// True when the serving process has died without unmounting.
pub(super) fn is_stale(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error())
}

/// The message for a dead mount.
pub(super) fn stale(mountpoint: &Path) -> String {
    let path = mountpoint.display();
    format!(
        "a dead mount is left here, its process is gone (transport endpoint is not connected); remove it: \
         vhdmount -u {path}, or fusermount3 -u {path}, or as root umount {path}"
    )
}

fn device() -> Result<(), MountError> {
    let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") else { return Ok(()) };
    let advice = match error.kind() {
        ErrorKind::NotFound => {
            "FUSE is not available: load it with `modprobe fuse`; in a container start that with \
             `--device /dev/fuse --cap-add SYS_ADMIN`"
        }
        ErrorKind::PermissionDenied if rustix::process::geteuid().is_root() => {
            "this container does not let root use it: start it with `--device /dev/fuse --cap-add SYS_ADMIN`"
        }
        ErrorKind::PermissionDenied => "let users in with `chmod 666 /dev/fuse` (as root), or mount as root",
        _ if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            "the container or sandbox forbids it: start it with `--device /dev/fuse --cap-add SYS_ADMIN`"
        }
        _ => "FUSE is not available",
    };
    Err(MountError::Fuse(format!(
        "/dev/fuse: {error}: {advice}. Without a mount, `vhdmount info`, `ls` and `cat` read the image all the same"
    )))
}

/// Turns fuser's failure to mount into a message for the user.
pub(super) fn explain(mountpoint: &Path, error: &io::Error) -> MountError {
    let text = error.to_string();
    let text = text.trim();
    if text.contains("user_allow_other") {
        return MountError::Option(
            "allow_other and allow_root need the line `user_allow_other` in /etc/fuse.conf, unless root mounts".into(),
        );
    }
    match error.kind() {
        // Root asks fusermount3 only where the kernel has refused the mount.
        ErrorKind::NotFound if rustix::process::geteuid().is_root() => MountError::Fuse(
            "mounting is not permitted here; in a container start that with `--cap-add SYS_ADMIN`".into(),
        ),
        // The mountpoint and the device have just been checked, so the missing file is the helper program.
        ErrorKind::NotFound => MountError::Fuse(
            "fusermount3 is not installed, and only root mounts without it: install the package fuse3".into(),
        ),
        ErrorKind::PermissionDenied if text.is_empty() => {
            MountError::Fuse("mounting is not permitted here".into())
        }
        _ if text.is_empty() => MountError::mountpoint(mountpoint, "fusermount3 failed without a reason"),
        _ if text.contains("Operation not permitted") => MountError::Fuse(format!(
            "mounting is not permitted here ({text}); in a container start that with `--cap-add SYS_ADMIN`"
        )),
        _ => MountError::mountpoint(mountpoint, text),
    }
}
