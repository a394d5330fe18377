//! `vhdmount IMAGE [MOUNTPOINT]`: options resolved once into what the platform mounts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::{
    Error,
    fs::probe::UNFORMATTED,
    image::{DiskInfo, Image, NO_FILESYSTEM, VolumeState},
};

use super::{Failure, args};
use crate::platform::{self, MountOptions, Prepared, Streams};

pub(super) fn run(mount: args::Mount) -> Result<(), Failure> {
    let (helper, json, quiet) = (mount.helper, mount.json, mount.quiet);
    let with_table = mount.verbose || helper.is_none();
    let Resolved { options, image, open, view } = resolve(mount)?;
    if helper.is_some_and(|helper| helper.fake) {
        return Ok(());
    }
    let how_to_end = how_to_end(&options);
    let made = options.remove_mountpoint.then(|| options.mountpoint.clone());
    let mounted = platform::mount(options, move || {
        let fail = |error| Failure::image(&image, &error);
        let opened = Image::open(&image, &open.options(&view)).map_err(fail)?;
        let tree = opened.tree(view.partition).map_err(fail)?;
        let mut info = if json { opened.info() } else { opened.quick_info() };
        let announcement = match (json, quiet) {
            (true, _) => info.to_json(),
            (false, true) => String::new(),
            (false, false) => {
                info.partitions.retain(|found| view.partition.is_none_or(|n| n == found.partition.number));
                let (table, problems) = (info.volume_table(), problems(&info));
                if with_table { table + &problems + &how_to_end } else { unreadable(&info) + &problems }
            }
        };
        Ok::<_, Failure>(Prepared { fs: Arc::new(tree), announcement })
    });
    if let (Err(_), Some(made)) = (&mounted, made) {
        // It was made for this mount; a background process that failed may have removed it already.
        let _ = std::fs::remove_dir(made);
    }
    mounted
}

pub(super) fn unmount(mountpoint: &Path) -> Result<(), Failure> {
    Ok(platform::unmount(mountpoint, true)?)
}

/// Where it is mounted, and how that ends.
fn how_to_end(options: &MountOptions) -> String {
    let at = std::path::absolute(&options.mountpoint).unwrap_or_else(|_| options.mountpoint.clone());
    let at = for_shell(&at.to_string_lossy());
    match options.foreground {
        true => format!("Mounted at {at}; Ctrl-C unmounts\n"),
        false => format!("Mounted at {at}; unmount with: vhdmount -u {at}\n"),
    }
}

/// A path as a shell takes it back.
fn for_shell(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@,:=%".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Why volumes are not shown, where no table says it.
fn unreadable(info: &DiskInfo) -> String {
    let told = info.partitions.iter().filter(|found| match &found.volume {
        VolumeState::Damaged { .. } => true,
        VolumeState::Unsupported { name, .. } => !matches!(*name, NO_FILESYSTEM | UNFORMATTED),
        VolumeState::Readable(_) | VolumeState::Unknown => false,
    });
    told.map(|found| format!("p{}: {}\n", found.partition.number, found.volume.describe())).collect()
}

/// Every problem, and what was done about a dirty log: a mount must not hide what `info` would tell.
fn problems(info: &DiskInfo) -> String {
    let mut out = String::new();
    for problem in &info.problems {
        out += &format!("PROBLEM: {problem}\n");
    }
    for layer in &info.layers {
        if !matches!(layer.log.as_str(), "" | "clean") {
            out += &format!("{}: log {}\n", layer.path, layer.log);
        }
        for problem in &layer.problems {
            out += &format!("{}: PROBLEM: {problem}\n", layer.path);
        }
    }
    for partition in &info.partitions {
        let of_volume: &[String] = match &partition.volume {
            VolumeState::Readable(volume) => &volume.info.problems,
            _ => &[],
        };
        let of_partition = partition.partition.problems.iter().map(|problem| &problem.text);
        for problem in of_partition.chain(of_volume) {
            out += &format!("p{}: PROBLEM: {problem}\n", partition.partition.number);
        }
    }
    if !info.partitions.iter().any(|partition| partition.volume.is_readable()) {
        out += "No volume is readable; .capacity and the raw views in .vhdmount/ are there.\n";
    }
    out
}

/// What the arguments mean.
struct Resolved {
    options: MountOptions,
    image: PathBuf,
    open: args::Open,
    view: args::View,
}

fn resolve(mut mount: args::Mount) -> Result<Resolved, Failure> {
    let image = mount.image.take().ok_or_else(|| Failure::usage("an IMAGE is needed"))?;
    let given = std::mem::take(&mut mount.options);
    let mut of_mount = Vec::new();
    for option in given.iter().filter(|option| !option.is_empty()) {
        let (name, value) =
            option.split_once('=').map_or((&option[..], None), |(name, value)| (name, Some(value)));
        match mount.set(name, value) {
            Some(done) => done?,
            None => of_mount.push((option, name, value)),
        }
    }
    let (uid, gid) = platform::default_owner();
    let source = std::path::absolute(&image).unwrap_or_else(|_| image.clone());
    let mut options = MountOptions {
        foreground: mount.foreground || mount.debug,
        allow_other: mount.allow_other,
        pid_file: mount.pid_file,
        debug: mount.debug,
        ..MountOptions::new(PathBuf::new(), source.to_string_lossy().into_owned(), uid, gid)
    };
    for (option, name, value) in of_mount {
        match (set(&mut options, option, name, value), mount.helper) {
            (Err(Unfit::Writable), Some(_)) => {
                log::warn!(
                    "{}: rw is ignored, images are only ever mounted read-only; say ro",
                    image.display()
                );
            }
            (Err(Unfit::Unknown), Some(helper)) if helper.sloppy => {}
            (done, _) => done.map_err(|unfit| unfit.explain(option))?,
        }
    }
    check_exists(&image)?;
    (options.mountpoint, options.remove_mountpoint) = match mount.mountpoint {
        Some(mountpoint) => (mountpoint, false),
        None => make_mountpoint(&image)?,
    };
    Ok(Resolved { options, image, open: mount.open, view: mount.view })
}

/// Asked before anything else is found wrong: a mistyped command is taken for an image.
fn check_exists(image: &Path) -> Result<(), Failure> {
    let missing = std::fs::metadata(image).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let hint = match image.components().count() == 1 && image.extension().is_none() {
        true => ", and no command (info, ls, cat, capacity, demo)",
        false => "",
    };
    match missing {
        true => {
            Err(Failure::image(image, &Error::not_found(format!("{}: no such file{hint}", image.display()))))
        }
        false => Ok(()),
    }
}

/// Why an option of `-o` is refused.
enum Unfit {
    /// It needs another value, or is not to be had.
    Refused(Failure),
    Writable,
    Unknown,
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl Unfit {
    fn explain(self, option: &str) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Writable => Failure::usage(
                "-o rw: vhdmount never writes to an image; leave it out, or say ro (mount -o ro: mount(8) adds rw \
                 by itself)",
            ),
            Self::Unknown => {
                Failure::usage(format_args!("-o {option} is not known; vhdmount --help lists the options"))
            }
        }
    }
}

/// An option of `-o` that concerns the mount.
fn set(options: &mut MountOptions, option: &str, name: &str, value: Option<&str>) -> Result<(), Unfit> {
    match name {
        "uid" => options.uid = args::number(name, value)?,
        "gid" => options.gid = args::number(name, value)?,
        "umask" => (options.fmask, options.dmask) = (octal(name, value)?, octal(name, value)?),
        "fmask" => options.fmask = octal(name, value)?,
        "dmask" => options.dmask = octal(name, value)?,
        "threads" => options.threads = args::number(name, value)?,
        "allow_other" => options.allow_other = true,
        "allow_root" => options.allow_root = true,
        "direct_io" => options.direct_io = true,
        // The second is what WSL itself calls it.
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
        "rw" => return Err(Unfit::Writable),
        // What mount(8) and fstab add, and what is always so here.
        "ro" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "users" | "owner" | "group"
        | "nofail" | "_netdev" | "ignore_case" | "windows_names" | "nodev" | "nosuid" | "loop"
        | "subtype" | "fsname" => {}
        // Devices and set-user-id bits of an image are never honoured, whatever mount.fuse3 asks for.
        "dev" | "suid" => {}
        // Access times are never updated, names are always UTF-8, a mountpoint need not be empty, reads are large.
        "relatime" | "norelatime" | "strictatime" | "nostrictatime" | "lazytime" | "nolazytime"
        | "diratime" | "nodiratime" | "utf8" | "nonempty" | "big_writes" | "silent" | "loud" => {}
        "nls" | "iocharset" if matches!(value, Some("utf8" | "utf-8" | "UTF-8")) => {}
        _ if name.starts_with("x-") || name.starts_with("comment") => {}
        "noexec"
        | "exec"
        | "noatime"
        | "atime"
        | "default_permissions"
        | "auto_unmount"
        | "sync"
        | "async"
        | "dirsync" => {
            options.raw_fuse_options.push(option.to_owned());
        }
        _ => return Err(Unfit::Unknown),
    }
    Ok(())
}

fn octal(name: &str, value: Option<&str>) -> Result<u16, Failure> {
    let mask = value.and_then(|value| u16::from_str_radix(value, 8).ok()).filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| Failure::usage(format!("-o {name} needs an octal mask, as in -o {name}=022")))
}

/// `disk.vhdx` → `./disk`, and whether it was made: an empty directory of that name may be there.
fn make_mountpoint(image: &Path) -> Result<(PathBuf, bool), Failure> {
    let stem = image
        .file_stem()
        .ok_or_else(|| Failure::usage("name a MOUNTPOINT: the image has no name to take"))?;
    let mut mountpoint = PathBuf::from(stem);
    if Path::new(stem) == image {
        // An image without an extension in this very folder: its own name is taken.
        mountpoint.as_mut_os_string().push(".mnt");
    }
    match std::fs::create_dir(&mountpoint) {
        Ok(()) => Ok((mountpoint, true)),
        // The platform says what is wrong with a mountpoint that is in use.
        Err(_) if is_free(&mountpoint) => Ok((mountpoint, false)),
        Err(error) => Err(Failure::mountpoint(format!(
            "{}: {error}; name the MOUNTPOINT yourself: vhdmount IMAGE MOUNTPOINT",
            mountpoint.display()
        ))),
    }
}

/// An empty directory, or one of our mounts, dead or alive.
fn is_free(mountpoint: &Path) -> bool {
    platform::is_mounted(mountpoint)
        || std::fs::read_dir(mountpoint).is_ok_and(|mut entries| entries.next().is_none())
}

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
