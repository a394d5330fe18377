//! One mount at a time on a mountpoint: whoever mounts there holds a lock on the directory meanwhile, so that of several at
//! once the first one wins and the others see its mount.

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
    /// When it does not come to an end, or the directory has been removed.
    pub(crate) fn take(mountpoint: &Path) -> Result<Self, MountError> {
        Self::take_if_there(mountpoint)?.ok_or_else(|| {
            MountError::mountpoint(mountpoint, "was removed meanwhile; create it again (mkdir)")
        })
    }

    /// As [`Self::take`]; `None`: the directory is gone, as after a mount that failed for which it had been made.
    ///
    /// # Errors
    /// When the other process does not come to an end.
    pub(crate) fn take_if_there(mountpoint: &Path) -> Result<Option<Self>, MountError> {
        let start = Instant::now();
        loop {
            let directory = match open(mountpoint) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(None),
                // Whoever may not read the directory may still mount there.
                Err(_) => return Ok(Some(Self(None))),
            };
            let lock = Self::wait(directory, mountpoint, start)?;
            // While this process waited, another directory may have got the name: that has a lock of its own.
            if lock.is_of(mountpoint) || start.elapsed() >= MAX_WAIT {
                return Ok(Some(lock));
            }
        }
    }

    /// Makes the directory, which has its lock before it has its name: whoever finds it has to wait.
    ///
    /// # Errors
    /// When there is something of that name, or nothing can be made there.
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
            // A filesystem that cannot do that.
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

    /// Whether the directory that is locked is the one at this path. What is mounted there by now is not asked.
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

    /// Lets the next one in: it finds what is mounted now.
    pub(super) fn release(&self) {
        if let Some(directory) = &self.0 {
            // The other processes that share it are in the same mount.
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
