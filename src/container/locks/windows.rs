//! Share modes: an open file that shares reading alone keeps every writer out. A file that is written here was opened in that way.

use std::{
    fs::{File, OpenOptions},
    os::windows::fs::OpenOptionsExt,
};

use super::Use;
use crate::bytes::FileSource;

/// `FILE_SHARE_READ | FILE_SHARE_DELETE`
const SHARE_READ: u32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// An open file that shares reading alone.
pub(in crate::container) struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// `None` when another holder is in the way.
    pub(super) fn hold(file: &FileSource, intended: Use) -> Option<Self> {
        if intended == Use::Write {
            return Some(Self { _file: None });
        }
        match open(file) {
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => None,
            opened => Some(Self { _file: opened.ok() }),
        }
    }
}

pub(super) fn has_writer(file: &FileSource) -> bool {
    !file.is_windows_device()
        && open(file).is_err_and(|error| error.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
}

fn open(file: &FileSource) -> std::io::Result<File> {
    OpenOptions::new().read(true).share_mode(SHARE_READ).open(file.path())
}
