//! Locks on image files, in the form of qemu: read locks on single bytes beyond 100 say what their holder does with the file,
//! beyond 200 what it does not bear of others. So a file that a session writes or stands on is not written by qemu, and one that a
//! machine of qemu writes is noticed here. On Windows the share modes of open files do this.

#[cfg_attr(target_os = "linux", path = "locks/linux.rs")]
#[cfg_attr(windows, path = "locks/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "locks/none.rs")]
mod system;

use std::path::Path;

pub(super) use system::Lock;

use crate::{Error, Result, bytes::FileSource};

/// What a session does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It reads, and the file must stay as it is.
    Read,
    /// It alone writes.
    Write,
}

/// Keeps others from what a use does not bear, until the lock is dropped.
///
/// # Errors
/// [`Error::Denied`] when another program does that already. A filesystem without locks is no error.
pub(super) fn hold(file: &FileSource, intended: Use) -> Result<Lock> {
    Lock::hold(file, intended).ok_or_else(|| in_use(file.path(), intended))
}

/// True when another program has the file open for writing.
pub(super) fn has_writer(file: &FileSource) -> bool {
    system::has_writer(file)
}

fn in_use(path: &Path, intended: Use) -> Error {
    Error::Denied(match intended {
        Use::Write => format!(
            "{} is in use: another program writes it, or reads it and counts on its staying as it is. Stop the machine, or unmount it \
             first",
            path.display()
        )
        .into(),
        Use::Read => format!(
            "{} is being written by another program, so that nothing can be based on it: stop the machine, or unmount it first",
            path.display()
        )
        .into(),
    })
}
