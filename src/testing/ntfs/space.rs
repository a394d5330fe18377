//! Clusters: handed out in order with gaps, now and then far away.

use super::attribute::Runs;
use crate::testing::input::Input;

pub(super) struct Space {
    count: u64,
    next: u64,
    /// Places and lengths.
    pub(super) used: Vec<(u64, u64)>,
}

impl Space {
    /// All of `count` clusters but the first `reserved`.
    pub(super) fn new(count: u64, reserved: u64) -> Self {
        Self { count, next: reserved, used: vec![(0, reserved)] }
    }

    /// The place of so many clusters in one piece.
    pub(super) fn take(&mut self, input: &mut Input<'_>, clusters: u64) -> u64 {
        let gap = match input.below(8) {
            6 => 3,
            7 => self.count / 32,
            _ => 0,
        };
        if self.next + gap + clusters < self.count / 2 {
            self.next += gap;
        }
        let place = self.next;
        self.next += clusters;
        assert!(self.next < self.count, "the volume is full");
        self.used.push((place, clusters));
        place
    }

    /// The same in one or several pieces, each but the last a multiple of `unit`.
    pub(super) fn take_pieces(&mut self, input: &mut Input<'_>, clusters: u64, unit: u64) -> Runs {
        let mut runs: Runs = Vec::new();
        let mut left = clusters;
        while left > 0 {
            let len = match input.below(4) {
                3 if runs.len() < 5 => (left / 2).max(1).next_multiple_of(unit).min(left),
                _ => left,
            };
            let place = self.take(input, len);
            match runs.last_mut() {
                Some((Some(last), before)) if *last + *before == place => *before += len,
                _ => runs.push((Some(place), len)),
            }
            left -= len;
        }
        runs
    }
}
