//! The thread beside the workers of a written mount: it publishes every few seconds, since neither sync(1) nor syncfs(2) reach a server
//! of FUSE, and opens volumes anew. A worker would wait for requests that other workers answer.

use std::{
    sync::{
        Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use vhdmount::fs::NodeId;

use super::Writing;

/// Between two publications.
pub(super) const CHECKPOINT: Duration = Duration::from_secs(5);

/// What there is to do.
pub(super) enum Event {
    /// Publish what was written.
    Tick,
    /// The last writer of a part has closed it.
    Closed(usize),
    /// The kernel accepts no more writes to this raw view before it has asked.
    AskFirst(NodeId),
    /// End.
    End,
}

/// The thread; dropped, it ends after what it has been given.
pub(super) struct Attendant {
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Attendant {
    /// `interval`: between two publications; `None`: none but by events.
    pub(super) fn start(writing: Weak<Writing>, interval: Option<Duration>) -> std::io::Result<Self> {
        let (events, received) = channel();
        let attend = move || {
            while let Some(event) = next(&received, interval) {
                let Some(writing) = writing.upgrade() else { return };
                writing.on_event(event);
            }
        };
        let thread = thread::Builder::new().name("attendant".into()).spawn(attend)?;
        Ok(Self { events, thread: Some(thread) })
    }

    /// Returns the event when the thread has ended.
    pub(super) fn send(&self, event: Event) -> Result<(), Event> {
        self.events.send(event).map_err(|error| error.0)
    }
}

/// The next thing to do; `None` at the end.
fn next(events: &Receiver<Event>, interval: Option<Duration>) -> Option<Event> {
    let event = match interval {
        Some(interval) => match events.recv_timeout(interval) {
            Err(RecvTimeoutError::Timeout) => Ok(Event::Tick),
            received => received.map_err(drop),
        },
        None => events.recv().map_err(drop),
    };
    event.ok().filter(|event| !matches!(event, Event::End))
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let _ = self.events.send(Event::End);
        // Not by itself, when it was the last to hold the mount.
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_alone_is_a_reason_to_publish_and_the_end_is_the_end() {
        let (sender, receiver) = channel();
        assert!(matches!(next(&receiver, Some(Duration::ZERO)), Some(Event::Tick)));
        sender.send(Event::Closed(3)).unwrap();
        assert!(matches!(next(&receiver, Some(Duration::ZERO)), Some(Event::Closed(3))));
        sender.send(Event::End).unwrap();
        assert!(next(&receiver, None).is_none());
        drop(sender);
        assert!(next(&receiver, Some(Duration::ZERO)).is_none());
    }
}
