//! Directories of the destination that are being filled. The last user of a folder sets its times, as any earlier change
//! would be overwritten by further copying.

use std::{
    ffi::{OsStr, OsString},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use vhdmount::fs::Times;

use super::Context;

/// Which process created a directory, and thus the entries in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This run; nothing else creates entries in it.
    Fresh,
    /// This run, for another name of the image that is the same name in the destination: the entries are this run's as
    /// well.
    Shared,
    /// It existed before.
    Found,
}

/// A directory of the destination.
pub(super) struct Folder<'a> {
    /// Identifies the folder among all others.
    #[cfg_attr(not(unix), expect(dead_code, reason = "directories are kept open on POSIX systems alone"))]
    pub(super) id: u64,
    /// `None` for the root directory of the target.
    pub(super) parent: Option<Arc<Self>>,
    /// Its name in the destination; empty for the target's root.
    pub(super) name: OsString,
    /// Its name in the image; for a path that the user gave, the whole path.
    source: Vec<u8>,
    pub(super) origin: Origin,
    times: Option<Times>,
    context: &'a Context<'a>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl<'a> Folder<'a> {
    /// The root directory of the target, for the content of `source`. `times`: those to set at the end.
    pub(super) fn beginning(context: &'a Context<'a>, source: &[u8], times: Option<Times>) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            parent: None,
            name: OsString::new(),
            source: source.to_vec(),
            origin: Origin::Found,
            times,
            context,
        })
    }

    /// A directory inside `parent`.
    pub(super) fn new(
        parent: &Arc<Self>,
        name: OsString,
        source: Vec<u8>,
        origin: Origin,
        times: Times,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            parent: Some(parent.clone()),
            name,
            source,
            origin,
            times: Some(times),
            context: parent.context,
        })
    }

    /// True when only this run creates entries in it, so that a name can only be taken by another one of the image.
    pub(super) fn is_fresh(&self) -> bool {
        self.origin == Origin::Fresh
    }

    /// The path inside the image of an entry of this directory.
    pub(super) fn path(&self, entry: &[u8]) -> Vec<u8> {
        let mut parts = vec![entry];
        let mut at = Some(self);
        while let Some(folder) = at {
            parts.push(&folder.source);
            at = folder.parent.as_deref();
        }
        parts.retain(|part| !part.is_empty());
        parts.reverse();
        parts.join(&b'/')
    }

    /// The path on the host of an entry of this directory, for messages.
    pub(super) fn shown(&self, entry: &OsStr) -> String {
        let mut parts = vec![entry];
        let mut at = self;
        while let Some(parent) = &at.parent {
            parts.push(&at.name);
            at = parent;
        }
        let mut path = self.context.target.path().to_owned();
        path.extend(parts.iter().rev().filter(|part| !part.is_empty()));
        path.display().to_string()
    }

    fn finish(&self) {
        let Some(times) = &self.times else { return };
        let target = &self.context.target;
        let set = match &self.parent {
            Some(parent) => target.set_times(parent, &self.name, times),
            None => target.set_own_times(times),
        };
        if let Err(error) = set {
            self.context.log.note(&self.path(b""), format_args!("its times cannot be set: {error}"));
        }
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        self.finish();
        // Iteratively: a recursive drop of thousands of nested folders would need as many stack frames.
        let mut parent = self.parent.take();
        while let Some(mut folder) = parent.take().and_then(Arc::into_inner) {
            folder.finish();
            folder.times = None;
            parent = folder.parent.take();
        }
    }
}
