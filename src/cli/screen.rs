//! The size of the terminal on standard output.

use super::system;

/// The size used for output that does not go to a terminal.
const DEFAULT: (u16, u16) = (100, 50);

/// The terminal's width in columns.
pub(super) fn columns() -> u16 {
    size().0
}

/// Columns and rows; from `COLUMNS` and `LINES` if standard output is no terminal.
pub(super) fn size() -> (u16, u16) {
    let number =
        |name| std::env::var(name).ok().and_then(|value| value.parse().ok()).filter(|value| *value > 0);
    match system::terminal_size() {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (number("COLUMNS").unwrap_or(DEFAULT.0), number("LINES").unwrap_or(DEFAULT.1)),
    }
}
