//! The early end of a copy: Ctrl-C, or a destination that accepts no more data. Workers check it between pieces; the
//! first reason is kept.

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
    /// Set with `reason`, as it is read for every piece.
    refused: AtomicBool,
    reason: OnceLock<String>,
}

impl Stop {
    /// A stop that is set by Ctrl-C and the termination signals.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        // A fuzzer has its own handlers, and copies a million times.
        if cfg!(not(fuzzing)) {
            system::on_interrupt(&stop.interrupted)?;
        }
        Ok(stop)
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_interrupted() || self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Stops the copy: the destination accepts no more data.
    pub(super) fn refuse(&self, reason: String) {
        let _ = self.reason.set(reason);
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Why the destination accepts no more data.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}
