//! Calls that may never return, as when a mount's server is stopped or its storage is gone: each runs in its own thread or
//! process and is abandoned after a time limit.

use std::{
    io,
    process::{Command, Output, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// Between two looks. Most programs end at once: [`run`] looks sooner at first.
const POLL: Duration = Duration::from_millis(5);
const FIRST_POLL: Duration = Duration::from_micros(250);

/// Returns the result of `question`, or `None` after `limit`, or as soon as `go_on` returns false. The thread is left
/// running then, and ends with the process at the latest.
pub(super) fn ask<T: Send + 'static>(
    limit: Duration,
    mut go_on: impl FnMut() -> bool,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = channel();
    let asked = thread::Builder::new().name("asks".into()).spawn(move || answer.send(question()));
    asked.ok()?;
    let start = Instant::now();
    loop {
        match answered.recv_timeout(POLL) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if start.elapsed() < limit && go_on() => {}
            Err(_) => return None,
        }
    }
}

/// Runs a program to its end, or kills it after `limit`, or as soon as `go_on` returns false. Its output must fit into a pipe's
/// buffer.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (start, mut poll) = (Instant::now(), FIRST_POLL);
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit || !go_on() {
            // Not reaped: the child may be in an uninterruptible wait.
            let _ = child.kill();
            return Err(io::Error::new(io::ErrorKind::TimedOut, "did not come to an end"));
        }
        thread::sleep(poll);
        poll = (poll * 2).min(POLL);
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_is_given_up() {
        assert_eq!(ask(Duration::from_secs(60), || true, || 7), Some(7));
        let (_keep, never) = channel::<()>();
        let mut left = 3;
        let go_on = move || {
            left -= 1;
            left > 0
        };
        assert_eq!(ask(Duration::from_secs(60), go_on, move || never.recv().is_ok()), None);
    }
}
