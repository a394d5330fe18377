//! The pages of 4 KiB of the file that are in memory: those that changed and are in no log entry yet, those that the log has, and copies
//! of pages of the block table and the bitmaps.
//!
//! While the log names a page, that page changes through the log alone, whatever it holds: a replay would put the logged content over
//! what was written since.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::super::format::LOG_SECTOR;
use crate::{Result, bytes::Backing};

/// Bytes of a page, which is what a log descriptor describes.
pub(super) const PAGE: u64 = LOG_SECTOR as u64;
/// Copies of unchanged pages that are kept: 4 MiB, the table of 1 TiB in blocks of 2 MiB.
const MAX_COPIES: usize = 1024;

/// The content of a page.
pub(super) type Page = [u8; LOG_SECTOR];

/// Pages by their offset in the file.
#[derive(Default)]
pub(super) struct Pages {
    /// Changed, and in no log entry yet.
    pub(super) staged: BTreeMap<u64, Box<Page>>,
    /// Named by a log entry that a replay would apply.
    logged: BTreeMap<u64, Logged>,
    copies: Mutex<HashMap<u64, Arc<Page>>>,
}

struct Logged {
    /// Number of the newest entry that has the page.
    number: u64,
    /// Until it is in its place in the file.
    content: Option<Box<Page>>,
}

impl Pages {
    /// Applies `look` to a page of the block table or a bitmap.
    pub(super) fn with<T>(&self, file: &dyn Backing, at: u64, look: impl FnOnce(&Page) -> T) -> Result<T> {
        if let Some(page) = self.changed(at) {
            return Ok(look(page));
        }
        let copies = || self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = copies().get(&at).cloned() {
            return Ok(look(&page));
        }
        let mut page = [0; LOG_SECTOR];
        file.read_exact_at(at, &mut page)?;
        let mut copies = copies();
        if copies.len() >= MAX_COPIES {
            copies.clear();
        }
        copies.insert(at, Arc::new(page));
        Ok(look(&page))
    }

    /// A page of any kind, to be changed; the change goes into the next log entry.
    pub(super) fn stage(&mut self, file: &dyn Backing, at: u64) -> Result<&mut Page> {
        if !self.staged.contains_key(&at) {
            let mut page = Box::new([0; LOG_SECTOR]);
            match self.logged.get(&at).and_then(|logged| logged.content.as_ref()) {
                Some(content) => page.copy_from_slice(&**content),
                None => file.read_exact_at(at, &mut *page)?,
            }
            self.copies.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&at);
            self.staged.insert(at, page);
        }
        Ok(self.staged.get_mut(&at).expect("it was just inserted"))
    }

    /// Replaces a whole page.
    pub(super) fn replace(&mut self, at: u64, content: &Page) {
        self.copies.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&at);
        self.staged.insert(at, Box::new(*content));
    }

    /// Pages in the range that must not be written in place.
    pub(super) fn held(&self, bytes: Range<u64>) -> usize {
        let pages = bytes.start / PAGE * PAGE..bytes.end;
        self.staged.range(pages.clone()).count() + self.logged.range(pages).count()
    }

    /// True when the page must not be written in place.
    pub(super) fn is_held(&self, at: u64) -> bool {
        self.staged.contains_key(&at) || self.logged.contains_key(&at)
    }

    /// The first page from `at` on that must not be written in place.
    pub(super) fn first_held(&self, at: u64) -> Option<u64> {
        let first = [
            self.staged.range(at..).next().map(|(at, _)| *at),
            self.logged.range(at..).next().map(|(at, _)| *at),
        ];
        first.into_iter().flatten().min()
    }

    /// Replaces what was read from the file at `at` by what is newer in memory.
    pub(super) fn apply(&self, at: u64, buf: &mut [u8]) {
        let pages = at / PAGE * PAGE..at + buf.len() as u64;
        let logged = self.logged.range(pages.clone());
        let logged = logged.filter_map(|(at, logged)| Some((*at, &**logged.content.as_ref()?)));
        let staged = self.staged.range(pages).map(|(at, page)| (*at, &**page));
        for (start, page) in logged.chain(staged) {
            let (from, to) = (start.max(at), (start + PAGE).min(at + buf.len() as u64));
            let index = |at: u64| usize::try_from(at).expect("inside a buffer in memory");
            buf[index(from - at)..index(to - at)]
                .copy_from_slice(&page[index(from - start)..index(to - start)]);
        }
    }

    /// Writes staged pages to their places, which nothing leads to yet; the caller chooses which.
    pub(super) fn write_through(
        &mut self,
        file: &dyn Backing,
        is_chosen: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let chosen: Vec<u64> = self.staged.keys().copied().filter(|at| is_chosen(*at)).collect();
        for at in chosen {
            if let Some(page) = self.staged.get(&at) {
                file.write_all_at(at, &**page)?;
            }
            self.staged.remove(&at);
        }
        Ok(())
    }

    /// Staged pages are now in the log entry of this number.
    pub(super) fn logged(&mut self, number: u64) {
        for (at, content) in std::mem::take(&mut self.staged) {
            self.logged.insert(at, Logged { number, content: Some(content) });
        }
    }

    /// Writes what the log has to its place. The caller has made the log durable.
    pub(super) fn place(&mut self, file: &dyn Backing) -> Result<()> {
        let mut stretch: (u64, Vec<u8>) = (0, Vec::new());
        for (at, logged) in &self.logged {
            let Some(content) = &logged.content else { continue };
            if stretch.0 + stretch.1.len() as u64 != *at && !stretch.1.is_empty() {
                file.write_all_at(stretch.0, &stretch.1)?;
                stretch.1.clear();
            }
            if stretch.1.is_empty() {
                stretch.0 = *at;
            }
            stretch.1.extend_from_slice(&**content);
        }
        if !stretch.1.is_empty() {
            file.write_all_at(stretch.0, &stretch.1)?;
        }
        self.logged.values_mut().for_each(|logged| logged.content = None);
        Ok(())
    }

    /// The log has no entry below this number any more.
    pub(super) fn forgotten(&mut self, before: u64) {
        self.logged.retain(|_, logged| logged.number >= before);
    }

    fn changed(&self, at: u64) -> Option<&Page> {
        let logged = || self.logged.get(&at).and_then(|logged| logged.content.as_deref());
        self.staged.get(&at).map(|page| &**page).or_else(logged)
    }
}
