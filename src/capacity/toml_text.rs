//! Lines of TOML, each with a comment.

use std::fmt::Write;

use crate::printable::{is_harmful, printable};

/// `key = value`, and a comment unless it is empty.
pub(super) fn line(out: &mut String, key: &str, value: &str, comment: &str) {
    let _ = match comment {
        "" => writeln!(out, "{key} = {value}"),
        _ => writeln!(out, "{:<36} # {}", format!("{key} = {value}"), printable(comment)),
    };
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_harmful(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
