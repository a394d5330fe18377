//! Systems on which nothing can be mounted yet.

use std::path::Path;

use super::{Failure, args};

pub(super) fn run(_: args::Mount) -> Result<(), Failure> {
    Err(Failure::mountpoint(
        "mounting is not there yet on this system; info, ls, cat, cp, check, capacity and map work",
    ))
}

pub(super) fn unmount(_: &Path) -> Result<(), Failure> {
    Err(Failure::mountpoint("mounting is not there yet on this system"))
}
