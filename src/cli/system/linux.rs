//! Linux.

use std::{
    ffi::OsString,
    fs::File,
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
use vhdmount::{host::Host, tree::Tree};

pub(in crate::cli) use super::unix::{file_id, start, terminal_size};
use super::{Signal, unix};
pub(in crate::cli) use crate::platform::Restriction;
pub(in crate::cli) use crate::platform::Session;
use crate::{
    cli::Failure,
    platform::{
        self, MountError, MountOptions, default_owner, mount_background_session,
        sandbox::{Confined, User},
    },
    rights::Rights,
};

/// Pipe size in bytes: a pipe that holds a whole piece needs fewer context switches between its two ends.
const PIPE: usize = 1 << 20;

/// Handles the internal call by which `-u` queries a mount's server; returns false for every other call.
pub(in crate::cli) fn answer_for_library(arguments: &[OsString]) -> bool {
    match arguments {
        [_, question, mountpoint] if question == platform::SERVER_OF => {
            platform::print_server_of(mountpoint.as_ref());
            true
        }
        _ => false,
    }
}

/// The host interface to disks and to the storage below an image; also from inside the sandbox.
pub(in crate::cli) fn host() -> Arc<dyn Host> {
    Arc::new(Confined)
}

/// Confinement to these rights, as a user if one is named.
///
/// # Errors
/// When there is no such user.
pub(in crate::cli) fn restriction(rights: Rights, user: Option<&str>) -> Result<Restriction, Failure> {
    Ok(Restriction { rights, user: user.map(User::named).transpose()? })
}

/// Gives up, in this process, what it does not need.
///
/// # Errors
/// When it cannot become the user.
pub(in crate::cli) fn confine(restriction: &Restriction) -> Result<(), MountError> {
    platform::sandbox::confine(restriction)
}

/// Gives up the rest of the files but for these.
pub(in crate::cli) fn narrow(files: &mut dyn Iterator<Item = &File>) {
    platform::sandbox::narrow(files);
}

/// Makes a confined process try to get out.
pub(in crate::cli) fn test_sandbox() {
    platform::sandbox::test_from_inside();
}

/// Unbuffered standard output, for large pieces.
pub(in crate::cli) fn stdout() -> Box<dyn Write> {
    // If the system refuses, the pipe keeps its size.
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdout(), PIPE);
    unix::stdout()
}

/// Sets the flag at the first termination signal; a second one ends the process at once. Exceeding `ulimit -f` becomes a
/// write error instead of ending the process.
///
/// # Errors
/// When signals cannot be caught.
pub(in crate::cli) fn on_interrupt(flag: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        flag::register(signal, flag.clone())?;
    }
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// Receives signals from now on.
///
/// # Errors
/// When signals cannot be caught.
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
/// When it cannot be mounted here.
pub(in crate::cli) fn session(name: &str, mountpoint: &Path, tree: Arc<Tree>) -> Result<Session, MountError> {
    let (uid, gid) = default_owner();
    mount_background_session(MountOptions::new(mountpoint.to_owned(), name.into(), uid, gid), tree)
}
