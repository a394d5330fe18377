//! The log of a copy: counts its results and collects its messages, which are listed at the end, so that none is lost
//! among others.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::cli::complain;

/// Bytes of text kept for the list at the end; further messages are printed at once, so that none is lost and memory is
/// bounded.
const BUDGET: usize = 4 << 20;

/// Directories named as examples.
const MAX_NAMED: usize = 3;

/// A counter that the workers share.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts and messages of a copy.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) files: Count,
    pub(super) bytes: Count,
    pub(super) folders: Count,
    pub(super) symlinks: Count,
    pub(super) hard_links: Count,
    /// Files not replaced because of `-n`.
    pub(super) skipped: Count,
    pub(super) failed: Count,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    failures: Vec<String>,
    notes: Vec<String>,
    bytes: usize,
    /// Directories that are entered from another place: the first ones, and their number.
    misplaced: (Vec<String>, u64),
}

impl Log {
    /// Notes a file that was not copied.
    pub(super) fn failure(&self, path: &[u8], why: impl std::fmt::Display) {
        self.failed.add(1);
        self.keep(message(path, &why.to_string()), |lists| &mut lists.failures);
    }

    /// Notes a directory listed in a place from which it is not entered (`fs::reach`): it is copied where it is entered.
    /// Damaged volumes can have many such entries, which become one message.
    pub(super) fn misplaced(&self, path: &[u8]) {
        self.failed.add(1);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let (named, count) = &mut lists.misplaced;
        *count += 1;
        if named.len() < MAX_NAMED {
            named.push(vhdmount::printable::printable(&String::from_utf8_lossy(path)).into_owned());
        }
    }

    /// Notes a file whose copy differs from the image.
    pub(super) fn note(&self, path: &[u8], what: impl std::fmt::Display) {
        self.keep(message(path, &what.to_string()), |lists| &mut lists.notes);
    }

    fn keep(&self, text: String, list: impl FnOnce(&mut Lists) -> &mut Vec<String>) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.bytes + text.len() > BUDGET {
            drop(lists);
            complain(&text);
            return;
        }
        lists.bytes += text.len();
        list(&mut lists).push(text);
    }

    /// Prints the lists: first the differences, then the failures.
    pub(super) fn print(&self, quiet: bool) {
        let mut lists = std::mem::take(&mut *self.lists.lock().unwrap_or_else(PoisonError::into_inner));
        if let (named, count @ 1..) = &lists.misplaced {
            let etc = if *count > named.len() as u64 { ", \u{2026}" } else { "" };
            let why = "their directories are entered from another place, or are among the orphans";
            let text = format!("{} not copied: {why}: {}{etc}", plural(*count, "entry"), named.join(", "));
            lists.failures.push(text);
        }
        lists.notes.sort_unstable();
        lists.failures.sort_unstable();
        let notes = lists.notes.iter().filter(|_| !quiet).map(|note| ("note: ", note));
        for (kind, text) in notes.chain(lists.failures.iter().map(|failure| ("", failure))) {
            complain(&format!("{kind}{text}"));
        }
    }

    /// `3 files, 1 folder`; empty when nothing was copied.
    pub(super) fn counts(&self) -> String {
        let each = [
            (&self.files, "file"),
            (&self.hard_links, "hard link"),
            (&self.symlinks, "symbolic link"),
            (&self.folders, "folder"),
        ];
        let each = each.iter().filter(|(count, _)| count.get() > 0);
        let texts: Vec<_> = each.map(|(count, name)| plural(count.get(), name)).collect();
        if texts.is_empty() { "nothing".into() } else { texts.join(", ") }
    }
}

/// `1 file`, `2 files`.
pub(super) fn plural(count: u64, name: &str) -> String {
    match name.strip_suffix('y') {
        Some(stem) if count != 1 => format!("{count} {stem}ies"),
        _ => format!("{count} {name}{}", if count == 1 { "" } else { "s" }),
    }
}

/// Escapes a name of the image, which must not control the terminal.
fn message(path: &[u8], text: &str) -> String {
    let path = String::from_utf8_lossy(path);
    let whole = if text.contains(&*path) { text.to_owned() } else { format!("{path}: {text}") };
    vhdmount::printable::printable(&whole).into_owned()
}
