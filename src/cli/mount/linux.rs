//! Resolves mount options for FUSE, and creates the mountpoint when none is given.

mod written;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{Class, Failure, args, sandbox},
    Announcement, Call, Config, OptionError, is_ignored, name_and_value,
};
use crate::platform::{self, MountError, MountLock, MountOptions, Prepared, Streams};

/// The options of a FUSE mount. The mountpoint is `None` when one is to be created.
pub(super) struct Options {
    options: MountOptions,
    mountpoint: Option<PathBuf>,
}

pub(super) fn run(mount: Config) -> Result<(), Failure> {
    let Config { source, announcement, fake, sandbox, platform, writing } = mount;
    let Options { mut options, mountpoint } = platform;
    match mountpoint {
        Some(mountpoint) => options.mountpoint = mountpoint,
        None => make_mountpoint(&source.image, &mut options)?,
    }
    if fake {
        return Ok(());
    }
    let how_to_end = how_to_end(&options);
    let made = options.remove_mountpoint.then(|| options.mountpoint.clone());
    // The lock is held until the mountpoint is removed.
    let _lock = made.as_ref().and(options.lock.clone());
    let restriction = sandbox.restriction(|| written::rights(sandbox::of(&source), writing.as_ref()))?;
    if let Some(writing) = &writing {
        options.writable = true;
        let image = std::path::absolute(&source.image).unwrap_or_else(|_| source.image.clone());
        options.redo_of = Some(writing.overlay.clone().unwrap_or(image));
    }
    let open_written = || writing.as_ref().map(|writing| written::open(&source, writing)).transpose();
    let prepare = |files: Option<written::Files>| {
        let (fs, mut text, complete, written) = match (files, &writing) {
            (Some(files), Some(writing)) => written::prepare(files, &source, writing, announcement)?,
            _ => {
                let (tree, text, complete) = super::open(&source, announcement)?;
                (tree, text, complete, None)
            }
        };
        if announcement == Announcement::Table {
            text += &how_to_end;
        }
        Ok::<_, Failure>(Prepared { fs: Arc::new(fs), announcement: text, complete, written })
    };
    let mounted = platform::mount(options, restriction, open_written, prepare);
    match (&mounted, made) {
        // The background process has removed the mountpoint.
        (Err(failure), Some(_)) if failure.text().is_empty() => {}
        // The mountpoint was created for this mount.
        (Err(_), Some(made)) => drop(std::fs::remove_dir(made)),
        _ => {}
    }
    match mounted? {
        true => Ok(()),
        false => Err(Failure::printed(Class::NoVolume)),
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Reported(code) => Self::printed(Class::Served(code)),
            MountError::Option(text) => Self::usage(text),
            other => Self::mountpoint(other),
        }
    }
}

/// The text that names the mountpoint and how to unmount it.
fn how_to_end(options: &MountOptions) -> String {
    let at = std::path::absolute(&options.mountpoint).unwrap_or_else(|_| options.mountpoint.clone());
    let at = for_shell(&at.to_string_lossy());
    match options.foreground {
        true => format!("Mounted at {at}; Ctrl-C unmounts\n"),
        false => format!("Mounted at {at}; unmount with: vhdmount -u {at}\n"),
    }
}

/// A path quoted for a shell.
fn for_shell(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@,:=%".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Resolves the options for FUSE; `of_mount`: the `-o` options that concern the mount.
pub(super) fn resolve(
    mount: args::Mount,
    image: &Path,
    of_mount: &[String],
    call: &Call,
) -> Result<Options, Failure> {
    let (uid, gid) = platform::default_owner();
    let source = std::path::absolute(image).unwrap_or_else(|_| image.to_owned());
    let mut options = MountOptions {
        foreground: mount.foreground || call.debug,
        allow_other: mount.allow_other,
        pid_file: mount.pid_file,
        debug: call.debug,
        ..MountOptions::new(PathBuf::new(), source.into_os_string(), uid, gid)
    };
    for option in of_mount {
        let (name, value) = name_and_value(option);
        match (set(&mut options, option, name, value), call.helper) {
            // What is written is said by other options.
            (Err(OptionError::Writable), _) if mount.in_place || mount.overlay.is_some() => {}
            (Err(OptionError::Writable), Some(_)) => {
                log::warn!(
                    "{}: rw is ignored, the mount is read-only: overlay=CHILD or in_place would say where writes go; say ro",
                    image.display()
                );
            }
            (Err(OptionError::Unknown), Some(helper)) if helper.sloppy => {}
            (done, _) => done.map_err(|refused| refused.explain(option))?,
        }
    }
    Ok(Options { options, mountpoint: mount.mountpoint })
}

/// Applies an `-o` option that concerns the mount.
fn set(options: &mut MountOptions, option: &str, name: &str, value: Option<&str>) -> Result<(), OptionError> {
    match name {
        _ if is_ignored(name, value) => {}
        "uid" => options.uid = args::number(name, value)?,
        "gid" => options.gid = args::number(name, value)?,
        "umask" => (options.fmask, options.dmask) = (octal(name, value)?, octal(name, value)?),
        "fmask" => options.fmask = octal(name, value)?,
        "dmask" => options.dmask = octal(name, value)?,
        "threads" => options.threads = args::number(name, value)?,
        "allow_other" => options.allow_other = true,
        "allow_root" => options.allow_root = true,
        "direct_io" => options.direct_io = true,
        // The second name is WSL's own.
        "wsl_metadata" | "metadata" => options.wsl_metadata = true,
        "streams_interface" => {
            options.streams = match value {
                Some("none") => Streams::None,
                Some("windows") => Streams::Windows,
                Some("xattr") => Streams::Xattr,
                _ => Err(Failure::usage(
                    "-o streams_interface takes none, windows or xattr, as in -o streams_interface=none",
                ))?,
            }
        }
        "rw" => return Err(OptionError::Writable),
        "noexec"
        | "exec"
        | "noatime"
        | "atime"
        | "default_permissions"
        | "auto_unmount"
        | "sync"
        | "async"
        | "dirsync"
        | "nosymfollow" => {
            options.raw_fuse_options.push(option.to_owned());
        }
        "context" | "fscontext" | "defcontext" | "rootcontext" | "max_read" if value.is_some() => {
            options.raw_fuse_options.push(for_kernel(name, value.unwrap_or_default()));
        }
        "remount" => Err(Failure::usage(
            "-o remount: the options of a mount are settled when it is made; unmount it (vhdmount -u) and mount it again",
        ))?,
        _ => return Err(OptionError::Unknown),
    }
    Ok(())
}

/// An option in the kernel's syntax: a value with commas is put in quotes, whatever quotes it had.
fn for_kernel(name: &str, value: &str) -> String {
    let value = value.trim_matches('"');
    if value.contains(',') { format!("{name}=\"{value}\"") } else { format!("{name}={value}") }
}

fn octal(name: &str, value: Option<&str>) -> Result<u16, Failure> {
    let mask = value.and_then(|value| u16::from_str_radix(value, 8).ok()).filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| Failure::usage(format!("-o {name} needs an octal mask, as in -o {name}=022")))
}

/// Creates the mountpoint `./disk` for `disk.vhdx` and locks it, so that no other process mounts on it while it is empty
/// and about to be removed. An empty directory of that name may exist.
fn make_mountpoint(image: &Path, options: &mut MountOptions) -> Result<(), Failure> {
    let stem = image
        .file_stem()
        .ok_or_else(|| Failure::usage("name a MOUNTPOINT: the image has no name to take"))?;
    let mut mountpoint = PathBuf::from(stem);
    if Path::new(stem) == image {
        // The image has no extension and lies in this folder, so its name is taken.
        mountpoint.as_mut_os_string().push(".mnt");
    }
    options.mountpoint = mountpoint;
    let mountpoint = &options.mountpoint;
    let mut tries = 0..MAX_TRIES;
    loop {
        let error = match MountLock::make(mountpoint) {
            Ok(lock) => {
                (options.lock, options.remove_mountpoint) = (Some(Arc::new(lock)), true);
                return Ok(());
            }
            // The platform reports a mountpoint that is in use.
            Err(_) if platform::is_mounted(mountpoint) => return Ok(()),
            Err(error) => error,
        };
        if std::fs::read_dir(mountpoint).is_ok_and(|mut entries| entries.next().is_none()) {
            if let Some(lock) = MountLock::take_if_there(mountpoint)? {
                options.lock = Some(Arc::new(lock));
                return Ok(());
            }
            // Another mount had created the mountpoint and failed.
            if tries.next().is_some() {
                continue;
            }
        }
        return Err(Failure::mountpoint(format!(
            "{}: {error}; name the MOUNTPOINT yourself: vhdmount IMAGE MOUNTPOINT",
            mountpoint.display()
        )));
    }
}

/// Most attempts, when other mounts create the same directory, fail and remove it again, one after the other.
const MAX_TRIES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_mountpoint_back() {
        assert_eq!(for_shell("/mnt/disk-1.x"), "/mnt/disk-1.x");
        assert_eq!(for_shell("/mnt/Ada's disk"), r"'/mnt/Ada'\''s disk'");
        assert_eq!(for_shell(r"/mnt/bs\"), r"'/mnt/bs\'");
    }
}
