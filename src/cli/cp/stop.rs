//! Why a copy ends early: Ctrl-C, or a destination that takes nothing more. Workers look at it between pieces; the first
//! reason wins.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

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
        catch(&stop.interrupted)?;
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

/// The first signal sets the flag, a second one ends the process at once. A file over the limit of `ulimit -f` is an error of its
/// write, of which the signal says no more.
#[cfg(target_os = "linux")]
fn catch(flag: &Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::{consts, flag};
    for signal in [consts::SIGINT, consts::SIGTERM, consts::SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        flag::register(signal, flag.clone())?;
    }
    flag::register(consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

#[cfg(windows)]
fn catch(flag: &Arc<AtomicBool>) -> io::Result<()> {
    let flag = flag.clone();
    crate::platform::on_control(move || flag.store(true, Ordering::Relaxed))
}

#[cfg(not(any(target_os = "linux", windows)))]
fn catch(_: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}
