//! The system calls that are left (seccomp). A list of those that commands and a mount use, found with strace; every
//! other call fails with EPERM. It is no reason to end the process: a library that tries a newer call falls back to an older
//! one, and what an attacker tries is refused either way.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// Reads an image and prints what it found; a picture is the only file that it writes.
    Read,
    /// Makes files as well, with times, links and attributes.
    Copy,
    /// Serves a mount.
    Serve,
}

/// Memory, threads, time, signals, descriptors.
const RUNTIME: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // On the connections that this process has: signals, the second process.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    // To give up more rights.
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
];

/// Files: what Landlock leaves of them.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_quotactl,
];

/// Calls that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_dup2,
    libc::SYS_getdents,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c_long] = &[];

/// What a copy makes below its destination.
const COPY: &[c_long] = &[
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_umask,
];
#[cfg(target_arch = "x86_64")]
const OLD_COPY: &[c_long] =
    &[libc::SYS_mkdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_link, libc::SYS_symlink];
#[cfg(not(target_arch = "x86_64"))]
const OLD_COPY: &[c_long] = &[];

/// Answers to the kernel.
const SERVE: &[c_long] = &[
    libc::SYS_pwrite64,
    // To leave the terminal.
    libc::SYS_setsid,
    libc::SYS_chdir,
];

/// Terminals, extents and flags of files, sector sizes of devices.
const REQUESTS: &[u64] = &[
    libc::TCGETS,
    libc::TIOCGWINSZ,
    0xc020_660b, // FS_IOC_FIEMAP
    0x8008_6601, // FS_IOC_GETFLAGS
    0x1268,      // BLKSSZGET
    0x127b,      // BLKPBSZGET
];
/// FICLONERANGE: a new image shares blocks with the files that it is made from.
const SHARE: u64 = 0x4020_940d;
/// FUSE_DEV_IOC_CLONE: one connection for each worker.
const CLONE_CONNECTION: u64 = 0x8004_e500;

/// The flags of glibc's and Rust's threads, without which `clone` would make a process.
const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Install(#[from] seccompiler::Error),
    #[error("{0}")]
    Compile(#[from] seccompiler::BackendError),
}

impl Calls {
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
        let mut allow = |calls: &[c_long]| rules.extend(calls.iter().map(|call| (*call, Vec::new())));
        allow(RUNTIME);
        allow(FILES);
        allow(OLD);
        // The other filter has the last word.
        allow(&[libc::SYS_clone3]);
        match self {
            Self::Read => {}
            Self::Copy => {
                allow(COPY);
                allow(OLD_COPY);
            }
            Self::Serve => allow(SERVE),
        }
        rules.extend(self.conditional()?);
        let action = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into()?;
        Ok(SeccompFilter::new(rules, action, SeccompAction::Allow, arch)?.try_into()?)
    }

    /// Calls that depend on their arguments.
    fn conditional(self) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, Error> {
        let equal = |argument, value| rule(argument, SeccompCmpOp::Eq, value);
        let masked = |argument, mask, value| rule(argument, SeccompCmpOp::MaskedEq(mask), value);
        let mut requests = REQUESTS.to_vec();
        match self {
            Self::Read => {}
            Self::Copy => requests.push(SHARE),
            Self::Serve => requests.push(CLONE_CONNECTION),
        }
        // Memory that can be written and run is never needed.
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        let own = u64::from(std::process::id());
        Ok(BTreeMap::from([
            (libc::SYS_mmap, vec![masked(2, executable, 0)?]),
            (libc::SYS_mprotect, vec![masked(2, executable, 0)?]),
            (libc::SYS_clone, vec![masked(0, THREAD, THREAD)?]),
            (
                libc::SYS_ioctl,
                requests.into_iter().map(|request| equal(1, request)).collect::<Result<_, _>>()?,
            ),
            (
                libc::SYS_prctl,
                vec![
                    equal(0, u64::from(libc::PR_SET_NAME.unsigned_abs()))?,
                    equal(0, u64::from(libc::PR_SET_NO_NEW_PRIVS.unsigned_abs()))?,
                ],
            ),
            // A pair between threads of this process, for signals.
            (libc::SYS_socketpair, vec![equal(0, u64::from(libc::AF_UNIX.unsigned_abs()))?]),
            // abort(), and nothing to other processes.
            (libc::SYS_tgkill, vec![equal(0, own)?]),
            // Limits of this process, which it may look at.
            (
                libc::SYS_prlimit64,
                vec![rule_of(vec![condition(0, SeccompCmpOp::Eq, 0)?, condition(2, SeccompCmpOp::Eq, 0)?])?],
            ),
        ]))
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
