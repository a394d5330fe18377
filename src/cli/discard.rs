//! `vhdmount discard`

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use vhdmount::{
    container::{OpenOptions, session},
    printable::printable,
    size::human,
};

use super::{Failure, config::Discard, print, system};

/// More is no answer to the question.
const MAX_ANSWER: u64 = 100;

pub(super) fn run(command: Discard) -> Result<(), Failure> {
    let options = OpenOptions { host: system::host(), ..OpenOptions::default() };
    let Discard { overlay, files, force, quiet } = command;
    let failed = |error: &vhdmount::Error| Failure::image(&overlay, error);
    let discard = session::Discard::of(files, &options).map_err(|error| failed(&error))?;
    let parents = &discard.info().parent_paths;
    let parent =
        parents.first().map_or_else(String::new, |path| format!(", an overlay of {}", printable(path)));
    let what = format!("{}{parent}, with {} on this host", overlay.display(), human(discard.stored()));
    if !force && !confirmed(&what)? {
        return Err(Failure::usage(format!("{} stays as it is", overlay.display())));
    }
    discard.remove().map_err(Failure::destination_text)?;
    if quiet { Ok(()) } else { print(&format!("removed {what}\n")) }
}

fn confirmed(what: &str) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "this would remove {what}: everything written to it is lost, the image below stays. --force says that it may"
        )));
    }
    let question = format!("Remove {what}? Everything written to it is lost, the image below stays. [y/N] ");
    let mut answer = String::new();
    let mut input = std::io::Read::take(stdin().lock(), MAX_ANSWER);
    stderr()
        .write_all(question.as_bytes())
        .and_then(|()| input.read_line(&mut answer))
        .map_err(|error| Failure::output(&error))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
