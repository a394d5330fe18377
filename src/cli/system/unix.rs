//! Functions that POSIX systems share.

#[cfg(not(target_os = "linux"))]
use std::sync::Arc;
use std::{
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::fs::MetadataExt},
};

#[cfg(not(target_os = "linux"))]
use vhdmount::host::{Host, System};

use super::FileId;

/// The host interface to disks and to the storage below an image.
#[cfg(not(target_os = "linux"))]
pub(in crate::cli) fn host() -> Arc<dyn Host> {
    Arc::new(System)
}

/// Prepares the process.
pub(in crate::cli) fn start() {}

/// Columns and rows of the terminal on standard output.
pub(in crate::cli) fn terminal_size() -> Option<(u16, u16)> {
    rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| (size.ws_col, size.ws_row))
}

/// Unbuffered standard output, for large pieces.
pub(in crate::cli) fn stdout() -> Box<dyn Write> {
    let stdout = std::io::stdout();
    // If the descriptor cannot be duplicated, the shared handle is used.
    match stdout.as_fd().try_clone_to_owned().map(File::from) {
        Ok(file) => Box::new(file),
        Err(_) => Box::new(stdout.lock()),
    }
}

/// Identifies an open file of the host.
pub(in crate::cli) fn file_id(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino().into()))
}
