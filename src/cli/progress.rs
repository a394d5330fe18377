//! A progress line on the terminal; none if standard error is no terminal. The line is overwritten in place without
//! changing the terminal's state, so that Ctrl-C leaves nothing behind.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use vhdmount::printable::printable;

/// Least time between two updates: faster ones are not readable.
const INTERVAL: Duration = Duration::from_millis(100);
/// Columns that every terminal has; a longer line would wrap and could not be overwritten.
pub(super) const WIDTH: usize = 78;
const BAR: usize = 24;

/// The progress line, if it is shown.
pub(super) struct Line {
    shown: bool,
    last: Option<Instant>,
    /// Its current width on the terminal, in columns.
    width: usize,
}

impl Line {
    /// Shown if `wanted` and standard error is a terminal.
    pub(super) fn new(wanted: bool) -> Self {
        Self { shown: wanted && std::io::stderr().is_terminal(), last: None, width: 0 }
    }

    /// True if the line is shown.
    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Displays the result of `text`, if enough time has passed since the last update.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        let text = text();
        let plain: String = printable(&text).chars().take(WIDTH).collect();
        self.write(&plain);
    }

    /// Erases the line.
    pub(super) fn clear(&mut self) {
        if self.width > 0 {
            self.write("");
            let _ = write!(std::io::stderr(), "\r");
        }
    }

    fn write(&mut self, text: &str) {
        let width = text.chars().count();
        let gap = self.width.saturating_sub(width);
        let mut stderr = std::io::stderr().lock();
        // A failed write to the terminal is ignored.
        let _ = write!(stderr, "\r{text}{:gap$}", "").and_then(|()| stderr.flush());
        self.width = width;
    }
}

/// `[########................]  33.3%`; `None` while the total is not known.
pub(super) fn bar(done: u64, total: u64) -> Option<String> {
    let permille = (u128::from(done.min(total)) * 1000).checked_div(total.into())?;
    let permille = usize::try_from(permille).ok()?;
    let full = (BAR * permille + 500) / 1000;
    let bar = "#".repeat(full) + &".".repeat(BAR - full);
    Some(format!("[{bar}] {:3}.{}%", permille / 10, permille % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_the_share() {
        assert_eq!(bar(1, 3).unwrap(), "[########................]  33.3%");
        assert_eq!(bar(9, 3).unwrap(), "[########################] 100.0%");
        assert_eq!(bar(5, 0), None);
        assert!(bar(u64::MAX, u64::MAX).unwrap().contains("100.0%"));
    }
}
