//! `vhdmount info`

mod chains;
pub(super) mod text;

use std::path::Path;

use serde::Serialize;
use vhdmount::{
    Error,
    container::{self, LayerInfo},
    image::Image,
    json::{self, Document},
};

use super::{Failure, config::Info, print, sandbox};

/// What can be said of an image whose parent is missing.
#[derive(Serialize)]
struct Orphan {
    /// The image, and the parents that are there; top first.
    layers: Vec<LayerInfo>,
    /// What is missing, and where it was looked for.
    missing_parent: String,
}

impl Document for Orphan {
    const SCHEMA: &'static str = "info_orphan/1";
}

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let source = &command.source;
    if command.recursive {
        return chains::run(command);
    }
    if source.image.is_dir() {
        let text = format!("{} is a folder; --recursive draws the chains in it", source.image.display());
        return Err(Failure::image(&source.image, &Error::invalid(text)));
    }
    let opened = Image::open(&source.image, &source.options);
    if let Err(error @ Error::MissingParent { .. }) = &opened {
        orphan(&source.image, command, error)?;
    }
    let image = opened.map_err(|error| source.failure(&error))?;
    sandbox::narrow(Some(image.container()));
    let info = image.info();
    print(&if command.json { json::to_text(&info) } else { text::of(&info) })
}

/// Prints what an image says of itself when its parent is missing.
fn orphan(path: &Path, command: &Info, error: &Error) -> Result<(), Failure> {
    let described = container::describe(path, &command.source.options.container);
    // It could be opened a moment ago.
    let Ok((layers, _)) = described else { return Ok(()) };
    print(&match command.json {
        true => json::to_text(&Orphan { layers, missing_parent: error.to_string() }),
        false => text::of_layers(&layers) + "parent           MISSING\n",
    })
}
