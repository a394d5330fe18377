//! Notes on entries that could not be listed: the first of each kind by name, the rest counted, as a damaged volume can
//! have millions.

use vhdmount::{
    Error,
    printable::printable,
    tree::{Tree, Volume},
};

use super::super::{Failure, complain};

/// Errors reported one by one.
const MAX_REPORTED: u64 = 20;
/// Directories named as examples.
const MAX_NAMED: usize = 3;

/// Collects errors of a listing; reports the first ones at once, the rest at the end.
#[derive(Default)]
pub(in crate::cli) struct Notes {
    errors: u64,
    misplaced: u64,
    hidden: Vec<String>,
    named: Vec<String>,
    failed: Option<Failure>,
}

impl Notes {
    /// Notes that an entry could not be listed, or not all of it.
    pub(in crate::cli) fn error(&mut self, path: &[u8], error: Error) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.errors += 1;
        if self.errors <= MAX_REPORTED {
            log::warn!("{path}: {error}");
        }
        self.failed.get_or_insert_with(|| Failure::inside(path, error));
    }

    /// Notes the volumes that the root does not list. They fail nothing: what is listed is whole.
    pub(in crate::cli) fn hidden(&mut self, tree: &Tree) {
        if tree.volume_at(Tree::ROOT).is_some() {
            return;
        }
        let hidden = tree.hidden_volumes().iter().filter(|volume| volume.has_files);
        self.hidden.extend(hidden.map(|volume| format!("{} is not listed: {}", volume.name, volume.why)));
    }

    /// Notes a volume whose kind of filesystem is not searched for `what`.
    pub(in crate::cli) fn not_examined(&mut self, volume: &Volume, what: &str) {
        let kind = volume.fs.volume().filesystem;
        self.hidden.push(format!(
            "{} is not searched for {what}: {} is not examined for them",
            volume.name,
            kind.name()
        ));
    }

    /// Notes a directory listed in a place from which it is not entered (`fs::reach`); `why` is called for the first one
    /// only.
    pub(in crate::cli) fn misplaced(&mut self, path: &[u8], why: impl FnOnce() -> Error) {
        self.misplaced += 1;
        let path = String::from_utf8_lossy(path).into_owned();
        if self.named.len() < MAX_NAMED {
            self.named.push(path.clone());
        }
        self.failed.get_or_insert_with(|| Failure::inside(path, why()));
    }

    /// Reports the counted errors; returns the first failure.
    pub(in crate::cli) fn end(&mut self) -> Option<Failure> {
        std::mem::take(&mut self.hidden).iter().for_each(|volume| complain(&printable(volume)));
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
