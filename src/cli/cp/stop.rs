//! Why a copy ends early: Ctrl-C, or a destination that takes nothing more. Workers look at it between pieces; the first
//! reason wins.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::super::system;

/// The reason to stop, if there is one.
#[derive(Debug, Default)]
pub(super) struct Stop {
    interrupted: Arc<AtomicBool>,
    /// Set with `reason`, as it is looked at for every piece.
    refused: AtomicBool,
    reason: OnceLock<String>,
}

impl Stop {
    /// A stop that Ctrl-C and the signals to end set.
    ///
    /// # Errors
    /// Where signals cannot be caught.
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        system::on_interrupt(&stop.interrupted)?;
        Ok(stop)
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_interrupted() || self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The destination takes nothing more.
    pub(super) fn refuse(&self, reason: String) {
        let _ = self.reason.set(reason);
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Why the destination takes nothing more.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}
