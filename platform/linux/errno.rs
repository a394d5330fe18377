//! [`Error`] to errno, once for all requests, and the log line that says why.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use fuser::Errno;
use vhdmount::{
    Error,
    fs::{DirCursor, FileSystem, NodeId},
};

/// The errno that a program sees.
pub(super) fn errno(error: &Error) -> Errno {
    match error {
        Error::Io { source, .. } => source.raw_os_error().map_or(Errno::EIO, from_host),
        Error::Unsupported(_) => Errno::EOPNOTSUPP,
        Error::Denied(_) => Errno::EACCES,
        Error::NotFound(_) => Errno::ENOENT,
        Error::Invalid(_) => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

/// The kernel drops an answer outside 1..512, and would switch a whole operation off at ENOSYS.
fn from_host(code: i32) -> Errno {
    let errno = Errno::from_i32(code);
    if (1..512).contains(&code) && i32::from(errno) != i32::from(Errno::ENOSYS) { errno } else { Errno::EIO }
}

/// The request that asks for a name, which may be missing.
pub(super) const LOOKUP: &str = "lookup";

/// Nodes remembered as reported; another that shares the slot makes the line appear again.
const REPORTED_SLOTS: usize = 4096;

/// Lines that spell out the path, which costs reading directories; later ones give the node's number alone.
const MAX_PATHS: usize = 256;

/// Entries read for one component of a path in a log line.
const MAX_ENTRIES: usize = 1 << 16;

/// Components of a path in a log line; parents may form a cycle on a damaged volume.
const MAX_DEPTH: usize = 64;

/// Says once per node what is wrong with it.
pub(super) struct Reporter {
    reported: Box<[AtomicU64]>,
    paths: AtomicUsize,
}

impl Default for Reporter {
    fn default() -> Self {
        let reported = (0..REPORTED_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { reported, paths: AtomicUsize::new(0) }
    }
}

impl Reporter {
    /// The errno of a failed request, after logging it.
    pub(super) fn report(&self, fs: &dyn FileSystem, node: NodeId, request: &str, error: &Error) -> Errno {
        let of_request = matches!(error, Error::NotFound(_) if request == LOOKUP);
        // The kernel asks for nodes that a directory has named: one that is not there is damage, no missing name.
        let dangling = matches!(error, Error::NotFound(_)) && !of_request;
        let errno = if dangling { Errno::EIO } else { errno(error) };
        if of_request || matches!(error, Error::Invalid(_)) {
            log::debug!("{request} of node {:#x}: {error}", node.0);
        } else if self.is_first(node) {
            let path = self.paths.fetch_add(1, Ordering::Relaxed) < MAX_PATHS;
            match path.then(|| path_of(fs, node)).flatten() {
                Some(path) => log::warn!("{}: {request}: {error}", String::from_utf8_lossy(&path)),
                None => log::warn!("node {:#x}: {request}: {error}", node.0),
            }
        }
        errno
    }

    fn is_first(&self, node: NodeId) -> bool {
        // Fibonacci hashing: record numbers of one volume are dense in the low bits.
        let slot = usize::try_from(node.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).unwrap_or(0);
        self.reported[slot % REPORTED_SLOTS].swap(node.0, Ordering::Relaxed) != node.0
    }
}

/// Where a node lies, below the mountpoint. Best effort: a stream or an orphan has no path.
fn path_of(fs: &dyn FileSystem, node: NodeId) -> Option<Vec<u8>> {
    let climb = || {
        let (mut path, mut node) = (Vec::new(), node);
        for _ in 0..MAX_DEPTH {
            if node == fs.root() {
                return Some(path);
            }
            let parent = fs.parent(node).ok()?;
            let mut name = name_in(fs, parent, node)?;
            if !path.is_empty() {
                name.push(b'/');
                name.append(&mut path);
            }
            (path, node) = (name, parent);
        }
        None
    };
    // What is reported may itself be a panic of the filesystem.
    catch_unwind(AssertUnwindSafe(climb)).ok().flatten()
}

fn name_in(fs: &dyn FileSystem, dir: NodeId, node: NodeId) -> Option<Vec<u8>> {
    let (mut found, mut left) = (None, MAX_ENTRIES);
    let listed = fs.read_dir(dir, DirCursor(0), &mut |entry| {
        left -= 1;
        if entry.node == node {
            found = Some(entry.name.to_text());
        }
        if found.is_some() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    listed.ok().and(found)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{super::tests::memory::Memory, *};

    fn code(error: &Error) -> i32 {
        errno(error).into()
    }

    #[test]
    fn each_class_has_its_errno() {
        assert_eq!(code(&Error::corrupt("MFT record 5", 0, "bad signature")), i32::from(Errno::EIO));
        assert_eq!(code(&Error::unsupported("EFS-encrypted file")), i32::from(Errno::EOPNOTSUPP));
        assert_eq!(code(&Error::Denied("no key".into())), i32::from(Errno::EACCES));
        assert_eq!(code(&Error::not_found("node")), i32::from(Errno::ENOENT));
        assert_eq!(code(&Error::invalid("offset")), i32::from(Errno::EINVAL));
    }

    #[test]
    fn the_hosts_errno_passes_unless_the_kernel_would_misread_it() {
        let host = |code: i32| Error::io("image", io::Error::from_raw_os_error(code));
        assert_eq!(code(&host(i32::from(Errno::ESTALE))), i32::from(Errno::ESTALE));
        for misread in [Errno::ENOSYS.into(), 0, -5, 512, i32::MAX] {
            assert_eq!(code(&host(misread)), i32::from(Errno::EIO), "{misread}");
        }
        assert_eq!(code(&Error::io("image", io::Error::other("short"))), i32::from(Errno::EIO));
    }

    #[test]
    fn a_missing_name_is_none_and_a_missing_node_is_damage() {
        let fs = Memory::new();
        let report = |request| {
            i32::from(Reporter::default().report(&fs, NodeId(77), request, &Error::not_found("not in use")))
        };
        assert_eq!((report(LOOKUP), report("stat")), (i32::from(Errno::ENOENT), i32::from(Errno::EIO)));
    }

    #[test]
    fn a_node_is_reported_once() {
        let reporter = Reporter::default();
        assert!(reporter.is_first(NodeId(77)));
        assert!(!reporter.is_first(NodeId(77)));
        assert!(reporter.is_first(NodeId(78)));
    }
}
