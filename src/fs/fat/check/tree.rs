//! The check of all directories, from the root down. Guards: the depth is bounded, and each directory is entered through one
//! entry.

use std::sync::Arc;

use super::{
    super::{ROOT, boot::Root, chain::Chain, directory::Slots, format::attr},
    Check, Object,
    chain::End,
};
use crate::{
    check::Severity,
    fs::{Name, findings::Kind},
};

const DAMAGED: Kind = Kind {
    severity: Severity::Error,
    name: "damaged directories",
    meaning: "What lies behind the damage is not listed. The clusters of those files and directories are among the lost ones.",
};
const DEEP: Kind = Kind {
    severity: Severity::Error,
    name: "directories inside each other",
    meaning: "No path of Windows is that long: the directories are damaged. What lies deeper is not examined.",
};

/// Maximum depth: paths of Windows have at most 260 characters, or 32,767 with long paths enabled in the registry.
const MAX_DEPTH: usize = 512;
/// Maximum number of entries of cross-linked directories; beyond it, the walk enters no further directories.
pub(super) const MAX_LOSERS: usize = 100_000;

/// A directory on the path from the root to the current one.
struct Level {
    chain: Arc<Chain>,
    first: u32,
    /// Slot at which the search for the next subdirectory continues.
    cursor: u32,
    /// Length of the path of this directory.
    path: usize,
}

impl Check<'_, '_> {
    /// Walks the whole tree.
    pub(super) fn tree(&mut self) {
        self.path.clear();
        if let Root::Chain { first_cluster } = self.fat.geometry.root {
            let claimed = self.claim(first_cluster, Object::Here);
            self.directory_chain(Object::Here, claimed.end);
        }
        let root = match self.fat.directory(ROOT) {
            Ok(root) => root,
            Err(error) => return self.report(&DAMAGED, "root directory", error.to_string()),
        };
        let mut stack = vec![self.enter(root, 0, 0)];
        let mut name = Vec::new();
        while let Some(level) = stack.last_mut() {
            self.path.truncate(level.path);
            self.findings.progress("clusters of files", self.done.into(), self.fat.geometry.clusters.into());
            let mut slots = Slots::new(&level.chain, &self.fat.pages, level.cursor);
            let Ok(Some(entry)) = slots.next_entry(&self.fat.decoder, &mut name) else {
                stack.pop();
                continue;
            };
            level.cursor = entry.next;
            let (parent, first) = (level.first, self.fat.first_cluster(&entry.short));
            if entry.short.attr & attr::DIRECTORY == 0
                || !self.fat.geometry.is_data_cluster(first)
                || self.losers.contains(&entry.position)
            {
                continue;
            }
            let shown = shown(&name);
            if stack.len() >= MAX_DEPTH || self.losers.len() >= MAX_LOSERS {
                self.incomplete = true;
                self.report_of(
                    &DEEP,
                    Object::Directory(&shown),
                    &format!("{} directories deep", stack.len()),
                );
                continue;
            }
            let Ok(chain) = self.fat.own_directory_at(first) else { continue };
            self.path = format!("{}/{shown}", self.path);
            stack.push(self.enter(chain, first, parent));
        }
    }

    /// Checks all entries of a directory before its subdirectories are entered.
    fn enter(&mut self, chain: Arc<Chain>, first: u32, parent: u32) -> Level {
        if let Err(error) = self.entries(&chain, first, parent) {
            self.incomplete = true;
            self.report_of(&DAMAGED, Object::Here, &error.to_string());
        }
        Level { chain, first, cursor: 0, path: self.path.len() }
    }

    /// Reports a damaged end of a directory's chain.
    pub(super) fn directory_chain(&mut self, directory: Object<'_>, end: End) {
        if let End::Broken(problem) = end {
            self.incomplete = true;
            self.report_of(&DAMAGED, directory, &problem);
        }
    }
}

/// A name in printable form for findings.
pub(super) fn shown(units: &[u16]) -> String {
    crate::printable::printable(&Name(units).to_string()).into_owned()
}
