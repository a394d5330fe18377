//! Translates [`MountOptions`] for the kernel, fusermount3 and fuser: mount flags, options, worker threads.

use std::{ffi::OsString, thread::available_parallelism};

use fuser::{Config, SessionACL};
use rustix::mount::MountFlags;

use super::{MountError, MountOptions};

/// Fewest workers, whatever the number of cores: they wait for the image more than they compute, and the kernel's
/// read-ahead for one sequential reader keeps several busy.
const MIN_THREADS: usize = 8;

/// Most workers: each costs memory and a descriptor.
const MAX_THREADS: usize = 64;

/// Flags of mount(2) with their names for fusermount3, which accepts no others.
const FLAGS: [(&str, MountFlags); 4] = [
    ("noexec", MountFlags::NOEXEC),
    ("noatime", MountFlags::NOATIME),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
];

/// Source, flags and options of a mount, without the mountpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The source in the mount table.
    pub(super) source: OsString,
    /// Flags for mount(2), with their names for fusermount3.
    pub(super) flags: MountFlags,
    pub(super) flag_names: Vec<&'static str>,
    /// Options for the kernel, in its syntax.
    pub(super) kernel: Vec<String>,
    /// fusermount3 keeps running, and unmounts when this process ends.
    pub(super) auto_unmount: bool,
}

impl Attributes {
    pub(super) fn of(options: &MountOptions) -> Result<Self, MountError> {
        let access = if options.writable { MountFlags::empty() } else { MountFlags::RDONLY };
        let mut this = Self {
            source: options.source.clone(),
            flags: access | MountFlags::NODEV | MountFlags::NOSUID,
            flag_names: vec![if options.writable { "rw" } else { "ro" }, "nodev", "nosuid"],
            // The kernel checks the permission bits itself, without a request for each access.
            kernel: vec!["default_permissions".into()],
            auto_unmount: false,
        };
        if options.allow_other || options.allow_root {
            this.kernel.push("allow_other".into());
        }
        for raw in &options.raw_fuse_options {
            this.add(raw)?;
        }
        Ok(this)
    }

    fn add(&mut self, raw: &str) -> Result<(), MountError> {
        let refuse = |problem: &str| Err(MountError::Option(format!("-o {raw}: {problem}")));
        match raw {
            "ro" | "default_permissions" | "nodev" | "nosuid" | "exec" | "atime" | "async" => {}
            "rw" => return refuse("this mount is read-only"),
            "auto_unmount" => self.auto_unmount = true,
            "nosymfollow" => {
                self.flags |= MountFlags::NOSYMFOLLOW;
                self.flag_names.push("nosymfollow");
            }
            other => match FLAGS.iter().find(|(name, _)| *name == other) {
                Some((name, flag)) => {
                    self.flags |= *flag;
                    self.flag_names.push(name);
                }
                None if !is_one_option(other) => return refuse("one option at a time"),
                None => self.kernel.push(other.into()),
            },
        }
        Ok(())
    }
}

/// True when the text is a single option, with commas only inside quotes.
fn is_one_option(text: &str) -> bool {
    let mut quoted = false;
    let single = text.chars().all(|c| {
        quoted ^= c == '"';
        c != '\0' && (c != ',' || quoted)
    });
    single && !quoted
}

/// The fuser configuration of a session. `clone_device`: each worker opens the device for itself.
pub(super) fn config(options: &MountOptions, clone_device: bool) -> Config {
    let mut config = Config::default();
    config.n_threads = Some(threads(options.threads));
    config.clone_fd = clone_device;
    config
}

/// Which users may access a mount.
pub(super) fn acl(options: &MountOptions) -> SessionACL {
    match (options.allow_other, options.allow_root) {
        (true, _) => SessionACL::All,
        (false, true) => SessionACL::RootAndOwner,
        (false, false) => SessionACL::Owner,
    }
}

pub(super) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => available_parallelism().map_or(MIN_THREADS, usize::from).clamp(MIN_THREADS, MAX_THREADS),
        wanted => wanted.min(MAX_THREADS),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn attributes(raw: &[&str]) -> Result<Attributes, MountError> {
        let raw_fuse_options = raw.iter().map(|raw| (*raw).into()).collect();
        let options = MountOptions {
            raw_fuse_options,
            ..MountOptions::new(PathBuf::from("/mnt"), "a, b".into(), 0, 0)
        };
        Attributes::of(&options)
    }

    #[test]
    fn kernel_flags_are_recognised_and_the_rest_is_passed_on() {
        let context = r#"context="system_u:object_r:x:s0:c1,c2""#;
        let found = attributes(&["noatime", "max_read=65536", "ro", context, "nosymfollow"]).unwrap();
        assert!(found.flags.contains(MountFlags::NOATIME | MountFlags::RDONLY | MountFlags::NOSYMFOLLOW));
        assert_eq!(found.kernel, ["default_permissions", "max_read=65536", context]);
        assert_eq!(found.source, "a, b");
    }

    #[test]
    fn a_writable_mount_and_smuggled_options_are_refused() {
        for raw in ["rw", "x,allow_other", "context=\"a,b", "context=\"a\",allow_other", "x\0"] {
            assert!(attributes(&[raw]).is_err(), "{raw}");
        }
    }

    #[test]
    fn there_are_never_too_few_or_too_many_workers() {
        assert!(threads(0) >= MIN_THREADS);
        assert_eq!(threads(1), 1);
        assert_eq!(threads(usize::MAX), MAX_THREADS);
    }
}
