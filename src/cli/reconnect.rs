//! `vhdmount reconnect`

use vhdmount::container::{OpenOptions, session};

use super::{Failure, config::Reconnect, print, system};

pub(super) fn run(command: Reconnect) -> Result<(), Failure> {
    let options = OpenOptions { host: system::host(), ..OpenOptions::default() };
    let Reconnect { child, parent, files, reset_identity, quiet } = command;
    let done = session::reconnect(files, &parent, &options, reset_identity);
    let done = done.map_err(|error| Failure::image(&child, &error))?;
    if quiet {
        return Ok(());
    }
    let identity =
        if done.identity_changed { ", by its identity, which the child did not name before" } else { "" };
    print(&format!("{}: the parent is {}{identity}\n", child.display(), done.path))
}
