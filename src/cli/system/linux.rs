//! Linux.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{Receiver, channel},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH, SIGXFSZ},
    flag,
    iterator::Signals,
};
use vhdmount::tree::Tree;

pub(in crate::cli) use super::unix::{file_id, host, start, terminal_size};
use super::{Signal, unix};
pub(in crate::cli) use crate::platform::Session;
use crate::platform::{self, MountError, MountOptions, default_owner, mount_background_session};

/// A pipe that holds a whole piece needs fewer changes between its two ends.
const PIPE: usize = 1 << 20;

/// Answers the question that `-u` asks a process of its own; false for every other call.
pub(in crate::cli) fn answer_for_library(arguments: &[OsString]) -> bool {
    match arguments {
        [_, question, mountpoint] if question == platform::SERVER_OF => {
            platform::print_server_of(mountpoint.as_ref());
            true
        }
        _ => false,
    }
}

/// Standard output without a buffer of its own, for large pieces.
pub(in crate::cli) fn stdout() -> Box<dyn Write> {
    // What the system does not allow it decides.
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdout(), PIPE);
    unix::stdout()
}

/// Sets the flag at the first signal to end; a second one ends the process at once. A file over the limit of `ulimit -f` becomes an
/// error of its write instead of the process's end.
///
/// # Errors
/// Where signals cannot be caught.
pub(in crate::cli) fn on_interrupt(flag: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        flag::register(signal, flag.clone())?;
    }
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// The signals that come from now on.
///
/// # Errors
/// Where signals cannot be caught.
pub(in crate::cli) fn signals() -> io::Result<Receiver<Signal>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH])?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let event = if signal == SIGWINCH { Signal::Resized } else { Signal::End };
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Mounts a tree until the session is dropped.
///
/// # Errors
/// Why it cannot be mounted here.
pub(in crate::cli) fn session(name: &str, mountpoint: &Path, tree: Arc<Tree>) -> Result<Session, MountError> {
    let (uid, gid) = default_owner();
    mount_background_session(MountOptions::new(mountpoint.to_owned(), name.into(), uid, gid), tree)
}
