//! Checks, before mounting, that there are enough file descriptors: on a mount without workers every program that
//! accesses it would wait forever.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::MountError;

/// Descriptors besides those of the workers: the connection, signals, the pid file, programs that are run, and the image
/// opened again with its chain of parents for `.capacity`.
const SPARE: usize = 40;

/// Returns whether each of `workers` threads can open the device for itself.
///
/// # Errors
/// When there are not enough descriptors for the mount at all.
pub(super) fn check(workers: usize, may_clone: bool) -> Result<bool, MountError> {
    raise(workers + SPARE);
    if may_clone && can_open(workers + SPARE) {
        return Ok(true);
    }
    match can_open(SPARE) {
        true => Ok(false),
        false => Err(MountError::System(format!(
            "too few file descriptors are left for a mount, which needs {SPARE} at least: raise the limit (ulimit -n), \
             now {}; nothing was mounted",
            getrlimit(Resource::Nofile).current.map_or("none".into(), |limit| limit.to_string())
        ))),
    }
}

/// Raises the soft limit by `more` descriptors, as far as this user may.
fn raise(more: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current else { return };
    let wanted = now.saturating_add(more as u64);
    let wanted = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if wanted > now && !can_open(more) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

fn can_open(count: usize) -> bool {
    // Copies of one: a container may have no file that all may open, not even /dev/null.
    let Ok((reader, _writer)) = io::pipe() else { return false };
    let copies: io::Result<Vec<_>> = (2..count).map(|_| reader.try_clone()).collect();
    copies.is_ok()
}
