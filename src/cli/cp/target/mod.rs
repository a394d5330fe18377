//! The destination: directories and files of the host, below one directory that was opened once. Guards: whatever the
//! image's names and links are, nothing outside of that directory is reached: names are single components, and no link
//! below it is followed.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{Target, file_limit, keep_stream, name, set_attributes, set_file_times, write_all_at};
#[cfg(windows)]
pub(super) use windows::{
    Target, file_limit, keep_stream, name, set_attributes, set_file_times, write_all_at,
};

pub(super) use crate::cli::system::FileId;

/// What a name of the destination stands for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// A directory itself, not a link to one.
    Directory(FileId),
    /// Anything else.
    Other(FileId),
}

impl Existing {
    /// Tells it from all others.
    pub(super) fn id(self) -> FileId {
        match self {
            Self::Directory(id) | Self::Other(id) => id,
        }
    }
}
