//! Goes through the states of a recording, and names the first one that a judge rejects.

use super::{
    recording::{Fault, Recording},
    states::{Choice, Maker, State, choices, mix},
};

/// States of each workload in an ordinary run.
const ORDINARY: usize = 3000;

/// Which states are tried.
#[derive(Debug, Clone, Copy)]
pub struct Explorer {
    seed: u64,
    /// Most states of a recording.
    most: usize,
    only: Option<usize>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    /// States that were judged.
    pub tried: usize,
    /// States that there are.
    pub of: usize,
}

impl Explorer {
    /// The states of an ordinary run, or what the environment says.
    pub fn new(seed: u64) -> Self {
        Self::with_most(seed, ORDINARY)
    }

    /// As [`Self::new`], with `most` states unless the environment says how many.
    pub fn with_most(seed: u64, most: usize) -> Self {
        let most = match std::env::var("VHDMOUNT_CRASH_STATES") {
            Ok(all) if all == "all" => usize::MAX,
            Ok(number) => number.parse().expect("VHDMOUNT_CRASH_STATES is a number or `all`"),
            Err(_) => most,
        };
        let only = std::env::var("VHDMOUNT_CRASH_STATE").ok();
        let only = only.map(|number| number.parse().expect("VHDMOUNT_CRASH_STATE is a number"));
        Self { seed, most, only }
    }

    /// Tries about `most` states, whatever the environment says: for what comes many times, such as each fault.
    pub fn few(seed: u64, most: usize) -> Self {
        Self { seed, most, only: None }
    }

    /// Judges the states of a recording.
    ///
    /// # Errors
    /// The first state that is rejected, why, and how it is tried again.
    pub fn explore(
        &self,
        workload: &str,
        recording: &Recording,
        mut judge: impl FnMut(&State) -> Result<(), String>,
    ) -> Result<Explored, String> {
        let (initial, events) = recording.parts();
        let all = choices(&events, self.seed);
        let chosen: Vec<(usize, Choice)> =
            all.iter().copied().enumerate().filter(|(number, _)| self.has(*number, all.len())).collect();
        let mut maker = Maker::new(initial, &events);
        for (number, choice) in &chosen {
            let state = maker.make(*choice);
            judge(&state).map_err(|problem| {
                format!(
                    "{workload}, seed {}: state {number} of {} ({}): {problem}\nVHDMOUNT_CRASH_STATE={number} tries it alone",
                    self.seed,
                    all.len(),
                    maker.describe(*choice)
                )
            })?;
        }
        Ok(Explored { tried: chosen.len(), of: all.len() })
    }

    /// Runs a workload again and again, and lets another operation fail each time, in each way. The workload ends at the error
    /// or goes on after it; it judges what it leaves itself. `operations`: how many it does when nothing fails.
    ///
    /// # Errors
    /// What the workload says, with the operation that failed.
    pub fn with_faults(
        &self,
        workload: &str,
        operations: usize,
        most: usize,
        mut run: impl FnMut(&Recording) -> Result<(), String>,
    ) -> Result<Explored, String> {
        let most = if self.most == usize::MAX { usize::MAX } else { most };
        let all = operations * 2;
        let mut tried = 0;
        for number in (0..all).filter(|number| chosen(self.seed, *number, all, most)) {
            let fault = if number % 2 == 0 { Fault::NoSpace } else { Fault::Device };
            let recording = Recording::default();
            recording.fail(number / 2, fault);
            run(&recording).map_err(|problem| {
                format!(
                    "{workload}, seed {}: operation {} fails ({fault:?}): {problem}",
                    self.seed,
                    number / 2
                )
            })?;
            tried += 1;
        }
        Ok(Explored { tried, of: all })
    }

    fn has(&self, number: usize, all: usize) -> bool {
        self.only.map_or_else(|| chosen(self.seed, number, all, self.most), |only| only == number)
    }
}

/// About `most` of `all`, the same ones for the same seed.
fn chosen(seed: u64, number: usize, all: usize, most: usize) -> bool {
    all <= most || mix(seed, number as u64) % all as u64 <= most as u64
}
