//! A mount that this process serves: started, tuned, waited for, detached.

use std::{
    fs, io, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use fuser::BackgroundSession;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use vhdmount::fs::FileSystem;

use super::{
    MountError, MountOptions,
    adapter::{Adapter, Settings},
    attr::Ownership,
    checks, mount_table, options,
    requests::Requests,
    unmount,
};

/// Read-ahead in KiB. The kernel's 128 leave one sequential reader at a fraction of what the image can give.
const READ_AHEAD_KIB: u32 = 2048;

/// A mounted filesystem, served by threads of this process. Dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Session {
    mount: Mounted,
    background: Option<BackgroundSession>,
}

/// Where a session is mounted, and as what: enough to unmount it from another thread.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    mountpoint: PathBuf,
    identity: Option<Identity>,
}

/// Tells one mount from a later one at the same path.
#[derive(Debug, Clone)]
struct Identity {
    /// Is reused soon after an unmount.
    device: String,
    /// Is never reused; Linux 6.8 and later.
    unique: Option<u64>,
}

impl Identity {
    fn now_at(mountpoint: &Path) -> Option<Self> {
        /// STATX_MNT_ID_UNIQUE.
        const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
        let device = mount_table::find(mountpoint).ok()??.device;
        // Without a question to the server, which may be stuck or gone.
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
        fs: Arc<dyn FileSystem>,
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
        let config = options::config(options)?;
        let refused = |error: io::Error| checks::explain(&options.mountpoint, &error);
        let mountpoint = options
            .mountpoint
            .canonicalize()
            .map_err(|e| MountError::mountpoint(&options.mountpoint, e.to_string()))?;
        let adapter = Adapter::new(fs, settings);
        let stores = adapter.stores().clone();
        let requests = Requests::new(adapter);
        let session = fuser::Session::new(requests, &mountpoint, &config).map_err(refused)?;
        if config.n_threads.is_some_and(|workers| workers > 1) && !options.direct_io {
            stores.start(session.notifier());
        }
        let background = session.spawn().map_err(refused)?;
        let identity = Identity::now_at(&mountpoint);
        read_ahead(&mountpoint);
        Ok(Self { mount: Mounted { mountpoint, identity }, background: Some(background) })
    }

    /// Waits until it has been unmounted, by whomever.
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
            // Served until the last file is closed, which may be never: not waited for.
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

/// Waits for the workers. What fuser 0.18 would do after that is left out: it takes an ended connection for a live one
/// and unmounts whatever is mounted at this path by then, perhaps the next image. Our own unmounting is
/// [`Mounted::detach`]. The price is a file descriptor until the process ends.
fn join(mut background: BackgroundSession) -> io::Result<()> {
    let placeholder = thread::Builder::new().spawn(|| Ok(()))?;
    let workers = mem::replace(&mut background.guard, placeholder);
    mem::forget(background);
    workers.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
}

/// What is left after [`Mounted::detach`].
pub(super) enum Detached {
    /// Nothing.
    Ended,
    /// Programs keep what they have open; nobody else gets in.
    StillOpen,
}

impl Mounted {
    /// Unmounts; if that cannot be because files are open, takes the mount out of the tree and leaves those files.
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

/// Best effort: only root may, and only where sysfs is mounted.
fn read_ahead(mountpoint: &Path) {
    let Ok(metadata) = fs::metadata(mountpoint) else { return };
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(error) = fs::write(&path, READ_AHEAD_KIB.to_string()) {
        log::debug!("{path}: {error}: the read-ahead stays as it is");
    }
}
