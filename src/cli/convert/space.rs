//! Whether the new image finds room on the host, as far as that is known before it is written.

use std::ops::Range;

use vhdmount::{
    bytes::FileSource,
    container::{Format, Kind, Plan, create::Stored},
    size::human,
};

use super::rounded::Rounded;
use crate::cli::{Failure, complain, config::Convert, new_file::NewFile, system};

/// Refuses what cannot succeed, and warns of what may not.
pub(super) fn check(
    command: &Convert,
    new: &NewFile,
    plan: &Plan,
    source: &Rounded<'_>,
    skip: &[Range<u64>],
) -> Result<(), Failure> {
    let size = plan.virtual_size;
    let space = new.sink.file().try_clone().ok().and_then(|file| {
        let file = FileSource::of_file(file, &command.dest).ok()?;
        system::host().space(&file).ok()
    });
    // Where the host does not answer, writing shows it.
    let Some(space) = space else { return Ok(()) };
    let refuse = |why: String| Failure::destination_text(format_args!("{}: {why}", command.dest.display()));
    let whole = plan.kind == Kind::Fixed;
    if let Some(room) = space.room.filter(|room| whole && *room < size) {
        return Err(refuse(format!(
            "a file of {}, but files on {} end at {}: make a dynamic image, or write it elsewhere",
            human(size),
            space.place(),
            human(room)
        )));
    }
    let note = if space.note.is_empty() { String::new() } else { format!(" ({})", space.note) };
    if whole && plan.format != Format::Raw {
        if space.free < size {
            return Err(refuse(format!(
                "a fixed image takes {}, and {} are free on {}{note}: make space, or a dynamic image",
                human(size),
                human(space.free),
                space.place()
            )));
        }
        return Ok(());
    }
    // Nothing that is not stored is written, so that most of the time no more need be found out.
    if space.free >= size {
        return Ok(());
    }
    // What cannot be found is reported by the copy.
    let most = Stored::new(source, skip).map_while(Result::ok).map(|range| range.end - range.start).sum();
    if space.free < most {
        complain(&format!(
            "{}: may take up to {}, and {} are free on {}{note}: it is given up if zeros and shared blocks do not save the rest",
            command.dest.display(),
            human(most),
            human(space.free),
            space.place()
        ));
    }
    Ok(())
}
