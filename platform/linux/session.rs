//! A mount served by this process: start, tuning, wait, detach.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fuser::BackgroundSession;
use rustix::{
    fs::{AtFlags, CWD, StatxFlags},
    mount::MountFlags,
};
use vhdmount::tree::Namespace;

use super::{
    MountError, MountLock, MountOptions, Written,
    adapter::{Adapter, Settings},
    attr::Ownership,
    checks,
    connection::{self, Connection},
    descriptors, mount_table,
    options::{self, Attributes},
    requests::Requests,
    unmount,
    writing::{HELD_BY_KERNEL, Writing},
};

/// Read-ahead in KiB. With the kernel's default of 128 one sequential reader gets a fraction of the image's throughput.
const READ_AHEAD_KIB: u32 = 2048;

/// A mounted filesystem, served by threads of this process. Dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Session {
    mount: Mounted,
    background: Option<BackgroundSession>,
    writing: Option<Arc<Writing>>,
    /// The socket to fusermount3, which unmounts when it is closed.
    #[expect(dead_code, reason = "open as long as the session")]
    auto_unmount: Option<OwnedFd>,
}

/// A mount without workers, detached from the tree when it is dropped. Programs that wait on it continue when the process
/// ends.
pub(super) struct Unserved(Option<PathBuf>);

impl Unserved {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|mountpoint| unmount::detach(&mountpoint, true)) {
            log::error!("{error}");
        }
    }
}

/// Time limit for the first answer, longer than a busy machine takes to start threads.
pub(super) const MAX_START: Duration = Duration::from_secs(60);

/// Waits for the first answer of a worker; returns the workers' error if all have ended.
fn wait_until_served(
    background: BackgroundSession,
    mountpoint: &Path,
) -> Result<BackgroundSession, MountError> {
    let lives = || !background.guard.is_finished();
    if unmount::ask(mountpoint, MAX_START, lives).is_ok_and(|answer| !answer.is_empty()) {
        return Ok(background);
    }
    let why = match background.guard.is_finished() {
        true => join(background).err().map_or_else(|| "no worker".into(), |error| error.to_string()),
        false => "no worker answers".into(),
    };
    Err(MountError::System(format!("the mount cannot be served: {why}; it is undone")))
}

/// The path and identity of a mount: enough to unmount it from another thread.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    mountpoint: PathBuf,
    identity: Option<Identity>,
}

/// Distinguishes a mount from a later one at the same path.
#[derive(Debug, Clone)]
struct Identity {
    /// `major:minor`, which the kernel reuses soon after an unmount.
    device: String,
    /// The unique mount id, never reused; Linux 6.8 and later.
    unique: Option<u64>,
}

impl Mounted {
    /// The identity and path as a line of text, for another process.
    pub(super) fn to_text(&self) -> String {
        let identity = self.identity.as_ref();
        let device = identity.map_or("", |identity| &identity.device);
        let unique =
            identity.and_then(|identity| identity.unique).map_or_else(String::new, |id| id.to_string());
        format!("{device} {unique} {}\n", hex(self.mountpoint.as_os_str().as_bytes()))
    }

    /// The mount that [`Self::to_text`] describes.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.trim_end().split(' ');
        let (device, unique, path) = (words.next()?.to_owned(), words.next()?.parse().ok(), words.next()?);
        let identity = Some(Identity { device, unique }).filter(|identity| !identity.device.is_empty());
        Some(Self { mountpoint: OsString::from_vec(from_hex(path)?).into(), identity })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Identity {
    fn now_at(mountpoint: &Path) -> Option<Self> {
        /// STATX_MNT_ID_UNIQUE.
        const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
        let device = mount_table::at(mountpoint).ok()??.device;
        // Without a request to the server, which may be stuck or gone.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
        let statx = rustix::fs::statx(CWD, mountpoint, flags, UNIQUE).ok();
        let statx = statx.filter(|statx| statx.stx_mask & UNIQUE.bits() != 0);
        Some(Self { device, unique: statx.map(|statx| statx.stx_mnt_id) })
    }

    fn is(&self, other: &Self) -> bool {
        self.device == other.device && self.unique.zip(other.unique).is_none_or(|(this, other)| this == other)
    }
}

/// A mountpoint that no other process mounts on at the same time, and what is to be mounted there.
pub(super) struct Site {
    mountpoint: PathBuf,
    attributes: Attributes,
    lock: Arc<MountLock>,
}

impl Site {
    pub(super) fn new(options: &MountOptions) -> Result<Self, MountError> {
        let attributes = Attributes::of(options)?;
        let mountpoint = options
            .mountpoint
            .canonicalize()
            .map_err(|e| MountError::mountpoint(&options.mountpoint, e.to_string()))?;
        let lock = match &options.lock {
            Some(lock) => lock.clone(),
            None => Arc::new(MountLock::take(&mountpoint)?),
        };
        if mount_table::at(&mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours()) {
            return Err(MountError::mountpoint(&options.mountpoint, checks::occupied(&mountpoint)));
        }
        Ok(Self { mountpoint, attributes, lock })
    }

    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Makes the mount, which has no workers yet.
    pub(super) fn connect(&self) -> Result<(Connection, Unserved), MountError> {
        let connection = connection::mount(&self.mountpoint, &self.attributes)?;
        Ok((connection, Unserved(Some(self.mountpoint.clone()))))
    }

    /// The mount that is to be made, of which only the place is known.
    pub(super) fn expected(&self) -> Mounted {
        Mounted { mountpoint: self.mountpoint.clone(), identity: None }
    }

    /// The mount as it is now.
    pub(super) fn mounted(&self) -> Mounted {
        Mounted { mountpoint: self.mountpoint.clone(), identity: Identity::now_at(&self.mountpoint) }
    }

    /// Workers answer: other processes find the mount in place.
    pub(super) fn into_served(self, unserved: Unserved) -> Mounted {
        unserved.keep();
        self.lock.release();
        let mounted = self.mounted();
        if let Some(identity) = &mounted.identity {
            read_ahead(&identity.device);
            if !self.attributes.flags.contains(MountFlags::RDONLY) {
                limit_dirty(&identity.device);
            }
        }
        mounted
    }
}

/// Whether each worker can open the device for itself.
///
/// # Errors
/// When there are not enough descriptors for the mount.
pub(super) fn may_clone_device(options: &MountOptions) -> Result<bool, MountError> {
    let may_clone = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    descriptors::check(options::threads(options.threads), may_clone)
}

/// Starts the workers of a connection.
pub(super) fn serve(
    options: &MountOptions,
    fs: Arc<dyn Namespace>,
    written: Option<Written>,
    server_pid: Option<u32>,
    device: OwnedFd,
    clone_device: bool,
) -> Result<(BackgroundSession, Option<Arc<Writing>>), MountError> {
    let refused = |error: io::Error| checks::explain(&options.mountpoint, &error);
    let settings = Settings {
        ownership: Ownership {
            uid: options.uid,
            gid: options.gid,
            fmask: options.fmask,
            dmask: options.dmask,
        },
        wsl_metadata: options.wsl_metadata,
        streams: options.streams,
        direct_io: options.direct_io,
        server_pid,
    };
    let config = options::config(options, clone_device);
    let writing = written.map(|written| {
        let Written { image, publishing, reserve } = written;
        Writing::new(image, publishing, reserve, fs.clone())
    });
    let adapter = Adapter::new(fs, settings, writing.clone());
    let prefill = adapter.prefill().clone();
    let workers = config.n_threads;
    let requests = Requests::new(adapter, Attributes::of(options)?.auto_unmount);
    let session =
        fuser::Session::from_fd(requests, device, options::acl(options), config).map_err(refused)?;
    match &writing {
        Some(writing) => writing.start(session.notifier()).map_err(refused)?,
        None if workers.is_some_and(|workers| workers > 1) && !options.direct_io => {
            prefill.start(session.notifier());
        }
        None => {}
    }
    Ok((session.spawn().map_err(refused)?, writing))
}

impl Session {
    pub(super) fn start(
        options: &MountOptions,
        fs: Arc<dyn Namespace>,
        written: Option<Written>,
    ) -> Result<Self, MountError> {
        let clone_device = may_clone_device(options)?;
        let site = Site::new(options)?;
        let (Connection { device, auto_unmount }, unserved) = site.connect()?;
        let (background, writing) = serve(options, fs, written, None, device, clone_device)?;
        let background = wait_until_served(background, site.mountpoint())?;
        Ok(Self { mount: site.into_served(unserved), background: Some(background), writing, auto_unmount })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(background) = self.background.take() else { return };
        match self.mount.detach() {
            // Workers go on until the last file is closed, possibly never: not waited for.
            Ok(Detached::StillOpen) => {
                log::warn!("{}: files are still open", self.mount.mountpoint.display())
            }
            Ok(Detached::Ended) => {
                if let Err(error) = join(background) {
                    log::warn!("{}: {error}", self.mount.mountpoint.display());
                }
                if let Some(writing) = self.writing.take() {
                    end(&writing);
                }
            }
            Err(error) => log::error!("{error}"),
        }
    }
}

/// Waits for the workers. [`Mounted::detach`] does the unmount, since fuser knows only the connection.
pub(super) fn join(background: BackgroundSession) -> io::Result<()> {
    background.guard.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
}

/// Publishes what was written, and closes the image. False, with the reason in the log, when that fails.
pub(super) fn end(writing: &Writing) -> bool {
    let ended = writing.end();
    ended.inspect_err(|error| log::error!("{error}; what was published before stays")).is_ok()
}

/// The state after [`Mounted::detach`].
pub(super) enum Detached {
    /// The mount has ended.
    Ended,
    /// Open files remain usable; no new ones can be opened.
    StillOpen,
}

impl Mounted {
    /// Unmounts at once, whatever is open: the process that served it has ended.
    pub(super) fn remove(&self) {
        let is_there = match self.identity {
            Some(_) => self.is_there(),
            // The process that made it was killed before it looked.
            None => self.is_dead(),
        };
        if is_there && let Err(error) = unmount::detach(&self.mountpoint, true) {
            log::error!("{error}");
        }
    }

    /// True for a mount of ours without a server.
    fn is_dead(&self) -> bool {
        mount_table::at(&self.mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours())
            && rustix::fs::statfs(&self.mountpoint).is_err_and(|error| checks::is_stale(&error.into()))
    }

    /// False when another process has unmounted it, even if another mount is here now.
    fn is_there(&self) -> bool {
        let now = Identity::now_at(&self.mountpoint);
        self.identity.as_ref().zip(now.as_ref()).is_some_and(|(mounted, now)| mounted.is(now))
    }

    /// Unmounts; if open files prevent that, detaches the mount from the tree and keeps serving those files.
    pub(super) fn detach(&self) -> Result<Detached, MountError> {
        if !self.is_there() {
            return Ok(Detached::Ended);
        }
        match unmount::detach(&self.mountpoint, false) {
            Err(MountError::Busy(_)) => {
                unmount::detach(&self.mountpoint, true)?;
                Ok(Detached::StillOpen)
            }
            other => other.map(|()| Detached::Ended),
        }
    }
}

/// Sets the read-ahead where possible: it takes root and a mounted sysfs. `device`: `major:minor` of the mount.
fn read_ahead(device: &str) {
    let path = format!("/sys/class/bdi/{device}/read_ahead_kb");
    if let Err(error) = fs::write(&path, READ_AHEAD_KIB.to_string()) {
        log::debug!("{path}: {error}: the read-ahead stays as it is");
    }
}

/// Lets the kernel hold as much of a written mount as space is kept for on the host. Where it cannot be set it is less.
fn limit_dirty(device: &str) {
    let path = format!("/sys/class/bdi/{device}/max_bytes");
    if let Err(error) = fs::write(&path, HELD_BY_KERNEL.to_string()) {
        log::debug!("{path}: {error}: the limit stays as it is");
    }
}
