//! Limits log output: a damaged image can cause the same warning for each of a million files, and again whenever a mount
//! opens them. Of each kind, identified by its place in the code, the first warnings are shown.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Warnings of one kind that are shown.
const MAX_SHOWN: u64 = 100;
/// Shown instead of the first suppressed warning.
pub(super) const MORE: &str = "more warnings of the kind above are not shown (`-v` shows all)";

/// The number of warnings of each kind.
#[derive(Default)]
pub(super) struct Limit {
    counts: Mutex<BTreeMap<(String, u32), u64>>,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    /// Show [`MORE`] in place of it and of those that follow.
    Last,
    No,
}

impl Limit {
    /// Counts a message. Errors are always shown: each of them ends an operation.
    pub(super) fn take(&self, record: &log::Record<'_>) -> Shown {
        if record.level() < log::Level::Warn {
            return Shown::Yes;
        }
        let place = (record.file().unwrap_or_default().to_owned(), record.line().unwrap_or(0));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(place).or_default();
        *count += 1;
        match (*count).cmp(&(MAX_SHOWN + 1)) {
            std::cmp::Ordering::Less => Shown::Yes,
            std::cmp::Ordering::Equal => Shown::Last,
            std::cmp::Ordering::Greater => Shown::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_ends_and_hides_no_other() {
        let limit = Limit::default();
        let take = |line, level| {
            limit.take(&log::Record::builder().file(Some("a.rs")).line(Some(line)).level(level).build())
        };
        let all: Vec<_> = (0..1000).map(|_| take(1, log::Level::Warn)).collect();
        assert!(all[..100].iter().all(|shown| *shown == Shown::Yes));
        assert_eq!(all[100], Shown::Last);
        assert!(all[101..].iter().all(|shown| *shown == Shown::No));
        assert_eq!(take(2, log::Level::Warn), Shown::Yes);
        assert!((0..1000).all(|_| take(3, log::Level::Error) == Shown::Yes));
    }
}
