//! `vhdmount info`

pub(super) mod text;

use vhdmount::{image::Image, json};

use super::{
    Failure,
    args::{Info, View},
    print,
};

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let fail = |error| Failure::image(&command.image, &error);
    let info = Image::open(&command.image, &command.open.options(&View::default())).map_err(fail)?.info();
    let output = if command.json { json::to_text(&info) } else { text::of(&info) };
    print(&output)
}
