//! The destination: directories and files of the host, below one directory that was opened once. Guards: no name and no
//! link in the image reaches anything outside that directory: names are single components, and no link below it is
//! followed.

// Under a fuzzer nothing of the host is touched.
#[cfg(fuzzing)]
mod memory;
#[cfg(all(unix, not(fuzzing)))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(fuzzing))]
pub(super) use std::fs::File;

#[cfg(fuzzing)]
pub(super) use memory::{
    COLON, File, INVALID_NAME, Target, file_limit, keep_stream, name, set_attributes, set_file_times,
    write_all_at,
};
#[cfg(all(unix, not(fuzzing)))]
pub(super) use unix::{
    COLON, INVALID_NAME, Target, file_limit, keep_stream, name, set_attributes, set_file_times, write_all_at,
};
#[cfg(windows)]
pub(super) use windows::{
    COLON, INVALID_NAME, Target, file_limit, keep_stream, name, set_attributes, set_file_times, write_all_at,
};

pub(super) use crate::cli::system::FileId;

/// The kind and identity of an existing entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// A directory itself, not a link to one.
    Directory(FileId),
    /// Anything else.
    Other(FileId),
}

impl Existing {
    /// The entry's identity.
    pub(super) fn id(self) -> FileId {
        match self {
            Self::Directory(id) | Self::Other(id) => id,
        }
    }
}
