//! What POSIX systems have in common.

use std::{
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::Arc,
};

use vhdmount::host::{Host, System};

use super::FileId;

/// The operating system, asked about disks and about the space below an image.
pub(in crate::cli) fn host() -> Arc<dyn Host> {
    Arc::new(System)
}

/// Prepares the process.
pub(in crate::cli) fn start() {}

/// Columns and rows of the terminal that standard output is.
pub(in crate::cli) fn terminal_size() -> Option<(u16, u16)> {
    rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| (size.ws_col, size.ws_row))
}

/// Standard output without a buffer of its own, for large pieces.
pub(in crate::cli) fn stdout() -> Box<dyn Write> {
    let stdout = std::io::stdout();
    // Without another descriptor the shared one does.
    match stdout.as_fd().try_clone_to_owned().map(File::from) {
        Ok(file) => Box::new(file),
        Err(_) => Box::new(stdout.lock()),
    }
}

/// Identifies an open file of the host.
pub(in crate::cli) fn file_id(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino().into()))
}
