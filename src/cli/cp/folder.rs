//! The directories of the destination while something is still being copied into them. The last one that lets go of a
//! folder sets its times: earlier they would be changed again.

use std::{
    ffi::{OsStr, OsString},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use vhdmount::fs::Times;

use super::Context;

/// Who made a directory, and with that what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This run, and nothing else puts something into it.
    Fresh,
    /// This run, for another name that is the same one in the destination: what is in it is this run's as well.
    Shared,
    /// It was there before.
    Found,
}

/// A directory of the destination.
pub(super) struct Folder<'a> {
    /// Tells it from all others.
    #[cfg_attr(not(unix), expect(dead_code, reason = "directories are kept open on POSIX systems alone"))]
    pub(super) id: u64,
    /// `None`: it is the directory where the target begins.
    pub(super) parent: Option<Arc<Self>>,
    /// Its name in the destination; empty for the beginning.
    pub(super) name: OsString,
    /// Its name in the image; for what the user named the whole path.
    source: Vec<u8>,
    pub(super) origin: Origin,
    times: Option<Times>,
    context: &'a Context<'a>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl<'a> Folder<'a> {
    /// The directory where the target begins, for what comes from `source`. `times`: those to set in the end.
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

    /// A directory in `parent`.
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

    /// True when this run alone puts something into it, so that a name can only be taken by another of the image.
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

    /// Where an entry of this directory lies on the host, for messages.
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
        // One after the other: dropped in each other, thousands of nested folders would need as many stack frames.
        let mut parent = self.parent.take();
        while let Some(mut folder) = parent.take().and_then(Arc::into_inner) {
            folder.finish();
            folder.times = None;
            parent = folder.parent.take();
        }
    }
}
