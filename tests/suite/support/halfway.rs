//! Processes that are stopped in the middle of a file.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::demo::outcome;

/// Signals a process in the middle of a file in `dest`: its exit code and standard error, and whether it was still in the middle.
pub(crate) fn signalled(command: &mut Command, dest: &Path, signal: Signal) -> (Option<i32>, String, bool) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let halfway = stopped_halfway(pid, dest);
    let _ = kill_process(pid, signal);
    let _ = kill_process(pid, Signal::CONT);
    let (code, _, errors) = outcome(&child.wait_with_output().unwrap());
    (code, errors, halfway)
}

/// Stops the process as soon as a file that is not complete appears in `dest`; true if it is still in the middle of it.
fn stopped_halfway(pid: Pid, dest: &Path) -> bool {
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
