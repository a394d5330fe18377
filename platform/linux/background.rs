//! The background process that serves a mount: forked while the program has one thread, detached from the terminal once
//! the mount is usable, ended by an unmount or a signal.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsFd,
    panic,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};
use vhdmount::tree::Namespace;

use super::{
    MountError, MountOptions,
    pid_file::PidFile,
    session::{Detached, Mounted, Session},
};

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
}

/// What the background process writes to the pipe when the mount is usable and complete. The end of the pipe without a
/// byte means failure.
const READY: u8 = 1;
const READY_INCOMPLETE: u8 = 2;

/// Forks this process.
pub(super) fn fork() -> Result<Side, MountError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count);
    if threads.is_ok_and(|count| count != 1) {
        return Err(MountError::System(
            "cannot go to the background: this process has several threads".into(),
        ));
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| MountError::System(format!("cannot make a pipe: {error}")))?;
    // Output that is still buffered would be printed by both processes.
    let _ = io::stdout().flush();
    // SAFETY: this is the only thread (checked above), so no lock or allocator state is copied half-changed.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Side::Parent(Child { pid: child, ready: reader.into() })),
        Ok(ForkResult::Child) => Ok(Side::Child(Parent { ready: writer.into() })),
        Err(error) => Err(MountError::System(format!("cannot start a background process: {error}"))),
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
    /// Detaches from the terminal and lets the waiting process return.
    pub(super) fn release(mut self, complete: bool) -> Result<(), MountError> {
        let failed = |what: &str, error: io::Error| MountError::System(format!("{what}: {error}"));
        rustix::process::setsid().map_err(|error| failed("cannot start a session", error.into()))?;
        rustix::process::chdir("/")
            .map_err(|error| failed("cannot leave the working directory", error.into()))?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.map_err(|error| failed("/dev/null", error))?;
        let _ = io::stdout().flush();
        rustix::stdio::dup2_stdin(&null)
            .and_then(|()| rustix::stdio::dup2_stdout(&null))
            .and_then(|()| if logs_to_file() { Ok(()) } else { rustix::stdio::dup2_stderr(&null) })
            .map_err(|error| failed("cannot leave the terminal", error.into()))?;
        // The waiting process may have been interrupted; the mount stays, as if that process had returned before.
        let _ = self.ready.write_all(&[if complete { READY } else { READY_INCOMPLETE }]);
        Ok(())
    }
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

/// A mount that this process serves.
pub(super) struct Serving {
    session: Session,
    pid_file: PidFile,
    made_mountpoint: Option<PathBuf>,
    signals: Handle,
}

impl Serving {
    /// Mounts the filesystem, and unmounts it at SIGINT, SIGTERM or SIGHUP.
    pub(super) fn start(options: &MountOptions, fs: Arc<dyn Namespace>) -> Result<Self, MountError> {
        log_panics();
        let session = Session::start(options, fs, Some(std::process::id()))?;
        let pid_file = PidFile::create(options.pid_file.as_deref())?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| MountError::System(format!("cannot receive signals: {error}")))?;
        let handle = signals.handle();
        let mounted = session.mounted();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || on_signals(&mut signals, &mounted))
            .map_err(|error| MountError::System(format!("cannot start a thread: {error}")))?;
        let made_mountpoint = options.remove_mountpoint.then(|| options.mountpoint.clone());
        Ok(Self { session, pid_file, made_mountpoint, signals: handle })
    }

    /// Waits until the filesystem has been unmounted.
    pub(super) fn until_unmounted(self) -> Result<(), MountError> {
        let ended = self.session.wait();
        self.signals.close();
        drop(self.pid_file);
        if let Some(Err(error)) = self.made_mountpoint.map(fs::remove_dir) {
            log::warn!("the mountpoint was made for this mount, but stays: {error}");
        }
        ended.map_err(|error| MountError::System(format!("FUSE: {error}")))
    }
}

/// Handler panics that are logged in full. The kernel repeats a failed read, so a broken file could fill the log.
const MAX_PANICS: usize = 16;

/// Sends a handler's panic to the log, without a backtrace: it fails only its own request.
fn log_panics() {
    let count = AtomicUsize::new(0);
    panic::set_hook(Box::new(move |info| {
        if count.fetch_add(1, Ordering::Relaxed) < MAX_PANICS {
            log::error!("{} (a bug, please report it)", info.to_string().replace('\n', " "));
        }
    }));
}

/// Unmounts at the first signal. If files are open, they stay readable until they are closed or the next signal arrives.
fn on_signals(signals: &mut Signals, mounted: &Mounted) {
    let mut detached = false;
    for signal in signals.forever() {
        if detached {
            log::warn!("ended by a second signal; open files are lost");
            std::process::exit(128 + signal);
        }
        match mounted.detach() {
            Ok(Detached::Ended) => return,
            Ok(Detached::StillOpen) => {
                log::warn!(
                    "unmounted; this process ends when the last open file is closed, or at the next signal"
                );
                detached = true;
            }
            Err(error) => log::error!("{error}"),
        }
    }
}
