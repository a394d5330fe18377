//! `vhdmount bcd`

use std::fmt::Write;

use vhdmount::{
    image::{
        bcd::{BcdReport, of_file},
        registry::HiveFile,
    },
    json,
    printable::printable_lines,
};

use super::{Failure, config::Bcd, exit::unless_closed, print, sandbox};

/// Prints the stores of a disk, or one that is a file of its own.
pub(super) fn run(command: &Bcd) -> Result<(), Failure> {
    let report = report(command)?;
    if report.stores.is_empty() {
        return Err(Failure::image_text(format_args!(
            "{}: no volume that can be read has a boot configuration store ({})",
            command.source.image.display(),
            vhdmount::image::bcd::PATHS.join(" or ")
        )));
    }
    let text = match command.json {
        true => json::to_text(&report),
        false => printable_lines(&text(&report)).into_owned(),
    };
    unless_closed(print(&text))?;
    let unread = report.stores.iter().find(|store| store.objects.is_empty() && !store.problems.is_empty());
    match unread {
        Some(store) => {
            let (volume, path) = (&store.volume, &store.path);
            Err(Failure::image_text(format_args!("{volume}:{path}: {}", store.problems.join("; "))))
        }
        None => Ok(()),
    }
}

fn report(command: &Bcd) -> Result<BcdReport, Failure> {
    let path = &command.source.image;
    let host = &*command.source.options.container.host;
    // A store is a hive.
    if let Some(HiveFile { hive, logs }) =
        HiveFile::open(path, host).map_err(|error| command.source.failure(&error))?
    {
        sandbox::narrow(None);
        let name = path.display().to_string();
        return of_file(&name, hive, &logs, command.full).map_err(|error| command.source.failure(&error));
    }
    Ok(command.source.open()?.boot_configuration(command.full))
}

fn text(report: &BcdReport) -> String {
    let mut out = String::new();
    for store in &report.stores {
        if !store.volume.is_empty() {
            let _ = writeln!(out, "# {}:{}", store.volume, store.path);
        }
        if store.dirty {
            out += "# not written completely, and no log beside it completes it\n";
        }
        store.problems.iter().for_each(|problem| {
            let _ = writeln!(out, "# {problem}");
        });
        for object in &store.objects {
            let _ = write!(out, "\n{}", object.text);
            object.problems.iter().for_each(|problem| {
                let _ = writeln!(out, "# {problem}");
            });
            if let Some(starts) = &object.starts {
                let _ = writeln!(out, "# {}", starts.text);
            }
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}
