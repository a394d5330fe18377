//! `vhdmount capacity`: the capacity of one image, or of many.

mod monitoring;
mod prometheus;
mod table;
mod threshold;

use std::path::{Path, PathBuf};

pub(super) use threshold::Threshold;

use vhdmount::{
    Result,
    capacity::{Fleet, FleetReport},
    image::{Discovery, Image, OpenOptions, find},
    json,
};

use super::{
    Failure, advice, capacity_self,
    config::{Capacity, Form, Subject, Thresholds},
    exit::{Class, unless_closed},
    print, sandbox, watch,
};

/// What follows a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AndThen {
    /// Nothing: no other file will be opened.
    Ends,
    /// The next one, of whatever files the image has by then: those of a new snapshot, or one of the same name.
    Repeats,
}

pub(super) fn run(command: &Capacity) -> std::result::Result<(), Failure> {
    if let Some(seconds) = command.watch {
        let syntax = if command.form == Form::Json { watch::Syntax::Json } else { watch::Syntax::Hash };
        return watch::run(seconds, syntax, || block(command));
    }
    match &command.subject {
        Subject::Running => {
            let failed = |error| Failure::image_text(format_args!("--self: {error}"));
            print(&capacity_self::report(&command.options, command.form, AndThen::Ends).map_err(failed)?)
        }
        Subject::Image(image) => {
            let report = report(image, &command.options, AndThen::Ends);
            print(&report.map_err(|error| Failure::image(image, &error))?)
        }
        Subject::Fleet { images, folders, monitor } => {
            let fleet = fleet(images, folders, &command.options);
            match monitor {
                Some(thresholds) => verdict(&fleet, *thresholds, command.form),
                None => print_all(&fleet, command.form),
            }
        }
    }
}

/// One block of `--watch`.
fn block(command: &Capacity) -> std::result::Result<String, String> {
    match &command.subject {
        Subject::Running => capacity_self::report(&command.options, command.form, AndThen::Repeats)
            .map_err(|error| error.to_string()),
        Subject::Image(image) => report(image, &command.options, AndThen::Repeats)
            .map_err(|error| Failure::image(image, &error).text().to_owned()),
        Subject::Fleet { images, folders, .. } => {
            Ok(text(&fleet(images, folders, &command.options), command.form))
        }
    }
}

fn report(image: &Path, options: &OpenOptions, and_then: AndThen) -> Result<String> {
    let image = Image::open(image, options)?;
    if and_then == AndThen::Ends {
        sandbox::narrow(Some(image.container()));
        image.container().writers().iter().for_each(|text| log::warn!("{text}"));
    }
    Ok(image.capacity().report_with(&image.container().pending().join("; "))?.to_toml())
}

fn text(fleet: &FleetReport, form: Form) -> String {
    match form {
        Form::Json => json::to_text(fleet),
        Form::Prometheus => prometheus::text(fleet),
        Form::Text => table::text(fleet),
    }
}

fn print_all(fleet: &FleetReport, form: Form) -> std::result::Result<(), Failure> {
    unless_closed(print(&text(fleet, form)))?;
    match (form, &fleet.errors[..]) {
        (_, []) => Ok(()),
        // The table has listed them.
        (Form::Text, _) => Err(Failure::printed(Class::Image)),
        (_, [only]) => Err(Failure::image_text(only.text())),
        (_, [first, others @ ..]) => {
            let text = format!("{}\n{} more could not be examined", first.text(), others.len());
            Err(Failure::image_text(text))
        }
    }
}

/// Returns the exit code of a monitoring plugin, in any form of output.
fn verdict(fleet: &FleetReport, thresholds: Thresholds, form: Form) -> std::result::Result<(), Failure> {
    let verdict = monitoring::verdict(fleet, &thresholds);
    let written = print(&match form {
        Form::Text => verdict.text.clone(),
        Form::Json | Form::Prometheus => text(fleet, form),
    });
    unless_closed(written).map_err(Failure::for_monitoring)?;
    match verdict.state.code() {
        0 => Ok(()),
        code => Err(Failure::printed(Class::Monitored(code))),
    }
}

/// Examines one image after the other; none stays open, and a failure does not stop the rest.
fn fleet(images: &[PathBuf], folders: &[PathBuf], options: &OpenOptions) -> FleetReport {
    let mut fleet = Fleet::default();
    let mut look = |path: PathBuf| {
        let name = name(&path);
        if let Err(error) = Image::open(&path, options).and_then(|image| fleet.add(&name, &image.capacity()))
        {
            fleet.fail(&name, advice::advised(&error));
        }
    };
    images.iter().cloned().for_each(&mut look);
    let mut failed = Vec::new();
    for folder in folders {
        find(folder, &mut |found| match found {
            Discovery::Image(path) => look(path),
            Discovery::Failed(path, error) => failed.push((name(&path), error)),
        });
    }
    failed.iter().for_each(|(name, error)| fleet.fail(name, advice::advised(error)));
    fleet.report()
}

/// A path as text, without loss: bytes that are not UTF-8 are written as `\xff`.
fn name(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}
