//! Commands on generated images, for a fuzz target and for tests on seeds: what they print goes into memory, and what `cp`
//! copies into a folder, which under a fuzzer is in memory as well.

use std::{ffi::OsString, sync::LazyLock};

use clap::Parser;
use vhdmount::{
    image::Image,
    map::{Map, PICTURE_COLUMNS, Style},
    testing::{Input, bodies},
    tree::Tree,
};

use super::{
    args::Arguments,
    config::{Action, Cp, Ls},
    cp, info, ls,
};

/// Arguments are parsed once: that takes longer than most listings.
static LISTINGS: LazyLock<Vec<Ls>> = LazyLock::new(|| {
    let options =
        ["-lR", "-R", "-lhR", "--deleted", "-l --deleted", "--orphans", "--orphans --json", "-R --orphans"];
    let listing = |options: &str| match action(&format!("ls {options} unused.img")) {
        Action::Ls(command) => command,
        _ => unreachable!("it is ls"),
    };
    options.into_iter().map(listing).collect()
});
static COPIES: LazyLock<Vec<Cp>> = LazyLock::new(|| {
    let options = ["", "--streams=xattr", "--streams=files", "--attributes", "-f", "-n --streams=files"];
    let copy = |options: &str| match action(&format!("cp -rq {options} unused.img / /")) {
        Action::Cp(command) => Cp { workers: 2, ..command },
        _ => unreachable!("it is cp"),
    };
    options.into_iter().map(copy).collect()
});

fn action(line: &str) -> Action {
    let words = ["vhdmount"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    let arguments = Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    Action::resolve(arguments, None).unwrap_or_else(|failure| panic!("{line}: {}", failure.text()))
}

/// Runs a command chosen by `data` on an image that is.
///
/// # Panics
/// When something is wrong with it.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, choice) = (input.below(8), usize::from(input.byte()));
    let Some((image, sound)) = bodies::opened_image(&mut input) else { return };
    let Ok(tree) = image.tree(None) else { return };
    match kind {
        0..=2 => {
            let mut out = Vec::new();
            let terminal = choice & 0x80 != 0;
            // Damage is noted; what could be listed is there.
            let _ = ls::list(&tree, &LISTINGS[choice % LISTINGS.len()], &mut out, terminal);
            if terminal {
                harmless(&String::from_utf8(out).expect("printable text"));
            }
        }
        3..=6 => copy(&tree, &COPIES[choice % COPIES.len()], sound),
        _ => report(&image, choice),
    }
}

#[cfg(fuzzing)]
fn copy(tree: &Tree, command: &Cp, sound: bool) {
    cp::compare_copies(tree, command, sound);
}

#[cfg(not(fuzzing))]
fn copy(tree: &Tree, command: &Cp, _: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let Cp { options, workers, quiet, .. } = *command;
    let Action::Cp(other) = action("cp -r unused.img / /") else { unreachable!("it is cp") };
    let dest = folder.path().to_owned();
    let _ = cp::copy_out(tree, Vec::new(), &Cp { dest, options, workers, quiet, ..other });
}

/// What `info` and `map` print.
fn report(image: &Image, choice: usize) {
    harmless(&info::text::of(&image.info()));
    let Ok(map) = Map::of(image, PICTURE_COLUMNS) else { return };
    harmless(&map.to_text(Style { width: 40 + choice % 100, colour: false }));
    if choice % 16 == 15 {
        map.draw("now").to_png().expect("a picture in memory");
    }
}

/// No text of an image controls a terminal.
fn harmless(text: &str) {
    let harmful = text.chars().find(|character| character.is_control() && *character != '\n');
    assert!(harmful.is_none(), "{harmful:?} in {text:?}");
}

#[cfg(test)]
#[test]
fn commands_on_generated_images() {
    (0..200).for_each(|seed| run(&vhdmount::testing::seeded(seed, 400)));
}
