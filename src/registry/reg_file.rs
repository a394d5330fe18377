//! Registration files (`.reg`, version 5.00), as regedit writes them: UTF-16, hexadecimal data in lines of 80 columns at most.
//! Guard: no name or text of a hive begins a line of its own, which an import would take for a command.

use super::{Value, types};

/// The first line.
const HEADER: &str = "Windows Registry Editor Version 5.00\r\n";
/// From this column on a line of hexadecimal data goes on in the next one: 25 bytes behind two spaces.
const FULL: usize = 2 + 25 * 3;

/// The text of a `.reg` file, key by key.
#[derive(Debug)]
pub struct RegFile {
    /// UTF-16 that was not taken yet.
    text: Vec<u16>,
}

/// A name that a `.reg` file cannot hold: it has line breaks or NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrepresentable;

impl Default for RegFile {
    fn default() -> Self {
        let mut this = Self { text: vec![0xfeff] };
        this.push(HEADER);
        this
    }
}

impl RegFile {
    /// Begins a key.
    ///
    /// # Errors
    /// [`Unrepresentable`]; nothing is written then.
    pub fn key(&mut self, path: &[u16]) -> Result<(), Unrepresentable> {
        one_line(path)?;
        self.push("\r\n[");
        self.text.extend(path);
        self.push("]\r\n");
        Ok(())
    }

    /// A value of the key that was begun last. Text is written between quotes where that says everything, and as `hex(1)` where it has
    /// line breaks, or data behind the NUL that ends it, which regedit would leave out.
    ///
    /// # Errors
    /// [`Unrepresentable`]; nothing is written then.
    pub fn value(&mut self, value: &Value) -> Result<(), Unrepresentable> {
        one_line(&value.name)?;
        let start = self.text.len();
        match value.name.is_empty() {
            true => self.push("@="),
            false => {
                self.quoted(&value.name);
                self.push("=");
            }
        }
        let number = (value.data_type == types::DWORD).then(|| value.number()).flatten();
        match (plain(value), number) {
            (Some(text), _) => self.quoted(&text),
            (None, Some(number)) => self.push(&format!("dword:{number:08x}")),
            (None, None) => {
                match value.data_type {
                    types::BINARY => self.push("hex:"),
                    other => self.push(&format!("hex({other:x}):")),
                }
                self.hex(&value.data, self.text.len() - start);
            }
        }
        self.push("\r\n");
        Ok(())
    }

    /// The line that ends the file.
    pub fn end(&mut self) {
        self.push("\r\n");
    }

    /// Takes what was written so far, as bytes of the file.
    pub fn take(&mut self) -> Vec<u8> {
        self.text.drain(..).flat_map(u16::to_le_bytes).collect()
    }

    /// Data in hexadecimal, behind `column` characters.
    fn hex(&mut self, data: &[u8], mut column: usize) {
        for (index, byte) in data.iter().enumerate() {
            self.push(&format!("{byte:02x}"));
            if index + 1 == data.len() {
                break;
            }
            self.push(",");
            column += 3;
            if column >= FULL {
                self.push("\\\r\n  ");
                column = 2;
            }
        }
    }

    fn quoted(&mut self, text: &[u16]) {
        self.push("\"");
        for unit in text {
            if [u16::from(b'\\'), u16::from(b'"')].contains(unit) {
                self.push("\\");
            }
            self.text.push(*unit);
        }
        self.push("\"");
    }

    fn push(&mut self, text: &str) {
        self.text.extend(text.encode_utf16());
    }
}

/// Text of a `REG_SZ` that quotes hold completely, but for the NUL at its end.
fn plain(value: &Value) -> Option<Vec<u16>> {
    if value.data_type != types::SZ || !value.data.len().is_multiple_of(2) {
        return None;
    }
    let mut units = value.units();
    if units.last() == Some(&0) {
        units.pop();
    }
    one_line(&units).ok().map(|()| units)
}

fn one_line(text: &[u16]) -> Result<(), Unrepresentable> {
    match text.iter().any(|unit| [0, u16::from(b'\r'), u16::from(b'\n')].contains(unit)) {
        true => Err(Unrepresentable),
        false => Ok(()),
    }
}
