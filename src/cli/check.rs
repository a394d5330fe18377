//! `vhdmount check`

mod progress;
mod text;

use vhdmount::{
    image::check::{CheckOptions, Verdict, check},
    json,
};

use super::{
    Failure,
    args::Check,
    exit::{Class, unless_closed},
    print,
    progress::Line,
};

/// Examines the image and prints what was found. How bad it is becomes the exit code.
pub(super) fn run(command: &Check, quiet: bool) -> Result<(), Failure> {
    let options = CheckOptions {
        open: command.open.options(&command.view()),
        partition: command.partition,
        parents: !command.no_parents,
    };
    let mut line = Line::new(!quiet && !command.json);
    let examined = check(&command.image, &options, &mut |progress| line.show(|| progress::render(progress)));
    line.clear();
    let examination = examined.map_err(|error| Failure::image(&command.image, &error))?;
    unless_closed(print(&if command.json {
        json::to_text(&examination)
    } else {
        text::of(&examination, quiet)
    }))?;
    match examination.verdict {
        Verdict::Clean => Ok(()),
        Verdict::Warnings => Err(Failure::printed(Class::Warnings)),
        Verdict::Errors => Err(Failure::printed(Class::Errors)),
    }
}
