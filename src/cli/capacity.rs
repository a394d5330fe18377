//! `vhdmount capacity`: one image, or many.

use std::path::{Path, PathBuf};

use vhdmount::{
    Result,
    capacity::{Fleet, FleetReport},
    image::{Found, Image, OpenOptions, find},
    json,
};

use super::{
    Failure, advice,
    args::{Capacity, View},
    capacity_self,
    exit::{Class, unless_closed},
    print, watch,
};

pub(super) fn run(command: &Capacity) -> std::result::Result<(), Failure> {
    if command.running {
        return capacity_self::run(command);
    }
    let options = command.open.options(&View::default());
    if let Some(seconds) = command.watch {
        let syntax = if command.json { watch::Syntax::Json } else { watch::Syntax::Hash };
        return watch::run(seconds, syntax, || block(command, &options));
    }
    if command.warn.is_some() || command.crit.is_some() {
        return monitor(command, &options);
    }
    if let Some(image) = single(command) {
        return print(&report(image, &options).map_err(|error| Failure::image(image, &error))?);
    }
    let fleet = fleet(command, &options);
    unless_closed(print(&text(command, &fleet)))?;
    // The table has named them.
    match (command.prometheus || command.json, &fleet.errors[..]) {
        (_, []) => Ok(()),
        (false, _) => Err(Failure::printed(Class::Image)),
        (true, [only]) => Err(Failure::image_text(only.text())),
        (true, [first, others @ ..]) => {
            let text = format!("{}\n{} more could not be examined", first.text(), others.len());
            Err(Failure::image_text(text))
        }
    }
}

/// The image that is looked at alone, and reported as TOML. Programs get one shape for one image and for many.
fn single(command: &Capacity) -> Option<&Path> {
    match &command.image[..] {
        [image] if command.recursive.is_empty() && !command.prometheus && !command.json => Some(image),
        _ => None,
    }
}

/// One block of `--watch`.
fn block(command: &Capacity, options: &OpenOptions) -> std::result::Result<String, String> {
    match single(command) {
        Some(image) => {
            report(image, options).map_err(|error| Failure::image(image, &error).text().to_owned())
        }
        None => Ok(text(command, &fleet(command, options))),
    }
}

fn report(image: &Path, options: &OpenOptions) -> Result<String> {
    let report = Image::open(image, options)?.capacity().report()?;
    Ok(report.to_toml())
}

fn text(command: &Capacity, fleet: &FleetReport) -> String {
    match (command.json, command.prometheus) {
        (true, _) => json::to_text(fleet),
        (_, true) => fleet.to_prometheus(),
        _ => fleet.to_text(),
    }
}

/// The exit code is the monitoring system's, whatever the form of the output.
fn monitor(command: &Capacity, options: &OpenOptions) -> std::result::Result<(), Failure> {
    let fleet = fleet(command, options);
    let verdict = fleet.verdict(command.warn, command.crit);
    let written = print(&match command.json || command.prometheus {
        true => text(command, &fleet),
        false => verdict.text.clone(),
    });
    unless_closed(written).map_err(Failure::for_monitoring)?;
    match verdict.state.code() {
        0 => Ok(()),
        code => Err(Failure::printed(Class::Monitored(code))),
    }
}

/// Looks at one image after the other; none stays open, and a failure does not stop the rest.
fn fleet(command: &Capacity, options: &OpenOptions) -> FleetReport {
    let mut fleet = Fleet::default();
    let mut look = |path: PathBuf| {
        let name = name(&path);
        if let Err(error) = Image::open(&path, options).and_then(|image| fleet.add(&name, &image.capacity()))
        {
            fleet.fail(&name, advice::advised(&error));
        }
    };
    command.image.iter().cloned().for_each(&mut look);
    let mut failed = Vec::new();
    for folder in &command.recursive {
        find(folder, &mut |found| match found {
            Found::Image(path) => look(path),
            Found::Failed(path, error) => failed.push((name(&path), error)),
        });
    }
    failed.iter().for_each(|(name, error)| fleet.fail(name, advice::advised(error)));
    fleet.report()
}

/// A path as text, without loss: what is not UTF-8 is written as `\xff`.
fn name(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}
