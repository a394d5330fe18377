//! `vhdmount reg export`

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    ops::ControlFlow,
};

use vhdmount::{
    image::registry::FoundKey,
    printable::printable,
    registry::{RegFile, Unrepresentable},
};

use super::{config::Export, source};
use crate::cli::{Class, Failure, complain, exit::ended, new_file::NewFile};

/// Problems that are listed.
const MAX_PROBLEMS: usize = 100;

pub(super) fn run(command: &Export) -> Result<(), Failure> {
    let Some(path) = &command.file else {
        let found = source::find_key(&command.place.registry()?, &command.key)?;
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a .reg file is UTF-16, which no terminal shows: name a FILE, or a pipe",
            ));
        }
        let mut problems = Problems::default();
        let written = write(&found, BufWriter::with_capacity(1 << 16, io::stdout().lock()), &mut problems);
        return ended(written, problems.end());
    };
    // First: once the image is open, this process can make no other files.
    let new = NewFile::create_or_replace(path, command.force)?;
    let found = source::find_key(&command.place.registry()?, &command.key)?;
    let mut problems = Problems::default();
    let file: &File = new.sink.file();
    write(&found, BufWriter::with_capacity(1 << 16, file), &mut problems)
        .map_err(|error| Failure::destination(path, &error))?;
    new.publish()?;
    problems.end().map_or(Ok(()), Err)
}

/// Writes a key with everything below it.
fn write(found: &FoundKey, mut out: impl Write, problems: &mut Problems) -> io::Result<()> {
    let mut file = RegFile::default();
    let mut written = Ok(());
    let hive = &found.hive.hive;
    let top: Vec<u16> = found.name.encode_utf16().collect();
    let _ = hive.walk(&found.key, &mut |path, key| {
        let separator: &[u16] = if path.is_empty() { &[] } else { &[0x5c] };
        let name = [&top, separator, path].concat();
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                problems.add(&name, &error.to_string());
                return ControlFlow::Continue(());
            }
        };
        if file.key(&name) == Err(Unrepresentable) {
            problems.add(&name, "its name has line breaks or NULs, which no .reg file can hold: left out");
            return ControlFlow::Continue(());
        }
        let listed = hive.each_value(key, usize::MAX, &mut |value| match value {
            Ok(value) if file.value(&value) == Err(Unrepresentable) => problems.add(
                &name,
                &format!(
                    "the name of the value {} has line breaks or NULs, which no .reg file can hold: left out",
                    String::from_utf16_lossy(&value.name)
                ),
            ),
            Ok(_) => {}
            Err(error) => problems.add(&name, &error.to_string()),
        });
        if let Err(error) = listed {
            problems.add(&name, &error.to_string());
        }
        written = out.write_all(&file.take());
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written?;
    file.end();
    out.write_all(&file.take())?;
    out.flush()
}

/// What is not in the file.
#[derive(Default)]
struct Problems {
    count: usize,
}

impl Problems {
    fn add(&mut self, key: &[u16], problem: &str) {
        self.count += 1;
        if self.count <= MAX_PROBLEMS {
            complain(&printable(&format!("{}: {problem}", String::from_utf16_lossy(key))));
        }
    }

    fn end(&self) -> Option<Failure> {
        match self.count {
            0 => None,
            count if count > MAX_PROBLEMS => {
                Some(Failure::inside_text(format_args!("{} more are not listed", count - MAX_PROBLEMS)))
            }
            _ => Some(Failure::printed(Class::Inside)),
        }
    }
}
