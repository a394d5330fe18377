//! What a listing could not show: the first of each kind by name, the rest counted, as a damaged volume can have millions.

use vhdmount::Error;

use super::super::Failure;

/// Errors that are reported one by one.
const MAX_REPORTED: u64 = 20;
/// Directories that are named as examples.
const MAX_NAMED: usize = 3;

/// Collects what goes wrong; reports it at the end, or at once while there is little.
#[derive(Default)]
pub(in crate::cli) struct Notes {
    errors: u64,
    misplaced: u64,
    named: Vec<String>,
    failed: Option<Failure>,
}

impl Notes {
    /// Something could not be listed, or not all of it.
    pub(in crate::cli) fn error(&mut self, path: &[u8], error: Error) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.errors += 1;
        if self.errors <= MAX_REPORTED {
            log::warn!("{path}: {error}");
        }
        self.failed.get_or_insert_with(|| Failure::inside(path, error));
    }

    /// A directory is listed where it is not entered (`fs::reach`); `why` is asked of the first.
    pub(in crate::cli) fn misplaced(&mut self, path: &[u8], why: impl FnOnce() -> Error) {
        self.misplaced += 1;
        let path = String::from_utf8_lossy(path).into_owned();
        if self.named.len() < MAX_NAMED {
            self.named.push(path.clone());
        }
        self.failed.get_or_insert_with(|| Failure::inside(path, why()));
    }

    /// Reports what was counted; returns the first that went wrong.
    pub(in crate::cli) fn end(&mut self) -> Option<Failure> {
        if let Some(more @ 1..) = self.errors.checked_sub(MAX_REPORTED) {
            log::warn!("{more} more entries or directories could not be read");
        }
        if self.misplaced > 0 {
            let (count, first) = (self.misplaced, self.named.join(", "));
            let lead = if count == 1 {
                "entry leads to a directory that is"
            } else {
                "entries lead to directories that are"
            };
            let etc = if self.misplaced > self.named.len() as u64 { ", \u{2026}" } else { "" };
            log::warn!("{count} {lead} entered from another place, or among the orphans: {first}{etc}");
        }
        self.failed.take()
    }
}
