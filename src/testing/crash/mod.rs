//! Power cuts, tried out: a recording of what a writer does to its files, and every state in which a power cut could leave them.
//!
//! 1. [`Recording::file`] hands out files in memory that note each write, length and flush; the workload runs on them.
//! 2. [`Explorer::explore`] makes states from the recording: each prefix; within what was not flushed yet each write dropped,
//!    each one kept alone, pairs and random subsets (so later writes without earlier ones), and writes torn at sectors.
//! 3. A closure judges each state: does it open, and does it hold what it must ([`Model`])?
//!
//! A state has a number, which names it for as long as the workload does the same: `VHDMOUNT_CRASH_STATE=NUMBER` tries that one
//! alone. `VHDMOUNT_CRASH_STATES=N` sets how many are tried for each workload, `all` tries all.

mod disks;
mod explorer;
mod model;
mod recording;
mod states;
mod steps;
#[cfg(test)]
mod tests;
mod trace;

pub use disks::Workload;
#[cfg(test)]
pub(crate) use disks::problems;
pub use explorer::{Explored, Explorer};
pub use model::{Model, stamp};
pub use recording::{Event, Fault, Recorded, Recording};
pub use states::State;
pub use steps::{Shape, Step, steps};
pub use trace::{Recorder, Traced, VARIABLE as TRACE_VARIABLE, read_trace, steps_of};
