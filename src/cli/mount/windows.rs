//! Resolves mount options for WinFsp. Options that only Linux has are refused by name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{Class, Failure, args},
    Announcement, Call, Config, OptionError, is_ignored, name_and_value,
};
use crate::platform::{self, MountError, MountOptions, Mountpoint, Prepared};

/// The options of a WinFsp mount.
pub(super) type Options = MountOptions;

pub(super) fn run(mount: Config) -> Result<(), Failure> {
    let Config { source, announcement, fake, sandbox, platform: options, writing: _ } = mount;
    let restriction = sandbox.restriction(|| super::super::sandbox::of(&source))?;
    if fake {
        return Ok(());
    }
    let complete = platform::mount(options, move || {
        // Only the process that serves comes here.
        if let Some(restriction) = restriction {
            restriction.confine_server();
        }
        let (tree, text, complete) = super::open(&source, announcement)?;
        Ok::<_, Failure>(Prepared {
            tree: Arc::new(tree),
            announcement: text,
            say_where: announcement == Announcement::Table,
            complete,
        })
    })?;
    if complete { Ok(()) } else { Err(Failure::printed(Class::NoVolume)) }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Reported(code) => Self::printed(Class::Served(code)),
            other => Self::mountpoint(other),
        }
    }
}

/// Resolves the options for WinFsp; `of_mount`: the `-o` options that concern the mount.
pub(super) fn resolve(
    mount: args::Mount,
    image: &Path,
    of_mount: &[String],
    call: &Call,
) -> Result<Options, Failure> {
    if mount.allow_other {
        return Err(foreign("--allow-other"));
    }
    let mountpoint = mount.mountpoint.unwrap_or_else(|| PathBuf::from("*"));
    let mut options = MountOptions {
        mountpoint: Mountpoint::parse(&mountpoint),
        name: image.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        foreground: mount.foreground,
        debug: call.debug,
        check_access: mount.acls,
        uncached: false,
        threads: 0,
        // Made absolute, as the working directory changes.
        pid_file: mount.pid_file.map(|path| std::path::absolute(&path).unwrap_or(path)),
    };
    for option in of_mount {
        let (name, value) = name_and_value(option);
        match (set(&mut options, name, value), call.helper) {
            (Err(OptionError::Unknown), Some(helper)) if helper.sloppy => {}
            (done, _) => done.map_err(|refused| refused.explain(option))?,
        }
    }
    Ok(options)
}

/// Applies an `-o` option that concerns the mount.
fn set(options: &mut MountOptions, name: &str, value: Option<&str>) -> Result<(), OptionError> {
    match name {
        _ if is_ignored(name, value) => {}
        "acls" => options.check_access = true,
        "threads" => options.threads = args::number(name, value)?,
        "direct_io" => options.uncached = true,
        // On Windows named streams are always streams.
        "streams_interface" if value == Some("windows") => {}
        "rw" => return Err(OptionError::Writable),
        "uid"
        | "gid"
        | "umask"
        | "fmask"
        | "dmask"
        | "allow_other"
        | "allow_root"
        | "wsl_metadata"
        | "metadata"
        | "streams_interface"
        | "noexec"
        | "exec"
        | "noatime"
        | "atime"
        | "default_permissions"
        | "auto_unmount"
        | "sync"
        | "async"
        | "dirsync" => return Err(foreign(&format!("-o {name}")).into()),
        _ => return Err(OptionError::Unknown),
    }
    Ok(())
}

fn foreign(option: &str) -> Failure {
    Failure::usage(format_args!(
        "{option} is for Linux (FUSE) and means nothing to WinFsp; on Windows everybody may read the mount, or with --acls those \
         whom the volume's own descriptors let"
    ))
}
