//! [`MountOptions`] to fuser's configuration.

use std::{fs::OpenOptions, thread::available_parallelism};

use fuser::{Config, MountOption, SessionACL};

use super::{MountError, MountOptions, mount_table::SUBTYPE};

/// Workers, whatever the number of cores: they wait for the image more than they compute, and one sequential reader
/// keeps several busy through the kernel's read-ahead.
const MIN_THREADS: usize = 8;

/// A worker costs little, but not nothing.
const MAX_THREADS: usize = 64;

/// The configuration of a session.
pub(super) fn config(options: &MountOptions) -> Result<Config, MountError> {
    let mut list = vec![
        MountOption::RO,
        MountOption::FSName(source(&options.source)),
        // Not MountOption::Subtype, which fuser keeps from the kernel when it mounts without fusermount3.
        MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
        // The kernel checks the modes by itself, without asking us for each access.
        MountOption::DefaultPermissions,
    ];
    for raw in &options.raw_fuse_options {
        let option = raw_option(raw)?;
        list.extend(option.filter(|option| !list.contains(option)));
    }
    let mut config = Config::default();
    config.mount_options = list;
    config.acl = match (options.allow_other, options.allow_root) {
        (true, _) => SessionACL::All,
        (false, true) => SessionACL::RootAndOwner,
        (false, false) => SessionACL::Owner,
    };
    config.n_threads = Some(threads(options.threads));
    // Each worker then opens the device for itself; under fusermount3 it may be closed to us.
    config.clone_fd = OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    Ok(config)
}

fn threads(wanted: usize) -> usize {
    match wanted {
        0 => available_parallelism().map_or(MIN_THREADS, usize::from).clamp(MIN_THREADS, MAX_THREADS),
        wanted => wanted.min(MAX_THREADS),
    }
}

/// fusermount3 takes a list separated by commas; a comma or backslash in the name must not start another option.
fn source(text: &str) -> String {
    if rustix::process::geteuid().is_root() && !text.contains(',') {
        return text.to_owned();
    }
    text.replace('\\', r"\\").replace(',', r"\,")
}

fn raw_option(raw: &str) -> Result<Option<MountOption>, MountError> {
    Ok(Some(match raw {
        "ro" | "default_permissions" => return Ok(None), // Always set.
        "rw" => return Err(MountError::Option("rw: images are only ever mounted read-only".into())),
        "auto_unmount" => MountOption::AutoUnmount,
        "dev" => MountOption::Dev,
        "nodev" => MountOption::NoDev,
        "suid" => MountOption::Suid,
        "nosuid" => MountOption::NoSuid,
        "exec" => MountOption::Exec,
        "noexec" => MountOption::NoExec,
        "atime" => MountOption::Atime,
        "noatime" => MountOption::NoAtime,
        "sync" => MountOption::Sync,
        "async" => MountOption::Async,
        "dirsync" => MountOption::DirSync,
        other if other.contains(',') || other.contains('\0') => {
            return Err(MountError::Option(format!("{other}: one option at a time")));
        }
        other => MountOption::CUSTOM(other.into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_flags_are_recognised_and_the_rest_is_passed_on() {
        assert_eq!(raw_option("noatime").unwrap(), Some(MountOption::NoAtime));
        assert_eq!(raw_option("max_read=65536").unwrap(), Some(MountOption::CUSTOM("max_read=65536".into())));
        assert_eq!(raw_option("ro").unwrap(), None);
    }

    #[test]
    fn a_writable_mount_and_smuggled_options_are_refused() {
        assert!(raw_option("rw").is_err());
        assert!(raw_option("x,allow_other").is_err());
        assert!(!source("a,allow_other").contains("a,"));
    }

    #[test]
    fn there_are_never_too_few_or_too_many_workers() {
        assert!(threads(0) >= MIN_THREADS);
        assert_eq!(threads(1), 1);
        assert_eq!(threads(usize::MAX), MAX_THREADS);
    }
}
