//! `vhdmount capacity`

use vhdmount::image::Image;

use super::{
    Failure,
    args::{Capacity, View},
    print,
};

pub(super) fn run(command: &Capacity) -> Result<(), Failure> {
    let fail = |error| Failure::image(&command.image, &error);
    let image = Image::open(&command.image, &command.open.options(&View::default())).map_err(fail)?;
    let report = image.capacity().report().map_err(fail)?;
    let text = if command.json { report.to_json() } else { report.to_toml() };
    print(&text)
}
