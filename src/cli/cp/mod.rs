//! `vhdmount cp`: copies files and directories out of an image, without a mount. One thread walks through the image and
//! sorts its findings by disk position, workers copy them. Files that cannot be copied are listed at the end; all others
//! are copied.

mod content;
mod count;
mod folder;
mod jobs;
mod links;
mod log;
mod names;
mod nodes;
mod part;
mod places;
mod queue;
mod stop;
mod streams;
mod target;
mod walk;
mod work;

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::AtomicBool,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use vhdmount::{image::Image, size::human, tree::Tree};

pub(super) use self::streams::Streams;
use self::{
    count::Total,
    folder::Folder,
    log::{Log, plural},
    queue::{Closing, Queue},
    stop::Stop,
    target::{Existing, Target},
    walk::Walker,
};
use super::{
    Failure,
    config::Cp,
    exit::unless_closed,
    print,
    progress::{Line, bar},
    system::{self, FileId},
};

/// Interval between two progress updates.
const LOOK: Duration = Duration::from_millis(100);

/// The user's options for a copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) recursive: bool,
    pub(super) force: bool,
    pub(super) no_clobber: bool,
    pub(super) streams: Streams,
    pub(super) attributes: bool,
    /// Skip larger files.
    pub(super) max_size: Option<u64>,
}

/// State shared by the walker and all workers.
struct Context<'a> {
    tree: &'a Tree,
    target: Target,
    options: Options,
    log: Log,
    stop: Stop,
    /// The image's own files on the host, which are never replaced.
    images: Vec<FileId>,
    /// Files created in directories that existed before, where they could be mistaken for earlier files.
    made: Mutex<HashSet<FileId>>,
    /// Each is reported once: the destination has refused a hard link; too many files have several names to keep them all.
    no_links: AtomicBool,
    many_links: AtomicBool,
}

/// Why an entry was not copied.
#[derive(Debug)]
enum CopyError {
    /// It exists, and `-n` leaves it.
    Skipped,
    /// The whole copy stops.
    Stopped,
    Failed(String),
}

/// Runs the command.
pub(super) fn run(command: &Cp) -> Result<(), Failure> {
    let image = command.source.open()?;
    let tree = command.source.tree(&image)?;
    copy_out(&tree, images(&image), command)
}

/// Copies the sources that the command names; `images`: files of the host that are never replaced.
pub(super) fn copy_out(tree: &Tree, images: Vec<FileId>, command: &Cp) -> Result<(), Failure> {
    let started = Instant::now();
    let context = copy_all(tree, images, command)?;
    context.log.print(command.quiet);
    end(&context, started.elapsed(), command.quiet)
}

fn copy_all<'a>(tree: &'a Tree, images: Vec<FileId>, command: &Cp) -> Result<Context<'a>, Failure> {
    let log = Log::default();
    let Cp { paths, options, quiet, .. } = command;
    let sources = places::sources(tree, paths, options.recursive, &log);
    let destination = places::destination(&command.dest, &sources, paths.len().max(sources.len()))?;
    let target = Target::open(&destination.folder)
        .map_err(|error| Failure::destination(&destination.folder, &error))?;
    let context = Context {
        tree,
        target,
        options: *options,
        log,
        stop: Stop::on_signals().map_err(|error| Failure::destination(&destination.folder, &error))?,
        images,
        made: Mutex::default(),
        no_links: AtomicBool::new(false),
        many_links: AtomicBool::new(false),
    };
    copy(&context, &sources, &destination, command.workers, Line::new(!quiet));
    Ok(context)
}

/// Copies into memory; where the image is sound, each copy is compared with its file, at both ends. In a damaged one two files may have
/// one name.
///
/// # Panics
/// When they differ.
#[cfg(fuzzing)]
pub(super) fn compare_copies(tree: &Tree, command: &Cp, sound: bool) {
    use vhdmount::{bytes::ByteSource, fs::FileSystem, tree::Namespace};
    let Ok(context) = copy_all(tree, Vec::new(), command) else { return };
    for (path, copied) in context.target.files() {
        let shown = path.to_string_lossy();
        assert!(!shown.contains(".vhdmount-"), "{shown} is incomplete");
        if !sound {
            continue;
        }
        // Names that the destination changed, and streams as files, are not found.
        let found = super::find(tree, &shown).ok().filter(|node| !tree.is_volatile(*node));
        let Some(source) = found.and_then(|node| tree.open(node).ok()) else { continue };
        let size = source.size();
        if command.options.streams == Streams::None {
            assert_eq!(copied.size(), size, "{shown}");
        }
        for at in [0, size.saturating_sub(512)] {
            let len = usize::try_from((size - at).min(512)).expect("512");
            let (mut right, mut bytes) = ([0; 512], [0xee; 512]);
            if copied.size() == size && source.read_exact_at(at, &mut right[..len]).is_ok() {
                copied.read_exact_at(at, &mut bytes[..len]).expect("in memory");
                assert_eq!(right[..len], bytes[..len], "{shown} at {at}");
            }
        }
    }
}

/// The host files of which the image consists.
fn images(image: &Image) -> Vec<FileId> {
    let container = image.container();
    container
        .files()
        .iter()
        .flatten()
        .chain(container.pieces())
        .filter_map(|file| system::file_id(file.file()))
        .collect()
}

/// Copies everything; returns when all copies are complete and all times are set.
fn copy<'a>(
    context: &'a Context<'a>,
    sources: &[places::Source],
    destination: &places::Destination,
    workers: usize,
    mut line: Line,
) {
    let queue = Queue::new();
    let (ended, end) = channel::<()>();
    let total = Total::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let ended = ended.clone();
            let queue = &queue;
            scope.spawn(move || {
                let _closing = Closing(queue);
                work::run(context, queue);
                drop(ended);
            });
        }
        let ended = ended;
        scope.spawn({
            let queue = &queue;
            move || {
                let _closing = Closing(queue);
                let mut walker = Walker::new(context, queue);
                places::walk(context, &mut walker, sources, destination);
                drop(ended);
            }
        });
        if line.is_shown() {
            scope.spawn(|| total.count(context, sources));
        }
        show(context, &total, &end, &mut line);
        total.stop();
    });
    line.clear();
}

/// Displays the progress until all workers have ended.
fn show(context: &Context<'_>, total: &Total, end: &Receiver<()>, line: &mut Line) {
    let started = Instant::now();
    while end.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        line.show(|| {
            let log = &context.log;
            let (files, bytes) = (log.files.get() + log.hard_links.get(), log.bytes.get());
            let each = started.elapsed().as_secs_f64().max(0.1);
            let speed = human(bytes.checked_div(started.elapsed().as_secs().max(1)).unwrap_or(0));
            let done = format!("{}, {} ({speed}/s)", plural(files, "file"), human(bytes));
            match total.bytes().and_then(|total| Some((bar(bytes.min(total), total)?, total))) {
                Some((bar, total)) => format!("{bar}  {done}{}", left(bytes, total, each)),
                None => done,
            }
        });
    }
}

/// `, 3:20 left`
fn left(bytes: u64, total: u64, seconds: f64) -> String {
    if seconds < 3.0 || bytes == 0 {
        return String::new();
    }
    let rest = total.saturating_sub(bytes);
    let elapsed = Duration::from_secs_f64(seconds).as_millis();
    let left = u128::from(rest) * elapsed / u128::from(bytes) / 1000;
    format!(", {}:{:02} left", left / 60, left % 60)
}

/// Prints the summary; fails if the copy is incomplete.
fn end(context: &Context<'_>, time: Duration, quiet: bool) -> Result<(), Failure> {
    let log = &context.log;
    let mut text = format!("{}, {} in {:.1} s", log.counts(), human(log.bytes.get()), time.as_secs_f64());
    if log.skipped.get() > 0 {
        text += &format!("; {} there already", plural(log.skipped.get(), "file"));
    }
    if !quiet {
        unless_closed(print(&format!("{text}\n")))?;
    }
    let path = context.target.path().display();
    if let Some(reason) = context.stop.reason() {
        return Err(Failure::destination_text(format_args!("{path}: {reason}; copied so far: {text}")));
    }
    if context.stop.is_interrupted() {
        let text = "interrupted; the files copied so far are complete, -n continues with the rest";
        return Err(Failure::interrupted(text));
    }
    match log.failed.get() {
        0 => Ok(()),
        failed => Err(Failure::inside_text(format_args!(
            "{} could not be copied, as listed above",
            plural(failed, "entry")
        ))),
    }
}

impl Context<'_> {
    /// Interprets the destination's refusal: it concerns one file, or all that follow.
    fn refused(&self, shown: &str, error: &io::Error) -> CopyError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let reason = match error.kind() {
            StorageFull => "there is no more space on it, or for the number of files",
            QuotaExceeded => "the quota of its user is used up",
            ReadOnlyFilesystem => "it is read-only",
            FileTooLarge => {
                let why = "larger than its filesystem, or the limit of this process (ulimit -f), allows";
                return CopyError::Failed(format!("{shown}: {why}"));
            }
            _ => return CopyError::Failed(format!("{shown}: {error}")),
        };
        self.stop.refuse(reason.into());
        CopyError::Stopped
    }

    /// The files created by this run, if an entry of `folder` could be mistaken for a file that existed before.
    fn made(&self, folder: &Folder<'_>) -> Option<MutexGuard<'_, HashSet<FileId>>> {
        (!folder.is_fresh()).then(|| self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The identity of the entry with this name.
    fn id(&self, folder: &Folder<'_>, name: &OsStr) -> Option<FileId> {
        self.target.existing(folder, name).ok().flatten().map(Existing::id)
    }
}

// Windows without the right to make links copies less of the disk, and nothing here depends on the system.
#[cfg(unix)]
#[cfg(test)]
mod tests;
