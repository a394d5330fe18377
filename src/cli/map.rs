//! `vhdmount map`

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use vhdmount::{
    image::Image,
    map::{self, PICTURE_COLUMNS},
};

use super::{
    Failure,
    config::{Drawing, Map},
    date, print, system,
};

pub(super) fn run(command: &Map) -> Result<(), Failure> {
    let fail = |error| command.source.failure(&error);
    let image = command.source.open()?;
    command.source.warn_of_writers(&image);
    let (svg, png) = match &command.drawing {
        Drawing::Text(style) => {
            let map = map::Map::of(&image, style.columns()).map_err(fail)?;
            return print(&map.to_text(*style));
        }
        Drawing::Pictures { svg, png } => (svg, png),
    };
    for file in [svg, png].into_iter().flatten() {
        spare(&image, file)?;
    }
    let map = map::Map::of(&image, PICTURE_COLUMNS).map_err(fail)?;
    let drawing = map.draw(&format!("as of {} UTC", date::now()));
    if let Some(file) = svg {
        write(file, drawing.to_svg().as_bytes())?;
    }
    if let Some(file) = png {
        write(file, &drawing.to_png().map_err(fail)?)?;
    }
    Ok(())
}

/// Refuses to write a picture over the image or one of its parents, under any name, or over a device.
fn spare(image: &Image, picture: &Path) -> Result<(), Failure> {
    let Ok(target) = std::fs::metadata(picture) else { return Ok(()) };
    let container = image.container();
    let files = container.files().iter().flatten().chain(container.pieces());
    if !target.is_file() && picture != Path::new("/dev/stdout") && picture != Path::new("/dev/null") {
        return Err(Failure::usage(format_args!("{} is not a file: name another", picture.display())));
    }
    // A picture that cannot be opened cannot be written either; the write then reports the error.
    let picture_id =
        target.is_file().then(|| File::open(picture).ok().as_ref().and_then(system::file_id)).flatten();
    let same = |file: &File| picture_id.is_some() && system::file_id(file) == picture_id;
    match files.map(|file| file.file()).any(same) {
        true => Err(Failure::usage(format_args!(
            "{} is the image itself or a parent of it, to which nothing is ever written: name another file",
            picture.display()
        ))),
        false => Ok(()),
    }
}

fn write(file: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    if file == Path::new("-") {
        let mut out = std::io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error));
    }
    std::fs::write(file, bytes).map_err(|error| Failure::inside(file.display(), error))
}
