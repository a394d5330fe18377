//! The command's interface to the operating system, apart from mounts (`mount/`) and the destination of a copy
//! (`cp/target/`): the terminal, signals, the identity of files. One file per system, with the same functions.

#[cfg(target_os = "linux")]
#[path = "system/linux.rs"]
mod this;
#[cfg(not(any(target_os = "linux", windows)))]
#[path = "system/other.rs"]
mod this;
#[cfg(windows)]
#[path = "system/windows.rs"]
mod this;
#[cfg(unix)]
mod unix;

pub(super) use this::*;

/// Identifies a file or directory of the host: device and number.
pub(in crate::cli) type FileId = (u64, u128);

/// An event that ends a wait early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl-C, or another termination signal.
    End,
    /// The terminal was resized.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux sends such a signal"))]
    Resized,
}
