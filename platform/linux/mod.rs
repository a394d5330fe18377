//! Linux: mounts a [`Namespace`] through FUSE, served in the foreground or by a background process, and unmounts it.
//!
//! `keeper` is the process that mounts and unmounts, `server` the confined one that reads the image, `guard` the one that cleans
//! up behind a keeper that was killed, `background` starts them; `sandbox` confines. `connection` makes the mount, `requests`
//! and `adapter` answer the kernel, `prefill` (with `walk_detector` and `prefetcher`) reads ahead of it, `session` holds a
//! mount, `unmount` ends it. `writing` is what a mount has besides whose raw views are written.

mod adapter;
mod attr;
mod background;
mod checks;
mod connection;
mod descriptors;
mod directory;
mod errno;
mod guard;
mod keeper;
mod lock;
mod mount_table;
mod names;
mod options;
mod patience;
mod pid_file;
mod prefetcher;
mod prefill;
#[cfg(test)]
mod random_calls;
mod requests;
pub(crate) mod sandbox;
mod seek;
mod server;
mod session;
mod snapshots;
mod sources;
#[cfg(test)]
mod tests;
mod unmount;
mod walk_detector;
mod writing;
mod xattr;

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use vhdmount::{image::writing::WritableImage, tree::Namespace};

pub(crate) use lock::MountLock;
pub(crate) use sandbox::Restriction;
pub(crate) use session::Session;
pub(crate) use unmount::{SERVER_OF, print_server_of, unmount};
pub(crate) use writing::{Publishing, Reserve};

/// How named streams appear, besides the lookup of `FILE:STREAM`, which always works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Not at all.
    None,
    /// As on Windows: by lookup only.
    Windows,
    /// As extended attributes `user.STREAM`.
    Xattr,
}

/// The options of a mount.
#[derive(Debug, Clone)]
pub(crate) struct MountOptions {
    /// An existing directory.
    pub(crate) mountpoint: PathBuf,
    /// The source in the mount table: the image's path.
    pub(crate) source: OsString,
    /// Serve in this process instead of in a background one.
    pub(crate) foreground: bool,
    /// Let every user access the mount.
    pub(crate) allow_other: bool,
    /// Let root access the mount, besides the user who mounts it.
    pub(crate) allow_root: bool,
    /// The owner of every file.
    pub(crate) uid: u32,
    /// The group of every file.
    pub(crate) gid: u32,
    /// Permission bits cleared from those of files, `r--r--r--`.
    pub(crate) fmask: u16,
    /// Permission bits cleared from those of directories, `r-xr-xr-x`.
    pub(crate) dmask: u16,
    /// Use owner, group and permissions as WSL stored them, for files that have them.
    pub(crate) wsl_metadata: bool,
    /// How named streams appear.
    pub(crate) streams: Streams,
    /// Worker threads; 0 lets the program choose.
    pub(crate) threads: usize,
    /// Bypass the page cache.
    pub(crate) direct_io: bool,
    /// A file for the serving process's id, removed at the end.
    pub(crate) pid_file: Option<PathBuf>,
    /// Log requests, and stay in the foreground whatever `foreground` says.
    pub(crate) debug: bool,
    /// Options for the kernel or fusermount3, passed on (`noatime`, `noexec`, `auto_unmount`, `max_read=…`).
    pub(crate) raw_fuse_options: Vec<String>,
    /// Remove the mountpoint after the unmount: it was created for this mount.
    pub(crate) remove_mountpoint: bool,
    /// The mount is written.
    pub(crate) writable: bool,
    /// The image whose redo file is removed after the unmount, if nothing is in it.
    pub(crate) redo_of: Option<PathBuf>,
    /// The lock on the mountpoint, if the caller created the mountpoint and holds its lock.
    pub(crate) lock: Option<Arc<MountLock>>,
}

impl MountOptions {
    /// A mount for the given owner with default options.
    pub(crate) fn new(mountpoint: PathBuf, source: OsString, uid: u32, gid: u32) -> Self {
        Self {
            mountpoint,
            source,
            foreground: false,
            allow_other: false,
            allow_root: false,
            uid,
            gid,
            fmask: 0,
            dmask: 0,
            wsl_metadata: false,
            streams: Streams::Xattr,
            threads: 0,
            direct_io: false,
            pid_file: None,
            debug: false,
            raw_fuse_options: Vec::new(),
            remove_mountpoint: false,
            writable: false,
            redo_of: None,
            lock: None,
        }
    }
}

/// Why a mount or an unmount failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MountError {
    /// The mountpoint cannot be used.
    #[error("mountpoint {}: {problem}", path.display())]
    Mountpoint {
        /// The mountpoint as the user wrote it.
        path: PathBuf,
        /// The problem, and its remedy.
        problem: String,
    },
    /// FUSE is not available.
    #[error("{0}")]
    Fuse(String),
    /// An option that cannot be honoured.
    #[error("{0}")]
    Option(String),
    /// A file is open below the mountpoint, or a process has its working directory there.
    #[error(
        "{0} is in use: a program has a file open or its working directory in it (fuser -vm {0}); nothing was unmounted"
    )]
    Busy(String),
    /// A failure of the pid file, a pipe or a process.
    #[error("{0}")]
    System(String),
    /// The background process has failed and has printed its error: only its exit status is passed on.
    #[error("the background process ended with status {0}")]
    Reported(u8),
}

impl MountError {
    pub(super) fn mountpoint(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Mountpoint { path: path.into(), problem: problem.into() }
    }
}

/// The content to be mounted, as `prepare` returns it.
pub(crate) struct Prepared {
    /// The content of the mount.
    pub(crate) fs: Arc<dyn Namespace>,
    /// Printed when the mount is usable, and only then.
    pub(crate) announcement: String,
    /// False when the image should hold more than could be mounted; passed on to the caller of [`mount`].
    pub(crate) complete: bool,
    /// What is written; `None` for a mount that is only read.
    pub(crate) written: Option<Written>,
}

/// The image of a mount whose raw views are written.
pub(crate) struct Written {
    pub(crate) image: Arc<WritableImage>,
    pub(crate) publishing: Publishing,
    /// Space on the host for what the kernel accepts; without it programs wait for each write.
    pub(crate) reserve: Option<Arc<Reserve>>,
}

/// Prepares the filesystem, mounts it and serves it until it is unmounted: below this process if `foreground`, otherwise below
/// a background one; this one then returns [`Prepared::complete`] as soon as the mount is usable. `prepare` opens the
/// image; it runs in the serving process, confined by `restriction`, while that still has the terminal. Before that process is confined,
/// `open_written` opens the files that it writes.
///
/// The background processes change to `/`: files that `prepare` opens later must be kept open or named by an absolute
/// path.
///
/// # Errors
/// [`MountError::Reported`] when another process failed and has printed its error (it returns from this function with it
/// and exits as the program does); all others before or during the mount.
pub(crate) fn mount<E: From<MountError>, F>(
    mut options: MountOptions,
    restriction: Option<Restriction>,
    open_written: impl FnOnce() -> Result<F, E>,
    prepare: impl FnOnce(F) -> Result<Prepared, E>,
) -> Result<bool, E> {
    checks::check(&options.mountpoint)?;
    // Before the working directory changes.
    options.pid_file = options.pid_file.map(background::absolute).transpose()?;
    options.mountpoint = background::absolute(options.mountpoint)?;
    if options.foreground || options.debug {
        return keeper::keep(&options, restriction, None, open_written, prepare);
    }
    match background::fork()? {
        background::Side::Parent(child) => Ok(child.wait_until_usable()?),
        background::Side::Child(parent) => {
            let released = parent.is_released();
            let kept = keeper::keep(&options, restriction, Some(parent), open_written, prepare);
            match kept {
                // The original process waits for the exit code.
                Err(error) if !released.load(Ordering::Relaxed) => Err(error),
                kept => std::process::exit(i32::from(kept.is_err())),
            }
        }
    }
}

/// Prints the announcement; a failed write (a closed pipe) does not end the mount.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// True if one of our mounts is here, dead or alive.
pub(crate) fn is_mounted(mountpoint: &Path) -> bool {
    mount_table::find(mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours())
}

/// Mounts and serves from this process's threads; dropping the session unmounts.
///
/// # Errors
/// As [`mount`], except [`MountError::Reported`].
pub(crate) fn mount_background_session(
    options: MountOptions,
    fs: Arc<dyn Namespace>,
) -> Result<Session, MountError> {
    checks::check(&options.mountpoint)?;
    Session::start(&options, fs, None)
}

/// The user and group that run this process.
pub(crate) fn default_owner() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}
