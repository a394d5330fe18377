//! The system calls that are left (seccomp): which list is for which process, and calls that depend on their arguments. The
//! lists (`list`) were found with strace; every other call fails with EPERM. It is no reason to end the process: a library
//! that tries a newer call falls back to an older one, and what an attacker tries is refused either way.

mod list;

use std::collections::BTreeMap;

use nix::{
    libc::{self, c_long},
    unistd::Pid,
};
use rustix::thread::CapabilitySet;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// Reads an image and prints what it found: it opens nothing for writing.
    Read,
    /// The same, and writes pictures.
    Draw,
    /// Makes files as well, with times, links and attributes.
    Copy,
    /// Serves a mount.
    Serve,
    /// The same, and writes files that are open.
    Write,
    /// Opens files for one of those, and reads no more of them than signatures.
    Open,
    /// Keeps a mount as root: makes it and ends it. What may be ended is the server alone.
    Keep(Option<Pid>),
}

/// Flags of an open that writes or makes a file.
const WRITING: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;

/// The flags of glibc's and Rust's threads, without which `clone` would make a process.
const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
/// Flags of `clone` that make namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// A new mount has these flags; it is read-only unless its raw views are written.
const NEW_MOUNT: u64 = libc::MS_NOSUID | libc::MS_NODEV;
/// A call of mount(2) with one of these changes a mount.
const CHANGED_MOUNT: u64 = libc::MS_REMOUNT
    | libc::MS_BIND
    | libc::MS_MOVE
    | libc::MS_SHARED
    | libc::MS_PRIVATE
    | libc::MS_SLAVE
    | libc::MS_UNBINDABLE;

/// `Q_GETQUOTA` of a user or group, with the kind of the quota left out: the low byte of the command.
const GET_QUOTA: u64 = (libc::Q_GETQUOTA as u64) << 8;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Install(#[from] seccompiler::Error),
    #[error("{0}")]
    Compile(#[from] seccompiler::BackendError),
}

impl Calls {
    /// The capabilities of root that are kept. Reading files of all users without changing their access times is what root
    /// opens images for. Landlock limits it to the files that are needed, and no system call is left that changes owners or
    /// permissions.
    pub(super) fn capabilities(self) -> CapabilitySet {
        let read = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
        read | match self {
            Self::Read | Self::Draw | Self::Serve | Self::Write => CapabilitySet::empty(),
            Self::Copy => CapabilitySet::DAC_OVERRIDE,
            // Quotas of others; no call is left for what else it permits.
            Self::Open => CapabilitySet::SYS_ADMIN,
            // The server may be a process of another user.
            Self::Keep(_) => CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::KILL,
        }
    }

    /// The most threads that do not depend on the number of processors: 64 workers of a mount, 16 of a copy, and a few that look
    /// ahead or wait for signals.
    pub(super) fn threads(self) -> u64 {
        match self {
            Self::Serve | Self::Write => 80,
            Self::Copy => 32,
            Self::Read | Self::Draw => 16,
            Self::Open | Self::Keep(_) => 1,
        }
    }

    /// Leaves only these calls, in all threads, for ever.
    pub(super) fn enforce(self) -> Result<(), Error> {
        let allowed = self.program()?;
        // The flags of `clone3` lie in memory, where a filter cannot see them. Without it glibc takes `clone`.
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
            std::env::consts::ARCH.try_into()?,
        )?;
        let without_clone3: BpfProgram = filter.try_into()?;
        apply_filter_all_threads(&without_clone3)?;
        Ok(apply_filter_all_threads(&allowed)?)
    }

    fn program(self) -> Result<BpfProgram, Error> {
        let mut rules = BTreeMap::new();
        for list in self.lists() {
            rules.extend(list.iter().map(|call| (*call, Vec::new())));
        }
        // The other filter has the last word.
        rules.insert(libc::SYS_clone3, Vec::new());
        rules.extend(self.conditional()?);
        let action = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into()?;
        Ok(SeccompFilter::new(rules, action, SeccompAction::Allow, arch)?.try_into()?)
    }

    /// The calls that are left whatever their arguments.
    fn lists(self) -> Vec<&'static [c_long]> {
        let mut lists = vec![list::RUNTIME, list::FILES, list::OLD];
        match self {
            Self::Read | Self::Draw => lists.push(list::NARROW),
            Self::Copy => lists.extend([list::NARROW, list::COPY, list::OLD_COPY]),
            Self::Serve => lists.extend([list::NARROW, list::SERVE]),
            Self::Write => lists.extend([list::NARROW, list::SERVE, list::WRITE]),
            Self::Open => {}
            Self::Keep(_) => lists.extend([list::KEEP, list::OLD_KEEP]),
        }
        lists
    }

    /// Calls that depend on their arguments.
    fn conditional(self) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, Error> {
        let equal = |argument, value| rule(argument, SeccompCmpOp::Eq, value);
        let masked = |argument, mask, value| rule(argument, SeccompCmpOp::MaskedEq(mask), value);
        let any_of = |argument, values: &[u64]| {
            values.iter().map(|value| equal(argument, *value)).collect::<Result<Vec<_>, _>>()
        };
        // Memory that can be written and run is never needed.
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        let mut rules = BTreeMap::from([
            (libc::SYS_mmap, vec![masked(2, executable, 0)?]),
            (libc::SYS_mprotect, vec![masked(2, executable, 0)?]),
            // abort(), and nothing to other processes.
            (libc::SYS_tgkill, vec![equal(0, u64::from(std::process::id()))?]),
            (libc::SYS_quotactl, vec![masked(0, 0xffff_ff00, GET_QUOTA & 0xffff_ff00)?]),
            // Limits of this process, which it may look at.
            (
                libc::SYS_prlimit64,
                vec![rule_of(vec![condition(0, SeccompCmpOp::Eq, 0)?, condition(2, SeccompCmpOp::Eq, 0)?])?],
            ),
        ]);
        if matches!(self, Self::Read | Self::Open) {
            rules.insert(libc::SYS_openat, vec![masked(2, WRITING, 0)?]);
            #[cfg(target_arch = "x86_64")]
            rules.insert(libc::SYS_open, vec![masked(1, WRITING, 0)?]);
        }
        if !matches!(self, Self::Open | Self::Keep(_)) {
            let mut requests = list::REQUESTS.to_vec();
            match self {
                Self::Copy => requests.push(list::SHARE),
                Self::Serve | Self::Write => requests.push(list::CLONE_CONNECTION),
                _ => {}
            }
            let settings =
                [libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS].map(|name| u64::from(name.unsigned_abs()));
            rules.insert(libc::SYS_ioctl, any_of(1, &requests)?);
            rules.insert(libc::SYS_clone, vec![masked(0, THREAD, THREAD)?]);
            rules.insert(libc::SYS_prctl, any_of(0, &settings)?);
        }
        if self != Self::Open {
            // A pair between threads of this process, for signals.
            let local = u64::from(libc::AF_UNIX.unsigned_abs());
            rules.insert(libc::SYS_socketpair, vec![equal(0, local)?]);
        }
        if let Self::Keep(server) = self {
            // A process that asks the mount.
            rules.insert(libc::SYS_clone, vec![masked(0, NAMESPACES, 0)?]);
            rules.insert(libc::SYS_ioctl, any_of(1, &[list::NONBLOCKING])?);
            rules.insert(libc::SYS_mount, vec![masked(3, NEW_MOUNT | CHANGED_MOUNT, NEW_MOUNT)?]);
            let (nofollow, detach) = (libc::UMOUNT_NOFOLLOW.unsigned_abs(), libc::MNT_DETACH.unsigned_abs());
            rules.insert(libc::SYS_umount2, vec![masked(1, u64::from(!detach), nofollow.into())?]);
            if let Some(server) = server {
                rules.insert(libc::SYS_kill, vec![equal(0, u64::from(server.as_raw().unsigned_abs()))?]);
            }
        }
        Ok(rules)
    }
}

fn condition(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)?)
}

fn rule(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    rule_of(vec![condition(argument, compare, value)?])
}

fn rule_of(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions)?)
}
