//! Maps [`Error`] to an errno for all requests, and logs the reason.

use fuser::Errno;
use vhdmount::{Error, fs::NodeId, tree::Namespace};

/// The errno that the program receives.
pub(super) fn errno(error: &Error) -> Errno {
    match error.cause() {
        Error::Io { source, .. } => source.raw_os_error().map_or(Errno::EIO, from_host),
        Error::Unsupported(_) => Errno::EOPNOTSUPP,
        Error::Denied(_) => Errno::EACCES,
        Error::NotFound(_) | Error::MissingParent { .. } => Errno::ENOENT,
        Error::Invalid(_) => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

/// Maps a host error code. The kernel drops a reply outside 1..512, and ENOSYS would disable the whole operation.
fn from_host(code: i32) -> Errno {
    let errno = Errno::from_i32(code);
    if (1..512).contains(&code) && i32::from(errno) != i32::from(Errno::ENOSYS) { errno } else { Errno::EIO }
}

/// The request that looks up a name, for which a missing name is normal.
pub(super) const LOOKUP: &str = "lookup";

/// Logs failed requests, once per node.
#[derive(Default)]
pub(super) struct Reporter(crate::reporter::Reporter);

impl Reporter {
    /// Logs a failed request and returns its errno.
    pub(super) fn report(&self, fs: &dyn Namespace, node: NodeId, request: &str, error: &Error) -> Errno {
        let of_request = matches!(error, Error::NotFound(_) if request == LOOKUP);
        // The kernel asks only for nodes that a directory has named: one that does not exist is damage, not a missing
        // name.
        let dangling = matches!(error, Error::NotFound(_)) && !of_request;
        self.0.report(fs, node, request, error, of_request || matches!(error, Error::Invalid(_)));
        if dangling { Errno::EIO } else { errno(error) }
    }
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
        assert_eq!(code(&Error::corrupt("index", None, "bad signature")), i32::from(Errno::EIO));
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
}
