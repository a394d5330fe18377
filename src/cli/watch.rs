//! Repeats a report until Ctrl-C: in place on a terminal, one block after the other elsewhere.

use std::{
    io::{IsTerminal, Write},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use vhdmount::printable::{is_harmful, printable};

use super::{
    Failure, date, screen,
    system::{self, Signal},
};

/// How a block is separated from comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Lines with `#` are comments.
    Hash,
    /// The form has no comments.
    Json,
}

/// Prints the result of `look` at a fixed interval in seconds. An error is printed in its place: a file that vanished may
/// come back.
pub(super) fn run(
    seconds: u32,
    syntax: Syntax,
    mut look: impl FnMut() -> Result<String, String>,
) -> Result<(), Failure> {
    let events = system::signals().map_err(|error| Failure::output(&error))?;
    let interval = Duration::from_secs(seconds.into());
    let screen = std::io::stdout().is_terminal().then(Screen::enter);
    let mut shown;
    loop {
        let start = Instant::now();
        shown = match (look(), syntax) {
            (Ok(text), _) => text,
            (Err(error), Syntax::Hash) => format!("# {}\n", printable(&error)),
            (Err(error), Syntax::Json) => {
                format!("{}\n", serde_json::json!({ "schema": "error/1", "error": error }))
            }
        };
        let now = date::now();
        let ended = match (&screen, syntax) {
            (Some(screen), _) => screen.draw(
                &format!("{now} UTC, every {seconds} s, Ctrl-C ends"),
                &shown,
                &events,
                start + interval,
            ),
            (None, Syntax::Hash) => {
                put(&format!("# {now} UTC\n{shown}\n")).map(|()| wait(&events, start + interval))
            }
            (None, Syntax::Json) => put(&shown).map(|()| wait(&events, start + interval)),
        };
        match ended {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) => return Err(Failure::output(&error)),
        }
    }
    if screen.is_some() {
        drop(screen);
        // The terminal is restored, so the last report is printed once more.
        return super::print(&shown);
    }
    Ok(())
}

/// Waits; returns true when the command is to end.
fn wait(events: &Receiver<Signal>, until: Instant) -> bool {
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Signal::End) => return true,
            Ok(Signal::Resized) => {}
            Err(RecvTimeoutError::Timeout) => return false,
            // This system has no signal events: a signal ends the process.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                return false;
            }
        }
    }
}

fn put(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The terminal's alternate screen, without a cursor; the terminal is restored on drop.
struct Screen;

impl Screen {
    fn enter() -> Self {
        let _ = put("\x1b[?1049h\x1b[?25l\x1b[?7l");
        Self
    }

    /// Draws over the current content, again after each resize; returns true when the command is to end.
    fn draw(
        &self,
        title: &str,
        text: &str,
        events: &Receiver<Signal>,
        until: Instant,
    ) -> std::io::Result<bool> {
        loop {
            put(&frame(title, text, screen::size()))?;
            match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Signal::End) => return Ok(true),
                Ok(Signal::Resized) => {}
                Err(_) => return Ok(wait(events, until)),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = put("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

/// A frame of at most the terminal's size, drawn without flicker: each line is cleared after its text, the rest of the
/// screen at the end.
fn frame(title: &str, text: &str, (columns, rows): (u16, u16)) -> String {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let mut out = String::from("\x1b[H");
    let lines = text.lines().count();
    let all = std::iter::once(title).chain([""]).chain(text.lines());
    let hidden = (lines + 2).saturating_sub(rows);
    let more = format!("({} more lines)", hidden + 1);
    let fitting = if hidden > 0 { rows.saturating_sub(1) } else { rows };
    let mut drawn: Vec<&str> = all.take(fitting).collect();
    if hidden > 0 {
        drawn.push(&more);
    }
    for (index, line) in drawn.iter().enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        out.extend(line.chars().filter(|c| !is_harmful(*c)).take(columns));
        out.push_str("\x1b[K");
    }
    out + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_whatever_the_terminal() {
        let text = (0..30).map(|n| format!("line {n} of many words\n")).collect::<String>();
        for (columns, rows) in [(1, 1), (5, 3), (80, 24), (200, 32), (200, 33)] {
            let frame = frame("title", &text, (columns, rows));
            let plain = frame.replace("\x1b[H", "").replace("\x1b[K", "").replace("\x1b[J", "");
            let lines: Vec<_> = plain.split("\r\n").collect();
            assert!(lines.len() <= rows.into(), "{columns}x{rows}");
            assert!(lines.iter().all(|line| line.chars().count() <= columns.into()));
            if columns >= 80 {
                assert_eq!(rows < 32, plain.contains("more lines"), "{plain}");
            }
        }
    }

    #[test]
    fn what_an_image_says_cannot_control_the_terminal() {
        assert_eq!(frame("t", "a\x1b[2Jb\x07", (80, 24)), "\x1b[Ht\x1b[K\r\n\x1b[K\r\na[2Jb\x1b[K\x1b[J");
    }
}
