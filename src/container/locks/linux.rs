//! Locks of open file descriptions (`F_OFD_SETLK`), on the bytes that qemu takes.

use std::fs::File;

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::Use;
use crate::bytes::FileSource;

/// Its holder writes the file.
const WRITES: i64 = 101;
/// Its holder changes the file's length.
const RESIZES: i64 = 103;
/// Its holder does not bear that others write.
const NO_WRITER: i64 = 201;
/// Its holder does not bear that others change the length.
const NO_RESIZER: i64 = 203;

/// Locks that are held.
pub(in crate::container) struct Lock {
    /// `None`: the filesystem has no locks.
    file: Option<File>,
}

impl Lock {
    /// `None` when another holder is in the way.
    pub(super) fn hold(file: &FileSource, intended: Use) -> Option<Self> {
        let (held, foreign): (&[i64], &[i64]) = match intended {
            Use::Read => (&[NO_WRITER, NO_RESIZER], &[WRITES, RESIZES]),
            Use::Write => {
                let all = &[WRITES, RESIZES, NO_WRITER, NO_RESIZER];
                (all, all)
            }
        };
        // Another descriptor of the same open file, which has the same locks.
        let Ok(file) = file.file().try_clone() else { return Some(Self { file: None }) };
        for byte in held {
            let request = range(libc::F_RDLCK, *byte);
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&request)) {
                Ok(_) => {}
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                    drop(Self { file: Some(file) });
                    return None;
                }
                Err(error) => {
                    log::info!("no lock is taken: {error}");
                    return Some(Self { file: None });
                }
            }
        }
        // First taken, then looked: of two that begin at once at least one sees the other.
        let lock = Self { file: Some(file) };
        let is_free = foreign.iter().all(|byte| lock.file.as_ref().is_none_or(|file| !is_held(file, *byte)));
        is_free.then_some(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            for byte in [WRITES, RESIZES, NO_WRITER, NO_RESIZER] {
                // The end of the open file releases it as well.
                let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, byte)));
            }
        }
    }
}

pub(super) fn has_writer(file: &FileSource) -> bool {
    is_held(file.file(), WRITES)
}

/// Whether another open file has a lock on the byte.
fn is_held(file: &File, byte: i64) -> bool {
    let mut found = range(libc::F_WRLCK, byte);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok() && i32::from(found.l_type) != libc::F_UNLCK
}

fn range(kind: i32, byte: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("below 3"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("0"),
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}
