//! Processes that this program starts as copies of itself while it has one thread; and the one in the background, detached from
//! the terminal once the mount is usable.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid},
};

use super::MountError;

/// Which of the two processes this is after [`fork`].
pub(super) enum Side {
    Parent(Child),
    Child(Parent),
}

/// The background process, as seen by the process that the user started.
pub(super) struct Child {
    pid: Pid,
    ready: File,
}

/// The waiting process that the user started, as seen by the background process.
pub(super) struct Parent {
    ready: File,
    released: Arc<AtomicBool>,
}

/// What the background process writes to the pipe when the mount is usable and complete. The end of the pipe without a
/// byte means failure.
const READY: u8 = 1;
const READY_INCOMPLETE: u8 = 2;

/// Starts the background process.
pub(super) fn fork() -> Result<Side, MountError> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| MountError::System(format!("cannot make a pipe: {error}")))?;
    Ok(match copy()? {
        Some(child) => Side::Parent(Child { pid: child, ready: reader.into() }),
        None => Side::Child(Parent { ready: writer.into(), released: Arc::default() }),
    })
}

/// Makes a copy of this process, which has one thread: returns its id, and `None` in the copy.
pub(super) fn copy() -> Result<Option<Pid>, MountError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count);
    if threads.is_ok_and(|count| count != 1) {
        return Err(MountError::System("cannot start another process: this one has several threads".into()));
    }
    // Output that is still buffered would be printed by both processes.
    let _ = io::stdout().flush();
    // SAFETY: this is the only thread (checked above), so no lock or allocator state is copied half-changed.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Some(child)),
        Ok(ForkResult::Child) => Ok(None),
        Err(error) => Err(MountError::System(format!("cannot start another process: {error}"))),
    }
}

impl Child {
    /// Returns when the mount is usable, with whether it is complete, or with the exit status of a background process
    /// that failed.
    pub(super) fn wait_until_usable(mut self) -> Result<bool, MountError> {
        let mut byte = [0];
        if self.ready.read_exact(&mut byte).is_ok() {
            match byte {
                [READY] => return Ok(true),
                [READY_INCOMPLETE] => return Ok(false),
                _ => {}
            }
        }
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Exited(_, status)) => {
                Err(MountError::Reported(u8::try_from(status).unwrap_or(1).max(1)))
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Err(MountError::System(format!("the background process was ended by {signal}")))
            }
            _ => Err(MountError::System("the background process failed".into())),
        }
    }
}

impl Parent {
    /// Set when the waiting process has returned.
    pub(super) fn is_released(&self) -> Arc<AtomicBool> {
        self.released.clone()
    }

    /// Lets the waiting process return.
    pub(super) fn release(mut self, complete: bool) {
        self.released.store(true, Ordering::Relaxed);
        // The waiting process may have been interrupted; the mount stays, as if that process had returned before.
        let _ = self.ready.write_all(&[if complete { READY } else { READY_INCOMPLETE }]);
    }
}

/// Detaches this process from the terminal and the working directory.
pub(super) fn detach_from_terminal() -> Result<(), MountError> {
    let failed = |what: &str, error: io::Error| MountError::System(format!("{what}: {error}"));
    rustix::process::setsid().map_err(|error| failed("cannot start a session", error.into()))?;
    rustix::process::chdir("/")
        .map_err(|error| failed("cannot leave the working directory", error.into()))?;
    close_output().map_err(|error| failed("cannot leave the terminal", error))
}

/// Leaves input and output to other processes, but for a log that goes to a file.
pub(super) fn close_output() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| io::Error::new(error.kind(), format!("/dev/null: {error}")))?;
    let _ = io::stdout().flush();
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    if !logs_to_file() {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}

/// True when standard error goes to a regular file, to which the process goes on logging; a terminal or a pipe would be
/// held open until the unmount.
fn logs_to_file() -> bool {
    rustix::fs::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

/// Makes a path absolute; the path need not exist.
pub(super) fn absolute(path: PathBuf) -> Result<PathBuf, MountError> {
    std::path::absolute(&path).map_err(|error| MountError::System(format!("{}: {error}", path.display())))
}
