//! One line on the terminal that says how far the examination is; nothing where nobody looks. The line is written over
//! in place without changing the terminal's state, so that Ctrl-C leaves nothing behind.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use vhdmount::image::check::Progress;

/// Faster is not readable.
const INTERVAL: Duration = Duration::from_millis(100);
/// What every terminal has; a longer line would wrap and could not be written over.
const WIDTH: usize = 78;
const BAR: usize = 24;

/// The line, if there is one.
pub(super) struct Line {
    shown: bool,
    last: Option<Instant>,
    /// Characters of it on the terminal.
    width: usize,
}

impl Line {
    /// `wanted`, and standard error is a terminal.
    pub(super) fn new(wanted: bool) -> Self {
        Self { shown: wanted && std::io::stderr().is_terminal(), last: None, width: 0 }
    }

    /// Shows the state, if enough time has passed since the last one.
    pub(super) fn show(&mut self, progress: Progress<'_>) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        self.write(&render(progress));
    }

    /// Takes the line away.
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
        // A terminal that takes no more is not worth an error.
        let _ = write!(stderr, "\r{text}{:gap$}", "").and_then(|()| stderr.flush());
        self.width = width;
    }
}

fn render(progress: Progress<'_>) -> String {
    let Progress { area, step, done, total } = progress;
    let name = if step.is_empty() { area.to_owned() } else { format!("{area}: {step}") };
    let text = match permille(done, total) {
        Some(permille) => {
            let full = (BAR * permille + 500) / 1000;
            let bar = "#".repeat(full) + &".".repeat(BAR - full);
            format!("[{bar}] {:3}.{}%  {name}", permille / 10, permille % 10)
        }
        None => name,
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WIDTH).collect()
}

fn permille(done: u64, total: u64) -> Option<usize> {
    let share = (u128::from(done.min(total)) * 1000).checked_div(total.into())?;
    usize::try_from(share).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_place_and_share() {
        let at = |done, total| render(Progress { area: "p3", step: "MFT records", done, total });
        assert_eq!(at(1, 3), "[########................]  33.3%  p3: MFT records");
        assert_eq!(at(9, 3), "[########################] 100.0%  p3: MFT records");
        assert_eq!(at(5, 0), "p3: MFT records");
        assert_eq!(render(Progress { area: "p3", step: &"x".repeat(500), done: 0, total: 0 }).len(), WIDTH);
        let huge = Progress { area: "p3", step: "", done: u64::MAX, total: u64::MAX };
        assert!(render(huge).contains("100.0%"));
    }
}
