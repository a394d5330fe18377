//! The command: arguments become calls of the library and of the platform's mount.

mod cli;

#[cfg(target_os = "linux")]
#[path = "../platform/linux/mod.rs"]
mod platform;
#[cfg(windows)]
#[path = "../platform/windows/mod.rs"]
mod platform;
#[cfg(any(target_os = "linux", windows))]
#[path = "../platform/reporter.rs"]
mod reporter;
#[path = "../platform/rights.rs"]
mod rights;
/// The part of the adapter for Windows that needs no Windows, for its tests.
#[cfg(all(test, target_os = "linux"))]
#[path = "../platform/windows/adapter/mod.rs"]
#[allow(dead_code, unused_imports, reason = "WinFsp's callbacks use the rest")]
mod windows_adapter;
#[cfg(all(test, target_os = "linux"))]
#[path = "../platform/windows/random_calls.rs"]
mod windows_random_calls;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
