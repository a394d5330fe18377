//! `vhdmount bcd`

use std::{fmt::Write, sync::Arc};

use vhdmount::{
    bytes::{ByteSource, FileSource},
    image::bcd::{BcdReport, of_file},
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
    // A store is a hive. A device is no file of its own, and opening it twice could have an effect.
    if path.is_file()
        && let Ok(source) = FileSource::open(path)
    {
        let mut magic = [0; 4];
        if source.read_exact_at(0, &mut magic).is_ok() && magic == *b"regf" {
            sandbox::narrow(None);
            let name = path.display().to_string();
            return of_file(&name, Arc::new(source), command.full)
                .map_err(|error| command.source.failure(&error));
        }
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
            out += "# not written completely: its log may have newer entries\n";
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
