//! `vhdmount info`

pub(super) mod text;

use vhdmount::json;

use super::{Failure, config::Info, print};

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let info = command.source.open()?.info();
    print(&if command.json { json::to_text(&info) } else { text::of(&info) })
}
