//! What the options mean to WinFsp. Those that are Linux's alone are refused by name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{Class, Failure, args},
    OptionError, check_exists, is_ignored, name_and_value, take_options,
};
use crate::platform::{self, MountError, MountOptions, Mountpoint, Prepared};

pub(in super::super) fn run(mut mount: args::Mount) -> Result<(), Failure> {
    let image = mount.image.take().ok_or_else(|| Failure::usage("an IMAGE is needed"))?;
    let options = resolve(&mut mount, &image)?;
    check_exists(&image)?;
    if mount.helper.is_some_and(|helper| helper.fake) {
        return Ok(());
    }
    let (json, quiet) = (mount.json, mount.quiet);
    let with_table = mount.verbose || mount.helper.is_none();
    let complete = platform::mount(options, move || {
        let (tree, announcement, complete) =
            super::open(&image, &mount.open, &mount.view, json, quiet, with_table)?;
        Ok::<_, Failure>(Prepared {
            tree: Arc::new(tree),
            announcement,
            say_where: with_table && !json && !quiet,
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

fn resolve(mount: &mut args::Mount, image: &Path) -> Result<MountOptions, Failure> {
    let of_mount = take_options(mount)?;
    if mount.allow_other {
        return Err(foreign("--allow-other"));
    }
    let mountpoint = mount.mountpoint.take().unwrap_or_else(|| PathBuf::from("*"));
    let mut options = MountOptions {
        mountpoint: Mountpoint::parse(&mountpoint),
        name: image.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        foreground: mount.foreground,
        debug: mount.debug,
        check_access: mount.acls,
        uncached: false,
        threads: 0,
        // The working directory changes.
        pid_file: mount.pid_file.take().map(|path| std::path::absolute(&path).unwrap_or(path)),
    };
    for option in &of_mount {
        let (name, value) = name_and_value(option);
        match (set(&mut options, name, value), mount.helper) {
            (Err(OptionError::Unknown), Some(helper)) if helper.sloppy => {}
            (done, _) => done.map_err(|unfit| unfit.explain(option))?,
        }
    }
    Ok(options)
}

/// An option of `-o` that concerns the mount.
fn set(options: &mut MountOptions, name: &str, value: Option<&str>) -> Result<(), OptionError> {
    match name {
        _ if is_ignored(name, value) => {}
        "acls" => options.check_access = true,
        "threads" => options.threads = args::number(name, value)?,
        "direct_io" => options.uncached = true,
        // Streams are streams here.
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
