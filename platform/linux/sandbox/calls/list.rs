//! The system calls that commands, a mount and its keeper use, found with strace under the tests. Of those that no test reaches
//! are left: what glibc and Rust's library call only on other kernels or when threads meet, and what a copy falls back to on
//! filesystems without hard links.

use nix::libc::{self, c_long};

/// Memory, threads, time, signals, descriptors.
pub(super) const RUNTIME: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
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
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // On the connections that this process has: signals, the second process.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
];

/// Gives up more rights when the chain is open.
pub(super) const NARROW: &[c_long] =
    &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

/// Files: what Landlock leaves of them.
pub(super) const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_pread64,
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
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
];

/// Calls that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
pub(super) const OLD: &[c_long] = &[libc::SYS_open, libc::SYS_readlink, libc::SYS_dup2];
/// What others have for them.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLD: &[c_long] = &[libc::SYS_readlinkat, libc::SYS_dup3];

/// What a copy makes below its destination.
pub(super) const COPY: &[c_long] = &[
    libc::SYS_pwrite64,
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
];
#[cfg(target_arch = "x86_64")]
pub(super) const OLD_COPY: &[c_long] = &[libc::SYS_mkdir, libc::SYS_unlink, libc::SYS_rename];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLD_COPY: &[c_long] = &[];

/// Answers to the kernel.
pub(super) const SERVE: &[c_long] = &[
    libc::SYS_pwrite64,
    // To leave the terminal.
    libc::SYS_setsid,
    libc::SYS_chdir,
];

/// Changes files that are open.
pub(super) const WRITE: &[c_long] =
    &[libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fsync, libc::SYS_fdatasync];

/// Makes and ends a mount, and processes that ask it or guard it.
pub(super) const KEEP: &[c_long] = &[
    libc::SYS_getxattr,
    libc::SYS_flock,
    libc::SYS_wait4,
    // The pid file, and a mountpoint that was made.
    libc::SYS_renameat,
    libc::SYS_unlinkat,
    // To leave the terminal.
    libc::SYS_setsid,
    libc::SYS_chdir,
];
#[cfg(target_arch = "x86_64")]
pub(super) const OLD_KEEP: &[c_long] = &[libc::SYS_rmdir, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLD_KEEP: &[c_long] = &[];

/// Terminals, extents and flags of files, sector sizes of devices.
pub(super) const REQUESTS: &[u64] = &[
    libc::TCGETS,
    libc::TIOCGWINSZ,
    0xc020_660b, // FS_IOC_FIEMAP
    0x8008_6601, // FS_IOC_GETFLAGS
    0x1268,      // BLKSSZGET
    0x127b,      // BLKPBSZGET
];
/// A descriptor that is not waited for.
pub(super) const NONBLOCKING: u64 = libc::FIONBIO;
/// FICLONERANGE: a new image shares blocks with the files that it is made from.
pub(super) const SHARE: u64 = 0x4020_940d;
/// FUSE_DEV_IOC_CLONE: one connection for each worker.
pub(super) const CLONE_CONNECTION: u64 = 0x8004_e500;
