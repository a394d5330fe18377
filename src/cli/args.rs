//! The arguments. Doc comments are the help text.

mod boot;
mod capacity;
mod cp;
mod find;
mod generate;
#[cfg_attr(windows, path = "args/help/windows.rs")]
#[cfg_attr(not(windows), path = "args/help/unix.rs")]
pub(super) mod help;
mod map;
mod new_image;
mod overlay;
mod reg;

use std::path::PathBuf;

pub(crate) use boot::{Bcd, Boot, Firmware};
pub(crate) use capacity::Capacity;
use clap::{Args, Parser, Subcommand};
pub(crate) use cp::{Cp, Streams};
pub(crate) use find::Find;
pub(crate) use generate::{Completions, Man};
pub(crate) use map::{Color, Map};
pub(crate) use new_image::{Convert, Create, Format, Kind, Layout};
pub(crate) use overlay::{Diff, Discard, Reconnect, Recover};
pub(crate) use reg::{Of, Reg, RegCommand, RegComplete, RegDiff, RegExport, RegQuery};
use vhdmount::{
    container,
    fs::{self, fat::CodePage},
    image::OpenOptions,
};

use super::{exit::Failure, sandbox::Sandbox};

/// Mount VHD, VHDX and raw disk images read-only, each volume as a directory, and report what a thin disk can really hold.
#[derive(Debug, Parser)]
#[command(
    name = "vhdmount",
    version,
    args_conflicts_with_subcommands = true,
    override_usage = "vhdmount [OPTIONS] IMAGE [MOUNTPOINT]\n       vhdmount -u MOUNTPOINT\n       vhdmount COMMAND …",
    long_version = help::VERSION,
    after_help = help::AFTER_HELP
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) mount: Mount,

    /// Print more messages; twice for details
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(super) verbose: u8,

    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Log each request; stay in the foreground
    #[arg(short, long)]
    pub(super) debug: bool,

    /// Read the image with all rights of this process, which otherwise gives up what the command does not need before it reads
    /// the first byte
    #[arg(long, global = true)]
    pub(super) no_sandbox: bool,

    /// Read the image as another user (root alone may); what root alone may open, another process hands over
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "no_sandbox")]
    pub(super) user: Option<String>,

    /// Try to get out of the sandbox, print what became of it, and go on
    #[arg(long, global = true, hide = true, conflicts_with = "no_sandbox")]
    pub(super) test_sandbox: bool,

    /// Unmount MOUNTPOINT and wait until its process has ended
    #[arg(short, long, value_name = "MOUNTPOINT", conflicts_with = "image")]
    pub(super) unmount: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show container, chain, partitions, volumes, and their problems
    Info(Info),
    /// List a directory inside an image, without mounting it
    Ls(Ls),
    /// Find files inside an image by name, size, kind and time, as find(1) does, without mounting it
    Find(Find),
    /// Write a file inside an image to standard output, without mounting it
    Cat(Cat),
    /// Copy files and directories out of an image, without mounting it
    Cp(Cp),
    /// Report how large thin disks can really grow on their hosts
    Capacity(Capacity),
    /// Examine an image for damage: container, parents, partition table, volumes
    Check(Check),
    /// Show whether a disk would boot, step by step, with a BIOS and with UEFI
    Boot(Boot),
    /// List boot configuration data as bcdedit does, and what each entry means on this disk
    Bcd(Bcd),
    /// Read the registry of the Windows on a disk, as reg.exe and regedit show it
    Reg(Reg),
    /// Draw where a disk's partitions, files and blocks lie, and how far the host can follow
    Map(Map),
    /// Make a new VHDX, VHD or raw image
    Create(Create),
    /// Write the content of a disk into a new image of another format or kind
    Convert(Convert),
    /// Apply what an interrupted session left in a log or a redo file to the image
    Recover(Recover),
    /// List the files that an overlay adds, removes and changes
    Diff(Diff),
    /// Remove an overlay, with all that was written to it
    Discard(Discard),
    /// Give a differencing image another path to its parent
    Reconnect(Reconnect),
    /// Mount a small built-in disk, show it, and unmount it
    Demo(Demo),
    /// Write the manual pages below a directory
    Man(Man),
    /// Print completions for a shell: bash, zsh, fish, PowerShell and others
    Completions(Completions),
}

impl Arguments {
    /// How the process that reads the image is confined.
    pub(super) fn sandbox(&self) -> Sandbox {
        if self.test_sandbox {
            super::system::test_sandbox();
        }
        Sandbox { disabled: self.no_sandbox, user: self.user.clone() }
    }

    /// What is logged unless `RUST_LOG` says otherwise: `-v` raises it and `-q` lowers it.
    pub(super) fn log_level(&self) -> &'static str {
        match (self.quiet, self.verbose, self.debug) {
            (true, ..) => "error",
            (_, 0, false) => "warn",
            (_, 1, false) => "info",
            (_, 2, _) | (_, _, true) => "debug",
            _ => "trace",
        }
    }
}

/// `vhdmount IMAGE MOUNTPOINT`
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// VHD, VHDX, raw image or disk; recognized by content, not by name
    pub(crate) image: Option<PathBuf>,

    #[arg(help = help::MOUNTPOINT)]
    pub(crate) mountpoint: Option<PathBuf>,

    /// Further arguments, given by mistake: refused with an error of its own
    #[arg(hide = true)]
    pub(super) excess: Vec<String>,

    #[arg(short = 'o', value_name = "OPTIONS", help = help::MOUNT_OPTIONS)]
    pub(crate) options: Vec<String>,

    /// Make the raw views writable (.vhdmount/disk.raw, pN.raw); what is written goes to CHILD, a differencing disk over IMAGE that is made
    /// if there is none, and IMAGE stays as it is (Linux)
    #[arg(long, value_name = "CHILD", conflicts_with = "in_place")]
    pub(crate) overlay: Option<PathBuf>,

    /// Make the raw views writable, and write into IMAGE itself (Linux)
    #[arg(long)]
    pub(crate) in_place: bool,

    /// When what is written is published in the file: with each fsync (sync), every five seconds (5s), or at the unmount alone, all or
    /// nothing (unmount)
    #[arg(long, value_name = "WHEN")]
    pub(crate) publish: Option<Publish>,

    /// Stay in the foreground; Ctrl-C unmounts
    #[arg(short, long)]
    pub(crate) foreground: bool,

    /// Write the serving process's id to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,

    /// Let other users read the mount, too (Linux; on Windows all users may)
    #[arg(long)]
    pub(crate) allow_other: bool,

    /// Check the rights that the volume's own security descriptors grant, instead of letting all users read everything
    #[cfg(windows)]
    #[arg(long)]
    pub(crate) acls: bool,

    /// Print the table of volumes as JSON (the same as info --json)
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) open: Open,

    #[command(flatten)]
    pub(crate) view: View,
}

/// When what is written is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Publish {
    /// With each fsync, and every five seconds
    Sync,
    /// Every five seconds; fsync does not wait
    #[value(name = "5s")]
    Timed,
    /// At the unmount: all or nothing
    Unmount,
}

/// How an image is opened: the same for every command.
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// The parent of a differencing disk, where it is not found by itself; repeat the option for a chain
    #[arg(long, value_name = "FILE")]
    parent: Vec<PathBuf>,

    /// Search DIR for parents, by identity
    #[arg(long, value_name = "DIR")]
    parent_dir: Vec<PathBuf>,

    /// Use the file of --parent even if the child was not made from it; without one, read on without a parent
    #[arg(long)]
    force_parent: bool,

    /// Look for parents only in the folder of IMAGE and those of --parent and --parent-dir: for services that open other
    /// people's images
    #[arg(long)]
    confine: bool,

    /// Do not replay the log of a dirty VHDX: look at the file as it is
    #[arg(long)]
    no_replay: bool,

    /// OEM code page of FAT's short names (437, 850, 852, 866, …)
    #[arg(long, value_name = "NUMBER", value_parser = codepage)]
    codepage: Option<u16>,
}

/// Which part of an image is shown: the same for a mount, `ls`, `cat` and `cp`.
#[derive(Debug, Default, Args)]
pub(crate) struct View {
    /// Show only partition N, as the root
    #[arg(short = 'p', long, value_name = "N")]
    pub(crate) partition: Option<u32>,

    /// List NTFS metadata files ($MFT, $Bitmap, …)
    #[arg(long)]
    show_sys_files: bool,

    /// Show NTFS files that are encrypted by EFS in ntfs-3g's raw form, instead of refusing them
    #[arg(long)]
    efs_raw: bool,

    #[arg(skip)]
    list_deleted: bool,
    #[arg(skip)]
    hide_hidden: bool,
    #[arg(skip)]
    utc_offset_minutes: i16,
}

impl View {
    /// Shows metadata files as well, for an examination.
    pub(super) fn of_everything() -> Self {
        Self { show_sys_files: true, ..Self::default() }
    }
}

impl Open {
    /// The option that looks at an image in a way in which it cannot be written.
    pub(crate) fn of_readers_alone(&self) -> Option<&'static str> {
        match (self.no_replay, self.force_parent) {
            (true, _) => Some("--no-replay"),
            (_, true) => Some("--force-parent"),
            _ => None,
        }
    }

    /// The library's options.
    pub(crate) fn options(&self, view: &View) -> OpenOptions {
        let mut fs = fs::Options::default();
        fs.show_system = view.show_sys_files;
        fs.list_deleted = view.list_deleted;
        fs.hide_hidden = view.hide_hidden;
        fs.efs_raw = view.efs_raw;
        fs.codepage = self.codepage;
        fs.utc_offset_minutes = view.utc_offset_minutes;
        OpenOptions {
            container: container::OpenOptions {
                parents: self.parent.clone(),
                parent_dirs: self.parent_dir.clone(),
                force_parent: self.force_parent,
                confine: self.confine,
                replay: !self.no_replay,
                find_children: false,
                host: super::system::host(),
            },
            fs,
        }
    }
}

impl Mount {
    /// Takes an option of `-o` that says how to open the image and what to show. `None`: not one of those.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Option<Result<(), Failure>> {
        if matches!(name, "overlay" | "in_place" | "publish") {
            return Some(self.set_writing(name, value));
        }
        let (open, view) = (&mut self.open, &mut self.view);
        let path = || match value {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => Err(Failure::usage(format_args!("-o {name} needs a path, as in -o {name}=/srv/vm"))),
        };
        let done = match name {
            "parent" => path().map(|path| open.parent.push(path)),
            "parent_dir" => path().map(|path| open.parent_dir.push(path)),
            "partition" => number(name, value).map(|number| view.partition = Some(number)),
            "codepage" => codepage(value.unwrap_or_default())
                .map(|number| open.codepage = Some(number))
                .map_err(|problem| Failure::usage(format_args!("-o codepage: {problem}"))),
            "utc_offset" => number(name, value).map(|minutes| view.utc_offset_minutes = minutes),
            "force_parent" => set(&mut open.force_parent),
            "confine" => set(&mut open.confine),
            "no_replay" | "norecover" => set(&mut open.no_replay),
            "show_sys_files" | "showmeta" => set(&mut view.show_sys_files),
            "efs_raw" => set(&mut view.efs_raw),
            "deleted" => set(&mut view.list_deleted),
            "hide_hid_files" => set(&mut view.hide_hidden),
            _ => return None,
        };
        Some(done)
    }
}

impl Mount {
    fn set_writing(&mut self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let value = value.filter(|value| !value.is_empty());
        match (name, value) {
            ("in_place", None) => self.in_place = true,
            ("overlay", Some(child)) => self.overlay = Some(child.into()),
            ("publish", Some(when)) => {
                let when = <Publish as clap::ValueEnum>::from_str(when, false);
                self.publish =
                    Some(when.map_err(|_| Failure::usage("-o publish takes sync, 5s or unmount"))?);
            }
            ("in_place", _) => return Err(Failure::usage("-o in_place takes no value")),
            _ => return Err(Failure::usage(format_args!("-o {name} needs a value"))),
        }
        match self.in_place && self.overlay.is_some() {
            true => Err(Failure::usage("-o overlay and in_place: what is written goes to one of the two")),
            false => Ok(()),
        }
    }
}

/// A code page that FAT's reader knows.
fn codepage(text: &str) -> Result<u16, String> {
    let known = |number: &u16| CodePage::from_number(*number).is_some();
    text.parse().ok().filter(known).ok_or_else(|| {
        let all: Vec<_> = (0..=u16::MAX).filter(known).map(|number| number.to_string()).collect();
        format!("\"{text}\" is not known; there are {}", all.join(", "))
    })
}

fn set(flag: &mut bool) -> Result<(), Failure> {
    *flag = true;
    Ok(())
}

/// The value of `-o NAME=NUMBER`.
pub(crate) fn number<T: std::str::FromStr>(name: &str, value: Option<&str>) -> Result<T, Failure> {
    let parsed = value.and_then(|value| value.parse().ok());
    parsed.ok_or_else(|| Failure::usage(format!("-o {name} needs a number, as in -o {name}=1")))
}

/// `vhdmount info`
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// VHD, VHDX, raw image or disk; a folder with --recursive
    pub(crate) image: PathBuf,
    /// Draw which image below the folder IMAGE is a child of which other one
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) open: Open,
}

/// `vhdmount ls`
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Ls {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,
    /// As in a mount: p3/Windows, esp/EFI, …; or a pattern, 'p3/Users/*'
    #[arg(default_value = "/")]
    pub(crate) path: Vec<String>,
    /// Print kind, size, time (UTC) and link target as well
    #[arg(short)]
    pub(crate) long: bool,
    /// With -l: print sizes in units, as in 4.0 KiB
    #[arg(short = 'h', long)]
    pub(crate) human_readable: bool,
    /// List subdirectories as well
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// List the deleted files of volumes (NTFS, FAT), by number: what is left of each, size, time (UTC), number, path; with -l
    /// all times. `cat IMAGE pN/.deleted/NUMBER` reads one
    #[arg(long, group = "lost", conflicts_with = "recursive")]
    pub(crate) deleted: bool,
    /// List files and directories in use to which no directory leads (NTFS, FAT): size, time (UTC), number, and
    /// the path that they should have; with -R also what lies below them. `cp -r IMAGE pN/.orphans DEST` copies all of them
    #[arg(long, group = "lost")]
    pub(crate) orphans: bool,
    /// With --deleted or --orphans: print JSON
    #[arg(long, requires = "lost")]
    pub(crate) json: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    pub(crate) open: Open,
    #[command(flatten)]
    pub(crate) view: View,
}

/// `vhdmount cat`
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,
    /// As in a mount: p3/Windows/win.ini; FILE:STREAM for a named stream; or a pattern, 'p3/Windows/*.ini'
    #[arg(required = true)]
    pub(crate) path: Vec<String>,
    #[command(flatten)]
    pub(crate) open: Open,
    #[command(flatten)]
    pub(crate) view: View,
}

/// `vhdmount check`
#[derive(Debug, Args)]
#[command(after_help = "\
Errors: something is lost, unreachable or ambiguous. Warnings: nothing is lost; a copy is used, or only bookkeeping \
disagrees. Notes: worth knowing. The image is never changed.

Exit codes: 0 nothing but notes, 5 warnings, 6 errors; what could not be examined at all ends as with every command: \
1 usage, 2 the image (no such file, no right to read it, another format), 4 standard output.")]
pub(crate) struct Check {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,
    /// Print JSON, and no progress
    #[arg(long)]
    pub(crate) json: bool,
    /// Of the volumes, examine only that of partition N; the container and the partition table are always examined
    #[arg(short = 'p', long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Of a differencing disk, examine its own file only; its partition table and volumes need the parents
    #[arg(long, conflicts_with = "partition")]
    pub(crate) no_parents: bool,
    #[command(flatten)]
    pub(crate) open: Open,
}

/// `vhdmount demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Do not mount, even where FUSE is there (on Windows it never does)
    #[arg(long)]
    pub(crate) no_mount: bool,
}
