//! Keys and values as `reg query` prints them. Text of a hive is made printable here.

use std::io::{self, Write};

use vhdmount::{
    Error,
    fs::{Timestamp, ntfs::attributes::time::from_filetime},
    printable::printable,
    registry::{Hive, Key, Value, types::type_name},
    security::Descriptor,
};

use super::config::Show;
use crate::cli::date::date;

/// Prints keys: a heading and values, or names of subkeys alone.
pub(super) struct Printer<'a, W> {
    pub(super) out: W,
    pub(super) show: &'a Show,
    /// The last line was an empty one.
    blank: bool,
}

impl<'a, W: Write> Printer<'a, W> {
    /// reg.exe begins with an empty line.
    pub(super) fn new(mut out: W, show: &'a Show) -> io::Result<Self> {
        out.write_all(b"\n")?;
        Ok(Self { out, show, blank: true })
    }

    /// A key with some of its values.
    pub(super) fn block(&mut self, name: &str, notes: &[String], values: &[Value]) -> io::Result<()> {
        self.gap()?;
        self.name(name, notes)?;
        for value in values {
            writeln!(self.out, "{}", value_line(value, &self.show.separator))?;
        }
        self.gap()
    }

    /// A key by its name alone.
    pub(super) fn name(&mut self, name: &str, notes: &[String]) -> io::Result<()> {
        self.blank = false;
        writeln!(self.out, "{}", printable(name))?;
        notes.iter().try_for_each(|note| writeln!(self.out, "# {}", printable(note)))
    }

    /// A line of this program's own.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.blank = false;
        writeln!(self.out, "# {}", printable(text))
    }

    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.blank = false;
        writeln!(self.out, "{}", printable(text))
    }

    /// An empty line, unless there is one.
    pub(super) fn gap(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.blank, true) {
            true => Ok(()),
            false => self.out.write_all(b"\n"),
        }
    }
}

/// A value on a line: four spaces between its name, type and data.
pub(super) fn value_line(value: &Value, separator: &str) -> String {
    let name = String::from_utf16_lossy(&value.name);
    let name = if name.is_empty() { "(Default)" } else { &name };
    let line = format!("    {name}    {}    {}", type_name(value.data_type), value.to_text(separator));
    printable(&line).into_owned()
}

/// What is told of a key on request; `problem` is called for what of it cannot be read.
pub(super) fn notes(hive: &Hive, key: &Key, show: &Show, problem: &mut dyn FnMut(Error)) -> Vec<String> {
    let mut notes = Vec::new();
    if show.times {
        notes.push(format!("last written {} UTC", time(key.last_written)));
    }
    if show.security {
        match hive.security(key) {
            Ok(Some(descriptor)) => notes.push(format!("security {}", security(&descriptor))),
            Ok(None) => notes.push("no security descriptor".to_owned()),
            Err(error) => problem(error),
        }
    }
    notes
}

/// A FILETIME, in UTC.
pub(super) fn time(filetime: u64) -> String {
    let time: Timestamp = from_filetime(filetime);
    date(time)
}

/// A descriptor in SDDL; in hexadecimal where it cannot be written so.
pub(super) fn security(descriptor: &[u8]) -> String {
    let sddl = Descriptor::parse(descriptor).and_then(|descriptor| descriptor.to_sddl());
    sddl.unwrap_or_else(|| format!("in hexadecimal: {}", hex(descriptor)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
