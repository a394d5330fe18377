//! The terminal that standard output is, if it is one.

use super::system;

/// What a text is set for that goes elsewhere.
const DEFAULT: (u16, u16) = (100, 50);

/// Columns of the terminal.
pub(super) fn columns() -> u16 {
    size().0
}

/// Columns and rows; `COLUMNS` and `LINES` where there is no terminal to ask.
pub(super) fn size() -> (u16, u16) {
    let number =
        |name| std::env::var(name).ok().and_then(|value| value.parse().ok()).filter(|value| *value > 0);
    match system::terminal_size() {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (number("COLUMNS").unwrap_or(DEFAULT.0), number("LINES").unwrap_or(DEFAULT.1)),
    }
}
