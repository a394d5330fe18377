//! Space on the host that is kept for what the kernel has accepted from programs and not sent yet. With its write-back cache a
//! program's write succeeds long before this server sees it, when nothing can be refused any more: so as much as the kernel may
//! hold is taken from the host beforehand, in a nameless file beside the one that is written, and given back piece by piece when the host
//! is full.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags};
use vhdmount::bytes::Room;

/// What the kernel may hold of a mount: its limit where this program may set one, and more than its own limit (1 % of a fifth of the
/// memory) on machines with up to 32 GiB.
pub(in super::super) const HELD_BY_KERNEL: u64 = 64 << 20;
/// For the block table, bitmaps, the log, and what the host's filesystem needs for all that.
const METADATA: u64 = 16 << 20;
/// What is given back at once.
const STEP: u64 = 4 << 20;

/// Space that is kept.
pub(crate) struct Reserve {
    file: File,
    held: Mutex<u64>,
}

impl Reserve {
    /// Makes the file, without space so far; `None` where the host's filesystem has no files without names.
    pub(crate) fn beside(path: &Path) -> Option<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR);
        let file = file.inspect_err(|error| log::info!("no space is kept in {}: {error}", folder.display()));
        Some(Self { file: file.ok()?.into(), held: Mutex::new(0) })
    }

    /// Takes what is missing. False when the host does not have it all: then it is what the host has.
    pub(super) fn fill(&self) -> bool {
        let (mut held, wanted) = (self.held(), HELD_BY_KERNEL + METADATA);
        // A small host, or one that is nearly full: what it has is taken piece by piece, and given to data in the same way.
        let mut goes_on = *held < wanted && !self.take(&mut held, wanted);
        while goes_on && *held < wanted {
            let next = (*held + STEP).min(wanted);
            goes_on = self.take(&mut held, next);
        }
        *held == wanted
    }

    /// Takes space up to `wanted`, all of it or none.
    fn take(&self, held: &mut u64, wanted: u64) -> bool {
        let taken = rustix::fs::fallocate(&self.file, FallocateFlags::empty(), *held, wanted - *held);
        match taken {
            Ok(()) => *held = wanted,
            // What was taken of it before the host was full.
            Err(_) => drop(self.file.set_len(*held)),
        }
        taken.is_ok()
    }

    /// False when no more data can be taken: what is left is for metadata.
    pub(super) fn has_room_for_data(&self) -> bool {
        *self.held() > METADATA || self.fill() || *self.held() > METADATA
    }

    fn held(&self) -> MutexGuard<'_, u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room for Reserve {
    fn make(&self) -> io::Result<bool> {
        let mut held = self.held();
        if *held == 0 {
            return Ok(false);
        }
        let left = held.saturating_sub(STEP);
        self.file.set_len(left)?;
        *held = left;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_given_back_piece_by_piece() {
        let folder = tempfile::tempdir().unwrap();
        let Some(reserve) = Reserve::beside(&folder.path().join("disk.vhdx")) else { return };
        assert!(reserve.fill() && reserve.has_room_for_data());
        let len = || reserve.file.metadata().unwrap().len();
        assert_eq!(len(), HELD_BY_KERNEL + METADATA);
        assert!(reserve.make().unwrap());
        assert_eq!(len(), HELD_BY_KERNEL + METADATA - STEP);
        assert!(reserve.has_room_for_data());
        while reserve.make().unwrap() {}
        assert_eq!(len(), 0);
        assert!(reserve.fill());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
