//! A JSON document with a list that is written as its rows are found, one a line: nothing is collected, as there may be millions.

use std::io::{self, Write};

use serde::Serialize;

/// The list, and what stands before it in the document.
pub(super) struct Rows {
    /// The document up to the list's bracket. Written with the first row, so that a failure before it leaves no half document.
    head: String,
    begun: bool,
}

impl Rows {
    /// A list called `list` in a document of this schema, behind members with these texts.
    pub(super) fn new(schema: &str, members: &[(&str, &str)], list: &str) -> Self {
        let mut head = format!("{{\"schema\": \"{schema}\"");
        for (name, text) in members {
            head += &format!(", \"{name}\": {}", serde_json::Value::from(*text));
        }
        head += &format!(", \"{list}\": [");
        Self { head, begun: false }
    }

    /// Another list of the same document, behind the one before.
    pub(super) fn further(list: &str) -> Self {
        Self { head: format!(",\n\"{list}\": ["), begun: false }
    }

    /// Writes a row.
    ///
    /// # Errors
    /// The output's.
    pub(super) fn row(&mut self, out: &mut impl Write, row: &impl Serialize) -> io::Result<()> {
        let before = if self.begun { "," } else { &self.head };
        out.write_all(before.as_bytes())?;
        out.write_all(b"\n")?;
        self.begun = true;
        serde_json::to_writer(out, row).map_err(Into::into)
    }

    /// Ends the list, not the document.
    ///
    /// # Errors
    /// The output's.
    pub(super) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        let end = if self.begun { "\n]" } else { &*(self.head.clone() + "]") };
        out.write_all(end.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_whole_with_and_without_rows() {
        for (rows, text) in [
            (&[][..], "{\"schema\": \"x/1\", \"a\": \"\\\"\", \"l\": []"),
            (&[1, 2], "{\"schema\": \"x/1\", \"a\": \"\\\"\", \"l\": [\n1,\n2\n]"),
        ] {
            let (mut list, mut out) = (Rows::new("x/1", &[("a", "\"")], "l"), Vec::new());
            rows.iter().try_for_each(|row| list.row(&mut out, row)).unwrap();
            list.end(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
