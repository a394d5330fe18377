//! Systems on which mounting is not implemented.

use std::path::Path;

use super::{Failure, args, helper::MountHelper};

/// How the command was called, apart from the arguments of a mount.
pub(super) struct Call {
    pub(super) debug: bool,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    /// Set when mount(8) calls.
    pub(super) helper: Option<MountHelper>,
}

/// Never constructed.
pub(super) enum Config {}

impl Config {
    pub(super) fn resolve(_: args::Mount, _: Call) -> Result<Self, Failure> {
        Err(Failure::mountpoint(
            "mounting is not there yet on this system; info, ls, cat, cp, check, capacity and map work",
        ))
    }
}

pub(super) fn run(mount: Config) -> Result<(), Failure> {
    match mount {}
}

pub(super) fn unmount(_: &Path) -> Result<(), Failure> {
    Err(Failure::mountpoint("mounting is not there yet on this system"))
}
