//! The command: arguments become calls of the library and of the platform's mount.

mod cli;

#[cfg(target_os = "linux")]
#[path = "../platform/linux/mod.rs"]
mod platform;
#[cfg(windows)]
#[path = "../platform/windows/mod.rs"]
mod platform;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
