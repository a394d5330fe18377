//! `vhdmount IMAGE [MOUNTPOINT]`: resolves the options of a mount once for the platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use vhdmount::{
    Error,
    container::LogState,
    fs::{Timestamp, probe::Probe},
    image::{DiskInfo, Image, VolumeState},
    json,
    printable::printable,
    tree::Tree,
};

#[cfg(target_os = "linux")]
use self::linux as system;
#[cfg(windows)]
use self::windows as system;
use super::{
    Failure, args, config::Source, date::date, helper::MountHelper, info::text::volume_table,
    sandbox::Sandbox,
};
use crate::platform;

pub(super) fn unmount(mountpoint: &Path) -> Result<(), Failure> {
    Ok(platform::unmount(mountpoint, true)?)
}

/// How the command was called, apart from the arguments of a mount.
pub(super) struct Call {
    pub(super) debug: bool,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    /// Set when mount(8) calls.
    pub(super) helper: Option<MountHelper>,
    pub(super) sandbox: Sandbox,
}

/// A fully resolved mount.
pub(super) struct Config {
    source: Source,
    announcement: Announcement,
    /// Do everything but mount: `mount -f`.
    fake: bool,
    /// How the process that reads the image is confined.
    sandbox: Sandbox,
    platform: system::Options,
    /// What is written; `None`: nothing.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "refused there"))]
    writing: Option<Writing>,
}

/// How a mount is written.
#[derive(Debug, Clone)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "refused there"))]
struct Writing {
    /// `None`: the image itself.
    overlay: Option<PathBuf>,
    publish: args::Publish,
}

/// The text printed when the image is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announcement {
    Nothing,
    /// Problems only: mount(8) prints the rest.
    Problems,
    /// The table of volumes, and how to unmount, as well.
    Table,
    Json,
}

impl Config {
    /// Resolves the arguments of a mount.
    ///
    /// # Errors
    /// When the arguments are invalid, or belong to another system.
    pub(super) fn resolve(mut mount: args::Mount, call: Call) -> Result<Self, Failure> {
        let Some(image) = mount.image.take() else {
            return Err(Failure::usage(
                "an IMAGE is needed; vhdmount --help lists what can be done, vhdmount demo shows it",
            ));
        };
        if !mount.excess.is_empty() {
            return Err(Failure::usage(format_args!(
                "one IMAGE and one MOUNTPOINT are enough: what is \"{}\"? (-p N shows one partition alone)",
                mount.excess.join(" ")
            )));
        }
        let mut sandbox = call.sandbox.clone();
        let mut of_mount = take_options(&mut mount)?;
        of_mount.retain(|option| !sandbox.take(option));
        let announcement = match (mount.json, call.quiet) {
            (true, _) => Announcement::Json,
            (_, true) => Announcement::Nothing,
            _ if call.verbose || call.helper.is_none() => Announcement::Table,
            _ => Announcement::Problems,
        };
        Ok(Self {
            announcement,
            sandbox,
            fake: call.helper.is_some_and(|helper| helper.fake),
            writing: writing(&mount, &of_mount)?,
            source: Source::new(image.clone(), &mount.open, &mount.view),
            platform: system::resolve(mount, &image, &of_mount, &call)?,
        })
    }
}

/// What the options say of writing.
fn writing(mount: &args::Mount, of_mount: &[String]) -> Result<Option<Writing>, Failure> {
    let publish = mount.publish.unwrap_or(args::Publish::Sync);
    if !mount.in_place && mount.overlay.is_none() {
        return match mount.publish {
            Some(_) => {
                Err(Failure::usage("--publish: nothing is written without --overlay CHILD or --in-place"))
            }
            None => Ok(None),
        };
    }
    if cfg!(not(target_os = "linux")) {
        let option = if mount.in_place { "--in-place" } else { "--overlay" };
        return Err(Failure::usage(format_args!(
            "{option}: mounts of this system (WinFsp) are read-only so far"
        )));
    }
    if let Some(option) = mount.open.of_readers_alone() {
        return Err(Failure::usage(format_args!(
            "{option}: an image that is opened in that way is not written"
        )));
    }
    if of_mount.iter().any(|option| option == "ro") {
        return Err(Failure::usage("-o ro: the mount is to be written; leave out one of the two"));
    }
    // A mount changes its working directory.
    let overlay =
        mount.overlay.as_ref().map(|child| std::path::absolute(child).unwrap_or_else(|_| child.clone()));
    Ok(Some(Writing { overlay, publish }))
}

/// Mounts the image.
pub(super) fn run(mount: Config) -> Result<(), Failure> {
    check_exists(&mount.source.image)?;
    system::run(mount)
}

/// Opens the image, in the process that serves it: returns the tree, the text to print when it is mounted, and whether
/// any volume can be read.
fn open(source: &Source, announcement: Announcement) -> Result<(Tree, String, bool), Failure> {
    let opened = source.open()?;
    let tree = source.tree(&opened)?;
    let (text, readable) = describe(source, announcement, &opened);
    Ok((tree, text, readable))
}

/// The text to print when the image is mounted, and whether any volume can be read.
fn describe(source: &Source, announcement: Announcement, opened: &Image) -> (String, bool) {
    let mut info = if announcement == Announcement::Json { opened.info() } else { opened.quick_info() };
    info.partitions.retain(|found| {
        announcement == Announcement::Json || source.partition.is_none_or(|n| n == found.partition.number)
    });
    let announcement = match announcement {
        Announcement::Json => json::to_text(&info),
        Announcement::Nothing => String::new(),
        Announcement::Table => volume_table(&info) + &chain(opened) + &problems(&info),
        Announcement::Problems => unreadable(&info) + &problems(&info),
    };
    let readable = opened.partitions().any(|(_, content)| matches!(content, Probe::Readable(_)));
    (announcement, readable)
}

/// The chain of a differencing disk, each image with the time when it was last written: that of a checkpoint is easily mistaken
/// for another's.
fn chain(opened: &Image) -> String {
    let container = opened.container();
    let images = container.infos().zip(container.files()).map(|(layer, file)| {
        let name =
            Path::new(&layer.path).file_name().map_or(layer.path.as_str().into(), OsStr::to_string_lossy);
        let metadata = file.as_ref().and_then(|file| file.file().metadata().ok());
        let modified = metadata.and_then(|metadata| metadata.modified().ok());
        let modified = modified.map_or_else(|| "?".into(), |time| date(Timestamp::from(time)));
        printable(&format!("{name} ({modified})")).into_owned()
    });
    let images: Vec<_> = images.collect();
    if images.len() > 1 {
        format!("Chain, written (UTC): {}\n", images.join(" \u{2192} "))
    } else {
        String::new()
    }
}

/// Why volumes are not shown, for a mount that prints no table.
fn unreadable(info: &DiskInfo) -> String {
    let notable = info.partitions.iter().filter(|found| match &found.volume {
        VolumeState::Damaged { .. } | VolumeState::Unsupported { .. } => true,
        VolumeState::Readable(_)
        | VolumeState::NoFilesystem { .. }
        | VolumeState::Unformatted
        | VolumeState::Unknown => false,
    });
    let line = |name: &str, text: &str| format!("{name}: {}\n", printable(text));
    notable.map(|found| line(&found.volume_name, &found.volume.to_string())).collect()
}

/// All problems, and the handling of a dirty log: a mount must not hide what `info` reports.
fn problems(info: &DiskInfo) -> String {
    let mut out = String::new();
    for problem in &info.problems {
        out += &format!("PROBLEM: {}\n", printable(problem));
    }
    for layer in &info.layers {
        if let Some(log @ (LogState::NotReplayed | LogState::Replayed { .. })) = layer.log {
            out += &format!("{}: log {log}\n", printable(&layer.path));
        }
        for problem in &layer.problems {
            out += &format!("{}: PROBLEM: {}\n", printable(&layer.path), printable(problem));
        }
    }
    for partition in &info.partitions {
        for problem in partition.problems() {
            out += &format!("{}: PROBLEM: {}\n", partition.volume_name, printable(problem));
        }
    }
    if !info.partitions.iter().any(|partition| partition.volume.is_readable()) {
        out += "No volume is readable; .capacity and the raw views in .vhdmount/ are available.\n";
    }
    out
}

/// Removes the `-o` options for opening the image and for what to show; returns the others, for the system's mount.
fn take_options(mount: &mut args::Mount) -> Result<Vec<String>, Failure> {
    let mut of_mount = Vec::new();
    for option in std::mem::take(&mut mount.options).iter().flat_map(|list| split(list)) {
        let (name, value) = name_and_value(&option);
        match mount.set(name, value) {
            Some(done) => done?,
            None if option.is_empty() => {}
            None => of_mount.push(option),
        }
    }
    Ok(of_mount)
}

/// Splits a list of options. A comma between double quotes, or after a backslash, which is removed, belongs to a value:
/// `context="system_u:object_r:x:s0:c1,c2"`, `parent=a\,b.vhd`.
fn split(list: &str) -> Vec<String> {
    let (mut options, mut quoted) = (vec![String::new()], false);
    let mut characters = list.chars().peekable();
    while let Some(c) = characters.next() {
        let last = options.last_mut().expect("begins with one");
        match c {
            ',' if !quoted => options.push(String::new()),
            '\\' if characters.peek() == Some(&',') => last.extend(characters.next()),
            c => {
                quoted ^= c == '"';
                last.push(c);
            }
        }
    }
    options
}

fn name_and_value(option: &str) -> (&str, Option<&str>) {
    option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))
}

/// True for options that mount(8) and fstab add, that request what every mount does anyway, or that have no effect on a
/// read-only image. Ignoring them lets scripts of one system work on the other.
fn is_ignored(name: &str, value: Option<&str>) -> bool {
    match name {
        "ro" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "users" | "owner" | "group"
        | "nofail" | "_netdev" | "ignore_case" | "windows_names" | "nodev" | "nosuid" | "loop"
        | "subtype" | "fsname" => true,
        // Devices and set-user-id bits of an image are never honoured, even if mount.fuse3 asks for them.
        "dev" | "suid" => true,
        // Access times are never updated, names are always UTF-8, a mountpoint need not be empty, reads are large.
        "relatime" | "norelatime" | "strictatime" | "nostrictatime" | "lazytime" | "nolazytime"
        | "diratime" | "nodiratime" | "iversion" | "noiversion" | "mand" | "nomand" | "symfollow"
        | "utf8" | "nonempty" | "big_writes" | "silent" | "loud" => true,
        "nls" | "iocharset" => matches!(value, Some("utf8" | "utf-8" | "UTF-8")),
        _ => name.starts_with("x-") || name.starts_with("X-") || name.starts_with("comment"),
    }
}

/// Checked before all other errors: a mistyped subcommand is parsed as an image.
fn check_exists(image: &Path) -> Result<(), Failure> {
    let missing = std::fs::metadata(image).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let hint = match image.components().count() == 1 && image.extension().is_none() {
        true => ", and no command (vhdmount --help lists them)",
        false => "",
    };
    match missing {
        true => {
            Err(Failure::image(image, &Error::not_found(format!("{}: no such file{hint}", image.display()))))
        }
        false => Ok(()),
    }
}

/// Why an `-o` option is refused.
enum OptionError {
    /// It needs another value, or is not available.
    Refused(Failure),
    Writable,
    Unknown,
}

impl From<Failure> for OptionError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl OptionError {
    fn explain(self, option: &str) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Writable => Failure::usage(
                "-o rw: say where writes go: --overlay CHILD (a differencing disk over the image, which stays as it is) or \
                 --in-place (the image itself); or say ro (mount -o ro: mount(8) adds rw by itself)",
            ),
            Self::Unknown => {
                Failure::usage(format_args!("-o {option} is not known; vhdmount --help lists the options"))
            }
        }
    }
}
