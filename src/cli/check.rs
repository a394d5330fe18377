//! `vhdmount check`

mod progress;
mod text;

use vhdmount::{
    image::check::{Examinable, Verdict},
    json,
};

use super::{
    Failure,
    config::Check,
    exit::{Class, unless_closed},
    print,
    progress::Line,
    sandbox,
};

/// Checks the image and prints the findings. Their severity determines the exit code.
pub(super) fn run(command: &Check) -> Result<(), Failure> {
    let Check { image, options, json, quiet } = command;
    let mut line = Line::new(!quiet && !json);
    let examined = Examinable::open(image, options).and_then(|opened| {
        sandbox::narrow(opened.container());
        opened.examine(options, &mut |progress| line.show(|| progress::render(progress)))
    });
    line.clear();
    let examination = examined.map_err(|error| Failure::image(image, &error))?;
    unless_closed(print(&if *json { json::to_text(&examination) } else { text::of(&examination, *quiet) }))?;
    match examination.verdict {
        Verdict::Clean => Ok(()),
        Verdict::Warnings => Err(Failure::printed(Class::Warnings)),
        Verdict::Errors => Err(Failure::printed(Class::Errors)),
    }
}
