//! Processes that are stopped in the middle of a file.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Stops the process as soon as a file that is not complete appears in `dest`; true if it is still in the middle of it.
pub(crate) fn stopped_halfway(pid: Pid, dest: &Path) -> bool {
    let start = Instant::now();
    let begun =
        || fs::read_dir(dest).unwrap().flatten().any(|e| e.file_name().to_string_lossy().contains(".part"));
    while !begun() {
        if start.elapsed() > Duration::from_secs(20) {
            return false;
        }
    }
    kill_process(pid, Signal::STOP).unwrap();
    let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).unwrap();
    begun()
}
