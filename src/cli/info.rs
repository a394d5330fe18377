//! `vhdmount info`

use vhdmount::image::Image;

use super::{
    Failure,
    args::{Info, View},
    print,
};

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let fail = |error| Failure::image(&command.image, &error);
    let info = Image::open(&command.image, &command.open.options(&View::default())).map_err(fail)?.info();
    let text = if command.json { info.to_json() } else { info.to_text() };
    print(&text)
}
