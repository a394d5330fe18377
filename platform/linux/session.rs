//! A mount served by this process: start, tuning, wait, detach.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fuser::BackgroundSession;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use vhdmount::tree::Namespace;

use super::{
    MountError, MountLock, MountOptions,
    adapter::{Adapter, Settings},
    attr::Ownership,
    checks,
    connection::{self, Connection},
    descriptors, mount_table,
    options::{self, Attributes},
    requests::Requests,
    unmount,
};

/// Read-ahead in KiB. With the kernel's default of 128 one sequential reader gets a fraction of the image's throughput.
const READ_AHEAD_KIB: u32 = 2048;

/// A mounted filesystem, served by threads of this process. Dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Session {
    mount: Mounted,
    background: Option<BackgroundSession>,
    /// The socket to fusermount3, which unmounts when it is closed.
    #[expect(dead_code, reason = "open as long as the session")]
    auto_unmount: Option<OwnedFd>,
}

/// A mount without workers, detached from the tree when it is dropped. Programs that wait on it continue when the process
/// ends.
struct Unserved<'a>(Option<&'a Path>);

impl Unserved<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unserved<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(|mountpoint| unmount::detach(mountpoint, true)) {
            log::error!("{error}");
        }
    }
}

/// Time limit for the first answer, longer than a busy machine takes to start threads.
const MAX_START: Duration = Duration::from_secs(60);

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

impl Session {
    pub(super) fn start(
        options: &MountOptions,
        fs: Arc<dyn Namespace>,
        server_pid: Option<u32>,
    ) -> Result<Self, MountError> {
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
        let attributes = Attributes::of(options)?;
        let refused = |error: io::Error| checks::explain(&options.mountpoint, &error);
        let mountpoint = options
            .mountpoint
            .canonicalize()
            .map_err(|e| MountError::mountpoint(&options.mountpoint, e.to_string()))?;
        let may_clone = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
        let clone_device = descriptors::check(options::threads(options.threads), may_clone)?;
        let config = options::config(options, clone_device);
        let lock = match &options.lock {
            Some(lock) => lock.clone(),
            None => Arc::new(MountLock::take(&mountpoint)?),
        };
        if mount_table::at(&mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours()) {
            return Err(MountError::mountpoint(&options.mountpoint, checks::occupied(&mountpoint)));
        }
        let Connection { device, auto_unmount } = connection::mount(&mountpoint, &attributes)?;
        // Detached on failure, until a worker serves it.
        let unserved = Unserved(Some(&mountpoint));
        let adapter = Adapter::new(fs, settings);
        let prefill = adapter.prefill().clone();
        let workers = config.n_threads;
        let session = fuser::Session::from_fd(
            Requests::new(adapter, attributes.auto_unmount),
            device,
            options::acl(options),
            config,
        )
        .map_err(refused)?;
        if workers.is_some_and(|workers| workers > 1) && !options.direct_io {
            prefill.start(session.notifier());
        }
        let background = session.spawn().map_err(refused)?;
        let background = wait_until_served(background, &mountpoint)?;
        unserved.keep();
        lock.release();
        let identity = Identity::now_at(&mountpoint);
        if let Some(identity) = &identity {
            read_ahead(&identity.device);
        }
        Ok(Self { mount: Mounted { mountpoint, identity }, background: Some(background), auto_unmount })
    }

    /// Waits until the filesystem has been unmounted, by any process.
    pub(super) fn wait(mut self) -> io::Result<()> {
        self.background.take().map_or(Ok(()), join)
    }

    pub(super) fn mounted(&self) -> Mounted {
        self.mount.clone()
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
            }
            Err(error) => log::error!("{error}"),
        }
    }
}

/// Waits for the workers. [`Mounted::detach`] does the unmount, since fuser knows only the connection.
fn join(background: BackgroundSession) -> io::Result<()> {
    background.guard.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
}

/// The state after [`Mounted::detach`].
pub(super) enum Detached {
    /// The mount has ended.
    Ended,
    /// Open files remain usable; no new ones can be opened.
    StillOpen,
}

impl Mounted {
    /// Unmounts; if open files prevent that, detaches the mount from the tree and keeps serving those files.
    pub(super) fn detach(&self) -> Result<Detached, MountError> {
        let now = Identity::now_at(&self.mountpoint);
        if !self.identity.as_ref().zip(now.as_ref()).is_some_and(|(mounted, now)| mounted.is(now)) {
            return Ok(Detached::Ended); // Somebody else was quicker; another mount here is not ours to end.
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
