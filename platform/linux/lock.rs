//! Serializes mounts on a mountpoint: a process holds flock(2) on the directory while it mounts, so that of several
//! processes the first one mounts and the others see its mount.

use std::{
    fs::{self, File},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{
        AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, Statx, StatxFlags, flock, renameat_with,
        statx,
    },
    io::Errno,
};

use super::{MountError, mount_table};

/// Longest wait for another process that is mounting. Opening an image takes less, unless its storage is stuck.
const MAX_WAIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// The lock on a mountpoint directory, held by this process and those that it forks until it is dropped. `None` on a
/// filesystem without locks.
#[derive(Debug)]
pub(crate) struct MountLock(Option<File>);

impl MountLock {
    /// Takes the lock; waits while another process mounts here.
    ///
    /// # Errors
    /// When the other process holds the lock for longer than `MAX_WAIT`, or the directory has been removed.
    pub(crate) fn take(mountpoint: &Path) -> Result<Self, MountError> {
        Self::take_if_there(mountpoint)?.ok_or_else(|| {
            MountError::mountpoint(mountpoint, "was removed meanwhile; create it again (mkdir)")
        })
    }

    /// As [`Self::take`]; `None` when the directory does not exist, as after a failed mount for which it had been
    /// created.
    ///
    /// # Errors
    /// When the other process holds the lock for longer than `MAX_WAIT`.
    pub(crate) fn take_if_there(mountpoint: &Path) -> Result<Option<Self>, MountError> {
        let start = Instant::now();
        loop {
            let directory = match open(mountpoint) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(None),
                // A user who may not read the directory may still mount there; the mount goes on without a lock.
                Err(_) => return Ok(Some(Self(None))),
            };
            let lock = Self::wait(directory, mountpoint, start)?;
            // Another directory may have replaced this one during the wait; it has a lock of its own.
            if lock.is_of(mountpoint) || start.elapsed() >= MAX_WAIT {
                return Ok(Some(lock));
            }
        }
    }

    /// Creates the directory under a temporary name, locks it and renames it to `mountpoint`: other processes never see
    /// it unlocked.
    ///
    /// # Errors
    /// When the name exists, or the directory cannot be created.
    pub(crate) fn make(mountpoint: &Path) -> io::Result<Self> {
        let new = mountpoint.with_file_name(format!(".vhdmount-{:x}", std::process::id()));
        fs::create_dir(&new)?;
        let lock = open(&new).map(|directory| {
            let locked = flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
            Self(locked.then_some(directory))
        });
        let named = renameat_with(CWD, &new, CWD, mountpoint, RenameFlags::NOREPLACE);
        if named.is_err() {
            fs::remove_dir(&new)?;
        }
        match (named, lock) {
            (Ok(()), Ok(lock)) => Ok(lock),
            (Ok(()), Err(_)) => Ok(Self(None)),
            // The filesystem has no RENAME_NOREPLACE.
            (Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP), _) => {
                fs::create_dir(mountpoint)?;
                Self::take(mountpoint).map_err(io::Error::other)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn wait(directory: File, mountpoint: &Path, start: Instant) -> Result<Self, MountError> {
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(Some(directory))),
                Err(Errno::WOULDBLOCK) if start.elapsed() < MAX_WAIT => thread::sleep(POLL),
                Err(Errno::WOULDBLOCK) => {
                    let problem = "another program holds a lock on it (flock), as while it mounts here: try again later";
                    return Err(MountError::mountpoint(mountpoint, problem));
                }
                Err(_) => return Ok(Self(None)),
            }
        }
    }

    /// True when the locked directory is the one at this path. Queries no filesystem that is mounted there by now.
    fn is_of(&self, mountpoint: &Path) -> bool {
        let Some(directory) = &self.0 else { return true };
        let own = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::INO);
        let named = statx(CWD, mountpoint, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::INO);
        let place = |statx: Statx| (statx.stx_dev_major, statx.stx_dev_minor, statx.stx_ino);
        match (own, named) {
            (Ok(own), Ok(named)) => {
                place(own) == place(named)
                    || mount_table::find(mountpoint).ok().flatten().is_some_and(|entry| entry.is_ours())
            }
            (_, Err(Errno::NOENT)) => false,
            _ => true,
        }
    }

    /// Releases the lock: the next process finds the mount in place.
    pub(super) fn release(&self) {
        if let Some(directory) = &self.0 {
            // The processes that share the lock serve the same mount.
            let _ = flock(directory, FlockOperation::Unlock);
        }
    }
}

fn open(mountpoint: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(mountpoint, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_locked(path: &Path) -> bool {
        let directory = open(path).unwrap();
        flock(&directory, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    }

    #[test]
    fn a_directory_that_is_made_is_locked_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let lock = MountLock::make(&path).unwrap();
        assert!(is_locked(&path));
        assert_eq!(MountLock::make(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        drop(lock);
        assert!(!is_locked(&path));
    }

    #[test]
    fn the_lock_is_of_the_directory_that_has_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let old = open(&path).unwrap();
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!MountLock::wait(old, &path, Instant::now()).unwrap().is_of(&path));
        let lock = MountLock::take(&path).unwrap();
        assert!(is_locked(&path) && lock.is_of(&path));
        fs::remove_dir(&path).unwrap();
        assert!(!lock.is_of(&path));
        assert!(MountLock::take_if_there(&path).unwrap().is_none());
        assert!(MountLock::take(&path).unwrap_err().to_string().contains("was removed meanwhile"));
    }
}
