//! Hard links among the copied files: the first name of a file is copied, the others wait for it and become links to it.

use std::{
    ffi::OsString,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use super::folder::Folder;

/// The first name of a file with several names, and the outcome of its copy.
pub(super) struct First<'a> {
    outcome: Mutex<Outcome<'a>>,
    decided: Condvar,
}

/// The place of a copy: its folder and name.
pub(super) type Copied<'a> = (Arc<Folder<'a>>, OsString);

enum Outcome<'a> {
    Pending,
    Copied(Copied<'a>),
    Failed,
}

/// Held by the worker that copies the first name. Dropping it without an outcome means failure, so that no other name
/// waits forever.
pub(super) struct Hold<'a>(pub(super) Arc<First<'a>>);

impl<'a> First<'a> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { outcome: Mutex::new(Outcome::Pending), decided: Condvar::new() })
    }

    /// Waits until the first name is copied; `None` if that failed, or left another file in its place.
    pub(super) fn copied(&self) -> Option<Copied<'a>> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*outcome {
                Outcome::Pending => {
                    outcome = self.decided.wait(outcome).unwrap_or_else(PoisonError::into_inner);
                }
                Outcome::Copied(copied) => return Some(copied.clone()),
                Outcome::Failed => return None,
            }
        }
    }

    fn decide(&self, decision: Outcome<'a>) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*outcome, Outcome::Pending) {
            *outcome = decision;
            self.decided.notify_all();
        }
    }
}

impl<'a> Hold<'a> {
    /// Reports that the first name has been copied.
    pub(super) fn done(self, folder: &Arc<Folder<'a>>, name: OsString) {
        self.0.decide(Outcome::Copied((folder.clone(), name)));
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.decide(Outcome::Failed);
    }
}
