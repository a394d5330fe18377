//! The resolved configuration of a command: arguments, `-o` options and defaults become values of the library and of the
//! platform here, and no later code reads the arguments.

use std::{
    io::IsTerminal,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use vhdmount::{
    container::{Format, Kind, session::SessionFiles},
    image::{Image, OpenOptions, boot::Firmware, check::CheckOptions},
    map::Style,
    tree::Tree,
};

use super::{
    Failure,
    args::{self, Arguments, Color, Command, Completions, Demo, Man, Open, View},
    capacity::Threshold,
    cp,
    helper::MountHelper,
    mount, reg, sandbox, screen, search,
};

/// Most workers of a copy: more of them wait for each other longer than they gain.
const MAX_WORKERS: usize = 16;

/// The action of the command.
pub(crate) enum Action {
    Mount(mount::Config),
    Unmount(PathBuf),
    Info(Info),
    Ls(Ls),
    Find(search::Config),
    Cat(Cat),
    Cp(Cp),
    Capacity(Capacity),
    Check(Check),
    Boot(Boot),
    Bcd(Bcd),
    Reg(reg::Config),
    Map(Map),
    Create(Create),
    Convert(Convert),
    Recover(Recover),
    Diff(Diff),
    Discard(Discard),
    Reconnect(Reconnect),
    Demo(Demo),
    Man(Man),
    Completions(Completions),
}

/// An image, how to open it, and which part of it to show.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) image: PathBuf,
    pub(crate) options: OpenOptions,
    /// Only this partition, as the root.
    pub(crate) partition: Option<u32>,
}

/// `vhdmount info`
pub(crate) struct Info {
    pub(crate) source: Source,
    /// The image is a folder, whose chains are drawn.
    pub(crate) recursive: bool,
    pub(crate) json: bool,
}

/// `vhdmount ls`
pub(crate) struct Ls {
    pub(crate) source: Source,
    pub(crate) paths: Vec<String>,
    pub(crate) long: bool,
    pub(crate) human_readable: bool,
    pub(crate) recursive: bool,
    /// List files that are in no directory, instead of directories.
    pub(crate) lost: Option<Unlisted>,
    pub(crate) json: bool,
}

/// Kinds of files that are in no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlisted {
    Deleted,
    Orphans,
}

impl Unlisted {
    /// The option that selects them.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Deleted => "--deleted",
            Self::Orphans => "--orphans",
        }
    }
}

/// `vhdmount cat`
pub(crate) struct Cat {
    pub(crate) source: Source,
    pub(crate) paths: Vec<String>,
}

/// `vhdmount cp`
pub(crate) struct Cp {
    pub(crate) source: Source,
    pub(crate) paths: Vec<String>,
    pub(crate) dest: PathBuf,
    pub(crate) options: cp::Options,
    pub(crate) workers: usize,
    /// Print no progress and no summary.
    pub(crate) quiet: bool,
}

/// `vhdmount capacity`
pub(crate) struct Capacity {
    pub(crate) options: OpenOptions,
    pub(crate) subject: Subject,
    pub(crate) form: Form,
    /// Report again after this many seconds.
    pub(crate) watch: Option<u32>,
}

/// The disk or images whose capacity is reported.
pub(crate) enum Subject {
    /// The disk of the running system.
    Running,
    /// Only this image.
    Image(PathBuf),
    /// Images, and those below folders, with the host volumes that they share.
    Fleet { images: Vec<PathBuf>, folders: Vec<PathBuf>, monitor: Option<Thresholds> },
}

/// Thresholds, of which at least one is given: the exit code is that of a monitoring plugin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thresholds {
    pub(crate) warn: Option<Threshold>,
    pub(crate) crit: Option<Threshold>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As text: TOML for one image, a table for many.
    Text,
    Json,
    Prometheus,
}

/// `vhdmount check`
pub(crate) struct Check {
    pub(crate) image: PathBuf,
    pub(crate) options: CheckOptions,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// `vhdmount boot`
pub(crate) struct Boot {
    pub(crate) source: Source,
    /// With this kind alone.
    pub(crate) firmware: Option<Firmware>,
    pub(crate) json: bool,
    /// Print verdicts alone.
    pub(crate) quiet: bool,
}

/// `vhdmount bcd`
pub(crate) struct Bcd {
    pub(crate) source: Source,
    /// Identifiers in full.
    pub(crate) full: bool,
    pub(crate) json: bool,
}

/// `vhdmount map`
pub(crate) struct Map {
    pub(crate) source: Source,
    pub(crate) drawing: Drawing,
}

/// The output of a map.
pub(crate) enum Drawing {
    /// Standard output.
    Text(Style),
    /// Files, `-` for standard output.
    Pictures { svg: Option<PathBuf>, png: Option<PathBuf> },
}

/// `vhdmount create`
pub(crate) struct Create {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// Without a parent.
    pub(crate) size: Option<u64>,
    pub(crate) kind: Kind,
    pub(crate) block_size: Option<u64>,
    pub(crate) sector_size: Option<u32>,
    pub(crate) parent: Option<PathBuf>,
    pub(crate) table: Option<Partitions>,
    pub(crate) quiet: bool,
}

/// Partitions in front of that for data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partitions {
    pub(crate) esp: bool,
    pub(crate) msr: bool,
}

/// `vhdmount convert`
pub(crate) struct Convert {
    pub(crate) source: Source,
    pub(crate) dest: PathBuf,
    pub(crate) format: Format,
    pub(crate) kind: Kind,
    pub(crate) block_size: Option<u64>,
    /// The size is made whole MiB.
    pub(crate) azure: bool,
    pub(crate) skip_free: bool,
    pub(crate) keep_identity: bool,
    pub(crate) verify: bool,
    pub(crate) quiet: bool,
}

/// `vhdmount recover`. The file is open already, as a confined process opens none for writing.
pub(crate) struct Recover {
    pub(crate) image: PathBuf,
    pub(crate) files: SessionFiles,
}

/// `vhdmount diff`
pub(crate) struct Diff {
    pub(crate) source: Source,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// `vhdmount discard`
pub(crate) struct Discard {
    pub(crate) overlay: PathBuf,
    pub(crate) files: SessionFiles,
    pub(crate) force: bool,
    pub(crate) quiet: bool,
}

/// `vhdmount reconnect`
pub(crate) struct Reconnect {
    pub(crate) child: PathBuf,
    pub(crate) parent: PathBuf,
    pub(crate) files: SessionFiles,
    pub(crate) reset_identity: bool,
    pub(crate) quiet: bool,
}

impl Source {
    pub(crate) fn new(image: PathBuf, open: &Open, view: &View) -> Self {
        let mut options = open.options(view);
        options.container.find_children = true;
        Self { image, options, partition: view.partition }
    }

    /// # Errors
    /// When the image cannot be opened.
    pub(crate) fn open(&self) -> Result<Image, Failure> {
        let image = Image::open(&self.image, &self.options).map_err(|error| self.failure(&error))?;
        sandbox::narrow(Some(image.container()));
        Ok(image)
    }

    /// Warns of files that another program writes, where the report itself does not say so.
    pub(crate) fn warn_of_writers(&self, image: &Image) {
        image.container().writers().iter().for_each(|text| log::warn!("{text}"));
    }

    /// The tree that a mount of the open image would show.
    ///
    /// # Errors
    /// When there is no such partition.
    pub(crate) fn tree(&self, image: &Image) -> Result<Tree, Failure> {
        image.tree(self.partition).map_err(|error| self.failure(&error))
    }

    pub(crate) fn failure(&self, error: &vhdmount::Error) -> Failure {
        Failure::image(&self.image, error)
    }
}

impl Action {
    /// Resolves the arguments; `helper` is set when mount(8) calls.
    ///
    /// # Errors
    /// When the arguments are invalid.
    pub(crate) fn resolve(arguments: Arguments, helper: Option<MountHelper>) -> Result<Self, Failure> {
        let sandbox = arguments.sandbox();
        let Arguments { command, mount, verbose, quiet, debug, unmount, .. } = arguments;
        Ok(match (command, unmount) {
            (Some(command), _) => command.resolve(quiet, verbose > 0)?,
            (None, Some(mountpoint)) => Self::Unmount(mountpoint),
            (None, None) => {
                let call = mount::Call { debug, quiet, verbose: verbose > 0, helper, sandbox };
                Self::Mount(mount::Config::resolve(mount, call)?)
            }
        })
    }
}

impl Command {
    fn resolve(self, quiet: bool, verbose: bool) -> Result<Action, Failure> {
        let whole = View::default;
        Ok(match self {
            Self::Info(args::Info { image, recursive, json, open }) => {
                Action::Info(Info { source: Source::new(image, &open, &whole()), recursive, json })
            }
            Self::Ls(ls) => Action::Ls(ls.resolve()),
            Self::Find(find) => Action::Find(search::Config::resolve(find)?),
            Self::Cat(args::Cat { image, path, open, view }) => {
                Action::Cat(Cat { source: Source::new(image, &open, &view), paths: path })
            }
            Self::Cp(cp) => Action::Cp(cp.resolve(quiet)),
            Self::Capacity(capacity) => Action::Capacity(capacity.resolve()),
            Self::Check(check) => Action::Check(check.resolve(quiet)),
            Self::Boot(boot) => Action::Boot(boot.resolve(quiet)),
            Self::Bcd(args::Bcd { image, json, open }) => {
                Action::Bcd(Bcd { source: Source::new(image, &open, &whole()), full: verbose, json })
            }
            Self::Reg(reg) => Action::Reg(reg::Config::resolve(reg.command)?),
            Self::Map(map) => Action::Map(map.resolve()),
            Self::Create(create) => Action::Create(create.resolve(quiet)),
            Self::Convert(convert) => Action::Convert(convert.resolve(quiet)),
            Self::Demo(demo) => Action::Demo(demo),
            Self::Man(man) => Action::Man(man),
            Self::Completions(completions) => Action::Completions(completions),
            Self::Recover(args::Recover { image }) => {
                let files = to_write(&image, SessionFiles::to_recover)?;
                Action::Recover(Recover { image, files })
            }
            Self::Diff(args::Diff { overlay, json, open }) => {
                let source = Source::new(overlay, &open, &View::of_everything());
                Action::Diff(Diff { source, json, quiet })
            }
            Self::Discard(args::Discard { overlay, force }) => {
                let files = to_write(&overlay, SessionFiles::to_recover)?;
                Action::Discard(Discard { overlay, files, force, quiet })
            }
            Self::Reconnect(args::Reconnect { child, parent, reset_identity }) => {
                let files = to_write(&child, SessionFiles::in_place)?;
                Action::Reconnect(Reconnect { child, parent, files, reset_identity, quiet })
            }
        })
    }
}

/// Opens a file that is written, before this process confines itself.
fn to_write(
    image: &Path,
    open: impl FnOnce(&Path) -> vhdmount::Result<SessionFiles>,
) -> Result<SessionFiles, Failure> {
    open(image).map_err(|error| Failure::image(image, &error))
}

impl args::Ls {
    fn resolve(self) -> Ls {
        Ls {
            source: Source::new(self.image, &self.open, &self.view),
            paths: self.path,
            long: self.long,
            human_readable: self.human_readable,
            recursive: self.recursive,
            lost: match (self.deleted, self.orphans) {
                (true, _) => Some(Unlisted::Deleted),
                (_, true) => Some(Unlisted::Orphans),
                _ => None,
            },
            json: self.json,
        }
    }
}

impl args::Cp {
    pub(super) fn resolve(self, quiet: bool) -> Cp {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Cp {
            source: Source::new(self.image, &self.open, &self.view),
            paths: self.path,
            dest: self.dest,
            options: cp::Options {
                recursive: self.recursive || self.archive,
                force: self.force,
                no_clobber: self.no_clobber,
                streams: match self.streams {
                    Some(args::Streams::None) => cp::Streams::None,
                    Some(args::Streams::Xattr) => cp::Streams::With,
                    Some(args::Streams::Files) => cp::Streams::Files,
                    None if self.archive => cp::Streams::With,
                    None => cp::Streams::None,
                },
                attributes: self.attributes || self.archive,
                max_size: self.max_size,
            },
            // Enough to keep the processors busy while others wait for the disk.
            workers: self.threads.map_or(2 * cores, usize::from).clamp(1, MAX_WORKERS),
            quiet,
        }
    }
}

impl args::Capacity {
    fn resolve(mut self) -> Capacity {
        let form = match (self.json, self.prometheus) {
            (true, _) => Form::Json,
            (_, true) => Form::Prometheus,
            _ => Form::Text,
        };
        let monitor = (self.warn.is_some() || self.crit.is_some())
            .then_some(Thresholds { warn: self.warn, crit: self.crit });
        // Machine-readable forms have the same structure for one image and for many.
        let is_single = self.image.len() == 1 && self.recursive.is_empty();
        let subject = if self.running {
            Subject::Running
        } else if is_single && form == Form::Text && monitor.is_none() {
            Subject::Image(self.image.remove(0))
        } else {
            Subject::Fleet { images: self.image, folders: self.recursive, monitor }
        };
        Capacity { options: self.open.options(&View::default()), subject, form, watch: self.watch }
    }
}

impl args::Check {
    fn resolve(self, quiet: bool) -> Check {
        Check {
            options: CheckOptions {
                open: self.open.options(&View::of_everything()),
                partition: self.partition,
                parents: !self.no_parents,
            },
            image: self.image,
            json: self.json,
            quiet,
        }
    }
}

impl args::Boot {
    fn resolve(self, quiet: bool) -> Boot {
        let firmware = self.firmware.map(|kind| match kind {
            args::Firmware::Bios => Firmware::Bios,
            args::Firmware::Uefi => Firmware::Uefi,
            args::Firmware::Native => Firmware::Native,
        });
        let source = Source::new(self.image, &self.open, &View::default());
        Boot { source, firmware, json: self.json, quiet }
    }
}

impl args::Map {
    fn resolve(self) -> Map {
        let drawing = match (self.svg, self.png) {
            (None, None) => Drawing::Text(Style {
                width: self.width.unwrap_or_else(screen::columns).into(),
                colour: self.color.is_wanted(),
            }),
            (svg, png) => Drawing::Pictures { svg, png },
        };
        Map { source: Source::new(self.image, &self.open, &View::default()), drawing }
    }
}

impl args::Create {
    fn resolve(self, quiet: bool) -> Create {
        Create {
            format: args::Format::of(self.format, &self.file),
            file: self.file,
            size: self.size,
            kind: self.layout.kind(),
            block_size: self.layout.block_size,
            sector_size: self.sector_size,
            parent: self.parent,
            table: self.gpt.then_some(Partitions { esp: self.esp, msr: self.msr }),
            quiet,
        }
    }
}

impl args::Convert {
    fn resolve(self, quiet: bool) -> Convert {
        Convert {
            source: Source::new(self.image, &self.open, &View::default()),
            format: if self.azure { Format::Vhd } else { args::Format::of(self.to, &self.dest) },
            dest: self.dest,
            kind: if self.azure { Kind::Fixed } else { self.layout.kind() },
            block_size: self.layout.block_size,
            azure: self.azure,
            skip_free: self.skip_free,
            keep_identity: self.keep_identity,
            verify: self.verify,
            quiet,
        }
    }
}

impl args::Layout {
    fn kind(&self) -> Kind {
        match self.kind {
            Some(args::Kind::Fixed) => Kind::Fixed,
            Some(args::Kind::Dynamic) | None => Kind::Dynamic,
        }
    }
}

impl Color {
    /// Applies <https://no-color.org>: any value but an empty one disables colour.
    fn is_wanted(self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                !set("NO_COLOR")
                    && std::io::stdout().is_terminal()
                    && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
            }
        }
    }
}
