//! The words that findings of all container formats share.

use std::ops::Range;

use crate::Error;

/// What is wrong with a structure that the finding names itself.
pub(super) fn problem(error: &Error) -> String {
    match error.cause() {
        Error::Corrupt(corrupt) => match corrupt.place {
            Some(place) => format!("{} ({place} of the file)", corrupt.problem),
            None => corrupt.problem.to_string(),
        },
        _ => error.to_string(),
    }
}

/// A range of the virtual disk.
pub(super) fn span(bytes: Range<u64>) -> String {
    format!("bytes {:#x} to {:#x} of the disk", bytes.start, bytes.end)
}
