//! The new image, read as an image and compared with the disk.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use vhdmount::{
    bytes::{ByteSource, FileSource},
    container::{self, Format, create::first_difference},
};

use super::{Step, rounded::Rounded, stopped};
use crate::cli::{Failure, config::Convert, new_file::NewFile, progress::Line};

/// Compares the new image, as it would be opened, with the disk.
pub(super) fn verify(
    command: &Convert,
    new: &NewFile,
    source: &Rounded<'_>,
    skip: &[Range<u64>],
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let refuse = |what: String| {
        Failure::destination_text(format_args!(
            "{}: {what}: this is a fault of this program or of the host's storage; the new image is removed",
            command.dest.display()
        ))
    };
    let opened = || {
        let file =
            new.sink.file().try_clone().map_err(|error| vhdmount::Error::io("the new image", error))?;
        let file = Arc::new(FileSource::of_file(file, &command.dest)?);
        if command.format == Format::Raw {
            return Ok(file as Arc<dyn ByteSource>);
        }
        container::open_source(file, &container::OpenOptions::default())
            .map(|container| container.disk as Arc<dyn ByteSource>)
    };
    let disk = opened().map_err(|error: vhdmount::Error| refuse(error.to_string()))?;
    let mut line = Line::new(!command.quiet);
    let mut step = Step { line: &mut line, interrupted, size: source.size(), name: "compared" };
    let difference = first_difference(source, &*disk, skip, &mut |done| step.show(done));
    line.clear();
    if interrupted.load(Ordering::Relaxed) {
        return Err(stopped(command));
    }
    match difference.map_err(|error| refuse(error.to_string()))? {
        None => Ok(()),
        Some(at) => Err(refuse(format!("differs from the disk at byte {at:#x}"))),
    }
}
