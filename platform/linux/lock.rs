//! One mount at a time on a mountpoint: whoever mounts there holds a lock on the directory meanwhile, so that of several at
//! once the first one wins and the others see its mount.

use std::{
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};

use super::MountError;

/// Opening an image takes less, unless its storage is stuck.
const MAX_WAIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// Held until it is dropped, by this process and those that it forks. On a filesystem without locks it is none.
#[derive(Debug)]
pub(crate) struct MountLock(Option<File>);

impl MountLock {
    /// Takes the lock, and waits while another process mounts here.
    ///
    /// # Errors
    /// When it does not come to an end.
    pub(crate) fn take(mountpoint: &Path) -> Result<Self, MountError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Whoever may not read the directory may still mount there.
        let Ok(directory) = rustix::fs::open(mountpoint, flags, Mode::empty()) else { return Ok(Self(None)) };
        let start = Instant::now();
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(Some(directory.into()))),
                Err(Errno::WOULDBLOCK) if start.elapsed() < MAX_WAIT => thread::sleep(POLL),
                Err(Errno::WOULDBLOCK) => {
                    let problem = "another program holds a lock on it (flock), as while it mounts here: try again later";
                    return Err(MountError::mountpoint(mountpoint, problem));
                }
                Err(_) => return Ok(Self(None)),
            }
        }
    }

    /// Lets the next one in: it finds what is mounted now.
    pub(super) fn release(&self) {
        if let Some(directory) = &self.0 {
            // The other processes that share it are in the same mount.
            let _ = flock(directory, FlockOperation::Unlock);
        }
    }
}
