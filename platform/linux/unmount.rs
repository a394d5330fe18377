//! `vhdmount -u`: ends a mount and waits for the serving process.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount as umount2},
    process::Pid,
};

use super::{
    MountError,
    adapter::{NOTE, SERVER_PID},
    checks, connection,
    mount_table::{self, text},
    patience,
};

/// Longest wait for the serving process of a read-only mount. It has nothing to write; one that takes longer is stuck on its storage.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Longest wait for the server to answer from memory.
const MAX_ANSWER: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(5);

/// Unmounts the filesystem at `mountpoint`, also a dead mount. With `wait` it returns after the serving process has
/// ended, so that the image may be moved, written or deleted at once.
///
/// # Errors
/// When the mountpoint holds no mount of ours, the mount is in use, or this user may not unmount it.
pub(crate) fn unmount(mountpoint: &Path, wait: bool) -> Result<(), MountError> {
    let refuse = |problem: String| MountError::mountpoint(mountpoint, problem);
    let entry = mount_table::find(mountpoint).map_err(|error| refuse(error.to_string()))?;
    let Some(entry) = entry else {
        return Err(refuse("nothing is mounted here".into()));
    };
    if !entry.is_ours() {
        return Err(refuse(format!("is mounted as {}, not by vhdmount: use umount", entry.kind)));
    }
    match server_of(&entry.mountpoint) {
        Server::Silent => {
            // Only the server knows whether files are open.
            log::warn!(
                "{}: the serving process does not answer: taken out of the tree; the process may stay",
                text(mountpoint)
            );
            let detached = detach(&entry.mountpoint, true);
            abort(&entry.device);
            detached
        }
        Server::Process(server) if wait => {
            let limit = (!entry.is_writable).then_some(MAX_WAIT);
            let note = entry.is_writable.then(|| note(&entry.mountpoint)).flatten();
            detach(&entry.mountpoint, false)?;
            if let Some(note) = note {
                log::warn!("{}: {note}", text(mountpoint));
            }
            wait_for(server, limit)
        }
        _ => detach(&entry.mountpoint, false),
    }
}

/// Aborts a FUSE connection, so that processes waiting for its server continue with an error. The mount's owner may,
/// where fusectl is mounted. `device`: `0:NUMBER` of the mount.
fn abort(device: &str) {
    let Some((_, number)) = device.split_once(':') else { return };
    let path = format!("/sys/fs/fuse/connections/{number}/abort");
    if let Err(error) = fs::write(&path, "1") {
        log::debug!("{path}: {error}");
    }
}

/// The process that serves a mount.
enum Server {
    Process(Pid),
    /// The mount is dead, or served by a part of a longer program.
    None,
    /// The server is stopped, or stuck on its storage.
    Silent,
}

/// True when the process behind a mount does not reply.
pub(super) fn is_silent(mountpoint: &Path) -> bool {
    matches!(server_of(mountpoint), Server::Silent)
}

fn server_of(mountpoint: &Path) -> Server {
    match ask(mountpoint, MAX_ANSWER, || true) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Server::Silent,
        Err(_) => Server::None,
        Ok(text) => {
            let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            pid.and_then(process).map_or(Server::None, Server::Process)
        }
    }
}

/// The text of [`pid_text`] at a mount, empty where nothing answers; `TimedOut` after `limit`, or as soon as `go_on` returns
/// false.
///
/// Asked by a separate process: a request to a stopped server cannot be cancelled, and the process that waits for it cannot
/// end. A server that asks its own mount has the same reason: killed meanwhile, it would keep /dev/fuse open in the thread that
/// waits, so that the mount could never answer nor fail.
pub(super) fn ask(
    mountpoint: &Path,
    limit: Duration,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<Vec<u8>> {
    if let Ok(program) = std::env::current_exe()
        && !cfg!(test)
    {
        let mut command = Command::new(program);
        match patience::run(command.arg(SERVER_OF).arg(mountpoint), limit, &mut go_on) {
            // The program was replaced or removed while it ran.
            Err(error) if error.kind() != io::ErrorKind::TimedOut => {}
            asked => return asked.map(|output| output.stdout),
        }
    }
    let path = mountpoint.to_owned();
    let asked = patience::ask(limit, go_on, move || pid_text(&path).unwrap_or_default());
    asked.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// The argument with which this program runs itself to find out which process serves the mount at the path that follows.
pub(crate) const SERVER_OF: &str = "--server-of-mount";

/// Prints the server's process id for [`SERVER_OF`].
pub(crate) fn print_server_of(mountpoint: &Path) {
    let _ = io::stdout().write_all(&pid_text(mountpoint).unwrap_or_default());
}

/// The process id of the server as text, `0` for one that serves as a part of a longer program; `None` where nothing answers.
pub(super) fn pid_text(mountpoint: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 16];
    match rustix::fs::getxattr(mountpoint, SERVER_PID, &mut value) {
        Ok(len) => Some(value.get(..len)?.to_vec()),
        Err(rustix::io::Errno::NODATA) => Some(b"0".to_vec()),
        Err(_) => None,
    }
}

/// What a written mount has to say at its end. Its server has just answered.
fn note(mountpoint: &Path) -> Option<String> {
    let mut value = [0; 1024];
    let len = rustix::fs::getxattr(mountpoint, NOTE, &mut value).ok()?;
    String::from_utf8(value.get(..len)?.to_vec()).ok()
}

fn process(pid: i32) -> Option<Pid> {
    // In a container with its own process ids, the id may belong to another process here.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let own = fs::read_to_string("/proc/self/comm").ok()?;
    // As the helper of mount(8) it has the helper's name, of which the kernel keeps 15 bytes.
    let is_known = ["vhdmount", "mount.vhdmount", "mount.fuse.vhdm"].contains(&name.trim_end());
    Pid::from_raw(pid).filter(|pid| (name == own || is_known) && *pid != rustix::process::getpid())
}

/// `limit`: `None` for a server that has something to publish, however long that takes.
fn wait_for(server: Pid, limit: Option<Duration>) -> Result<(), MountError> {
    let start = Instant::now();
    while !has_ended(server) {
        if limit.is_some_and(|limit| start.elapsed() > limit) {
            let pid = server.as_raw_nonzero();
            return Err(MountError::System(format!("unmounted, but process {pid} has not ended after 30 s")));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// True when the process has ended; a zombie counts, since its parent may reap it late.
fn has_ended(process: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())) else {
        return true;
    };
    // The process name before the state may itself contain parentheses and blanks.
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['Z', 'X']))
}

/// Unmounts directly where the kernel permits it, otherwise through fusermount3. `lazy` detaches a busy mount from the
/// tree; files open there stay usable.
pub(super) fn detach(mountpoint: &Path, lazy: bool) -> Result<(), MountError> {
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match umount2(mountpoint, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(MountError::Busy(text(mountpoint))),
        Err(Errno::PERM) => through_fusermount(mountpoint, lazy),
        Err(error) => Err(MountError::mountpoint(mountpoint, io::Error::from(error).to_string())),
    }
}

fn through_fusermount(mountpoint: &Path, lazy: bool) -> Result<(), MountError> {
    let output = fusermount(mountpoint, lazy).map_err(|error| {
        MountError::Fuse(format!("fusermount3: {error}; install the package fuse3, or unmount as root"))
    })?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false if said.contains("busy") => Err(MountError::Busy(text(mountpoint))),
        false if said.contains("not found in") => Err(MountError::mountpoint(
            mountpoint,
            "another user has mounted it: unmount it as that user, or as root",
        )),
        false if said.is_empty() => Err(MountError::mountpoint(mountpoint, checks::stale(mountpoint))),
        false => Err(MountError::mountpoint(mountpoint, said)),
    }
}

fn fusermount(mountpoint: &Path, lazy: bool) -> io::Result<Output> {
    let mut command = Command::new(connection::fusermount()?);
    command.arg("-u").args(lazy.then_some("-z")).arg("--").arg(mountpoint).env("LC_ALL", "C");
    patience::run(&mut command, MAX_WAIT, || true)
}
