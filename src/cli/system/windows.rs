//! Windows.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
};

use vhdmount::{host::Host, tree::Tree};

use super::{FileId, Signal};
pub(in crate::cli) use crate::platform::sandbox::Restriction;
use crate::{cli::Failure, platform, rights::Rights};

/// The host interface to disks and to the storage below an image.
pub(in crate::cli) fn host() -> Arc<dyn Host> {
    Arc::new(platform::Windows)
}

/// Prepares the process.
pub(in crate::cli) fn start() {
    platform::understand_escapes();
}

/// Always false: there are no internal calls here.
pub(in crate::cli) fn answer_for_library(_: &[OsString]) -> bool {
    false
}

/// Columns and rows of the terminal on standard output.
pub(in crate::cli) fn terminal_size() -> Option<(u16, u16)> {
    terminal_size::terminal_size_of(io::stdout()).map(|(columns, rows)| (columns.0, rows.0))
}

/// Standard output, for large pieces.
pub(in crate::cli) fn stdout() -> Box<dyn Write> {
    Box::new(io::stdout().lock())
}

/// Identifies an open file of the host.
pub(in crate::cli) fn file_id(file: &File) -> Option<FileId> {
    platform::file_id(file).ok()
}

/// Confinement to these rights, as far as a process of Windows confines itself; there is no change of the user.
///
/// # Errors
/// When a user is named.
pub(in crate::cli) fn restriction(rights: Rights, user: Option<&str>) -> Result<Restriction, Failure> {
    match user {
        Some(_) => Err(Failure::usage("--user: only on Linux")),
        None => Ok(Restriction { rights }),
    }
}

/// Gives up, in this process, what it does not need.
///
/// # Errors
/// Never.
pub(in crate::cli) fn confine(restriction: &Restriction) -> Result<(), Failure> {
    restriction.confine();
    Ok(())
}

/// Does nothing: what a process of Windows can give up is given up at once.
pub(in crate::cli) fn narrow(_: &mut dyn Iterator<Item = &File>) {}

/// Makes a confined process try to get out.
pub(in crate::cli) fn test_sandbox() {
    platform::sandbox::test_from_inside();
}

/// Sets the flag at Ctrl-C.
///
/// # Errors
/// When Windows refuses the handler.
pub(in crate::cli) fn on_interrupt(flag: &Arc<AtomicBool>) -> io::Result<()> {
    let flag = flag.clone();
    platform::on_control(move || flag.store(true, Ordering::Relaxed))
}

/// Receives signals from now on.
///
/// # Errors
/// When Windows refuses the handler.
pub(in crate::cli) fn signals() -> io::Result<Receiver<Signal>> {
    let (sender, receiver) = channel();
    platform::on_control(move || {
        let _ = sender.send(Signal::End);
    })?;
    Ok(receiver)
}

/// Never constructed.
pub(in crate::cli) enum Session {}

/// Always fails: the demo shows its tree without a mount, as WinFsp may not be installed.
pub(in crate::cli) fn session(_: &str, _: &Path, _: Arc<Tree>) -> Result<Session, &'static str> {
    Err("on Windows the demo does without a mount")
}
