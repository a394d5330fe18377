//! What a process gives up besides files and system calls: capabilities, new privileges, core dumps, debuggers, memory
//! without end.

use std::thread::available_parallelism;

use nix::unistd::Pid;
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

use super::calls::Calls;

/// Address space, in bytes, besides that of threads. No command had 0.1 GiB on disks of 64 TiB with a file or 11 GiB of small ones;
/// the tests let no image make one hold more than 512 MiB. Four times that.
const SPACE: u64 = 2 << 30;
/// Address space of a thread at most: its stack (2 MiB), and what the allocator reserves for it (64 MiB). A mount with 64 workers
/// that each had an arena of their own had 4.33 GiB in 68 threads, a copy with 16 1.31 GiB in 20.
const SPACE_OF_THREAD: u64 = 80 << 20;
/// Threads for each processor.
const THREADS_OF_PROCESSOR: u64 = 4;

/// Gives up what the calls do not need.
pub(super) fn drop_all_but(calls: Calls) {
    let kept = calls.capabilities();
    let dropped = capabilities(None).and_then(|now| {
        let sets = CapabilitySets {
            effective: now.effective & kept,
            permitted: now.permitted & kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)
    });
    log_failure("capabilities are kept", dropped);
    log_failure("programs with more rights could be started", set_no_new_privs(true));
    leave_no_memory();
    let processors = available_parallelism().map_or(1, |processors| processors.get() as u64);
    let threads = calls.threads() + THREADS_OF_PROCESSOR * processors;
    log_failure("the address space is not limited", limit(Resource::As, SPACE + threads * SPACE_OF_THREAD));
}

/// Lets no other process of the user see the memory of this one: neither a debugger nor in a core dump.
pub(super) fn leave_no_memory() {
    log_failure("memory is dumped", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    log_failure("core dumps", limit(Resource::Core, 0));
}

/// True for root with the right to mount, who needs no fusermount3.
pub(super) fn may_mount() -> bool {
    let effective = capabilities(None).map(|now| now.effective);
    rustix::process::geteuid().is_root() && effective.is_ok_and(|now| now.contains(CapabilitySet::SYS_ADMIN))
}

/// Ends this process when its parent does.
pub(in super::super) fn end_with(parent: Pid) {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // It may have ended before.
    if nix::unistd::getppid() != parent {
        std::process::exit(1);
    }
    ignore_signals();
}

/// This process writes what the kernel may have to get rid of before it has memory for it: it does not wait for memory that only its own
/// work makes free (`PR_SET_IO_FLUSHER`). Root alone may say so.
pub(in super::super) fn may_be_needed_for_memory() {
    use nix::libc;
    /// From linux/prctl.h
    const PR_SET_IO_FLUSHER: libc::c_int = 57;
    // SAFETY: the call takes numbers alone.
    if unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) } != 0 {
        log::debug!("PR_SET_IO_FLUSHER: {}", std::io::Error::last_os_error());
    }
}

/// Leaves the signals of a terminal and of `kill` to another process.
pub(in super::super) fn ignore_signals() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: no handler is installed, so nothing runs when the signal arrives.
        let _ = unsafe { sigaction(signal, &ignore) };
    }
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let lower = |now: Option<u64>| Some(now.map_or(wanted, |now| now.min(wanted)));
    let Rlimit { current, maximum } = getrlimit(resource);
    setrlimit(resource, Rlimit { current: lower(current), maximum: lower(maximum) })
}

fn log_failure(what: &str, done: rustix::io::Result<()>) {
    if let Err(error) = done {
        log::info!("sandbox: {what}: {error}");
    }
}
