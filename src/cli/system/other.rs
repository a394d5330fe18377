//! Systems on which mounting is not implemented.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{Receiver, channel},
    },
};

use vhdmount::tree::Tree;

use super::Signal;
pub(in crate::cli) use super::unix::{file_id, host, start, stdout, terminal_size};
use crate::{cli::Failure, rights::Rights};

/// Always false: there are no internal calls here.
pub(in crate::cli) fn answer_for_library(_: &[OsString]) -> bool {
    false
}

/// There is no sandbox here.
pub(in crate::cli) struct Restriction;

/// There is no sandbox here, and no change of the user.
///
/// # Errors
/// When a user is named.
pub(in crate::cli) fn restriction(_: Rights, user: Option<&str>) -> Result<Restriction, Failure> {
    match user {
        Some(_) => Err(Failure::usage("--user: only on Linux")),
        None => Ok(Restriction),
    }
}

/// Does nothing: there is no sandbox here.
///
/// # Errors
/// Never.
pub(in crate::cli) fn confine(_: &Restriction) -> Result<(), Failure> {
    Ok(())
}

/// Does nothing: there is no sandbox here.
pub(in crate::cli) fn narrow(_: &mut dyn Iterator<Item = &File>) {}

/// Does nothing: there is no sandbox here.
pub(in crate::cli) fn test_sandbox() {}

/// Does nothing: signals end the process.
pub(in crate::cli) fn on_interrupt(_: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}

/// No events: signals end the process.
pub(in crate::cli) fn signals() -> io::Result<Receiver<Signal>> {
    Ok(channel().1)
}

/// Never constructed.
pub(in crate::cli) enum Session {}

/// Always fails: mounting is not implemented here.
pub(in crate::cli) fn session(_: &str, _: &Path, _: Arc<Tree>) -> Result<Session, &'static str> {
    Err("mounting is not there yet on this system")
}
