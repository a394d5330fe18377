//! The workers: each copies content without holes, then streams, attributes and times, and renames the file last.

use std::{
    ffi::OsString,
    io,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use vhdmount::{
    fs::{FileSystem, NodeId, NodeKind, Stat},
    tree::Namespace,
};

use super::{
    Context, CopyError,
    content::{PIECE, check_size, copy_range, hole_at, refused},
    folder::Folder,
    jobs::{Item, Job, Large, Opened},
    links::First,
    part::{self, Part},
    queue::Queue,
    streams,
    target::{self, File},
};

/// Size in bytes above which a file is copied in pieces, and the size of these.
pub(super) const SEGMENT: u64 = 16 << 20;
/// `FILE_ATTRIBUTE_SPARSE_FILE`
const SPARSE: u32 = 0x200;
/// Size in bytes above which a file is extended before it is copied, to test the destination's limit. Common filesystems
/// accept files up to this size; writes find out otherwise.
const HUGE: u64 = 1 << 40;

/// Works on jobs until the queue is closed and empty.
pub(super) fn run<'a>(context: &'a Context<'a>, queue: &Queue<Job<'a>>) {
    let mut buffer = vec![0; PIECE];
    while let Some((job, _active)) = queue.pop() {
        if context.stop.is_set() {
            continue;
        }
        match job {
            Job::File(item) => file(context, item, &mut buffer),
            Job::Part(large, range) => {
                let give_back = |rest| queue.give_back(Job::Part(large.clone(), rest));
                if let Err(trouble) = segment(context, &large, range, give_back, &mut buffer) {
                    let _ = large.trouble.set(trouble);
                }
                complete(context, large);
            }
            Job::HardLink(item, first) => hard_link(context, item, &first, &mut buffer),
            Job::Symlink(item) => {
                let made = symlink(context, &item);
                settle(context, &item.path(), made.map(|()| context.log.symlinks.add(1)));
            }
        }
    }
}

/// Logs the failure of a job, if it failed.
fn settle(context: &Context<'_>, path: &[u8], done: Result<(), CopyError>) {
    match done {
        Ok(()) => {
            if log::log_enabled!(log::Level::Info) {
                log::info!("{}", String::from_utf8_lossy(path));
            }
        }
        Err(CopyError::Skipped) => context.log.skipped.add(1),
        Err(CopyError::Failed(why)) => context.log.failure(path, why),
        Err(CopyError::Stopped) => {}
    }
}

fn file<'a>(context: &'a Context<'a>, mut item: Item<'a>, buffer: &mut [u8]) {
    let hold = item.hold.take();
    let copied = copy(context, &item, buffer);
    let done = copied.map(|name| {
        context.log.files.add(1);
        if let Some(hold) = hold {
            hold.done(&item.folder, name);
        }
    });
    settle(context, &item.path(), done);
}

/// Copies a whole file. A small one is read before anything is created.
fn copy<'a>(context: &'a Context<'a>, item: &Item<'a>, buffer: &mut [u8]) -> Result<OsString, CopyError> {
    part::is_taken(context, &item.folder, &item.name)?;
    let source = context.tree.open(item.node).map_err(|error| CopyError::Failed(error.to_string()))?;
    let size = check_size(context, &*source)?;
    let sparse = item.stat.allocated < size || size > PIECE as u64;
    let whole = usize::try_from(size).ok().filter(|size| !sparse && *size <= buffer.len());
    if let Some(size) = whole {
        source.read_exact_at(0, &mut buffer[..size]).map_err(|error| CopyError::Failed(error.to_string()))?;
    }
    let (part, file) = create(context, item)?;
    match whole {
        Some(size) => {
            let written = target::write_all_at(&file, &buffer[..size], 0);
            written.map_err(|error| refused(context, &|| part.shown(), &file, size as u64, &error))?;
            context.log.bytes.add(size as u64);
        }
        None => copy_range(context, &*source, (&|| part.shown(), &file), 0..size, buffer)?,
    }
    finish(context, item, part, &file, size, buffer)
}

fn create<'a>(context: &'a Context<'a>, item: &Item<'a>) -> Result<(Part<'a>, File), CopyError> {
    let attributes = if context.options.attributes { item.stat.attributes } else { 0 };
    Part::create(context, &item.folder, attributes | item.stat.attributes & SPARSE)
}

/// Copies everything but the content, then renames the file.
fn finish<'a>(
    context: &'a Context<'a>,
    item: &Item<'a>,
    part: Part<'a>,
    file: &File,
    size: u64,
    buffer: &mut [u8],
) -> Result<OsString, CopyError> {
    let refused = |error: io::Error| context.refused(&part.shown(), &error);
    // The file may end in a hole, or be empty.
    if item.stat.allocated < size || size > PIECE as u64 {
        let len = file.metadata().map_err(refused)?.len();
        if len < size {
            file.set_len(size)
                .map_err(|error| self::refused(context, &|| part.shown(), file, size, &error))?;
        }
    }
    let path = || item.path();
    if context.options.streams.in_attributes() {
        streams::keep(context, item.node, &path(), (&item.folder, &part.name), file, buffer);
    }
    if context.options.attributes
        && let Err(error) = target::set_attributes(file, item.stat.attributes, &item.stat.times)
    {
        context.log.failure(&path(), format_args!("its attributes cannot be kept: {error}"));
    }
    if let Err(error) = target::set_file_times(file, &item.stat.times) {
        context.log.note(&path(), format_args!("its times cannot be set: {error}"));
    }
    let name = part.publish(&item.name)?;
    if context.options.streams.in_files() {
        streams::keep_as_files(context, item.node, &item.stat, &path(), &item.folder, &name, buffer);
    }
    Ok(name)
}

/// Copies the first piece of a large file's `range`; the rest is returned to the queue before that.
fn segment<'a>(
    context: &'a Context<'a>,
    large: &Large<'a>,
    range: Range<u64>,
    give_back: impl FnOnce(Range<u64>),
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    if large.trouble.get().is_some() {
        return Ok(());
    }
    let open = || -> Result<Opened<'a>, CopyError> {
        let item = &large.item;
        part::is_taken(context, &item.folder, &item.name)?;
        let source = context.tree.open(item.node).map_err(|error| CopyError::Failed(error.to_string()))?;
        let size = check_size(context, &*source)?;
        let (part, file) = create(context, item)?;
        if size > HUGE {
            // Checked now: a copy should not fail after days because the filesystem cannot hold so large a file.
            file.set_len(size).map_err(|error| refused(context, &|| part.shown(), &file, size, &error))?;
        }
        Ok(Opened { source, part, file })
    };
    let opened = large.opened.get_or_init(|| open().map_err(|trouble| large.trouble.set(trouble)).ok());
    let Some(opened) = opened else { return Ok(()) };
    let mut range = range.start..range.end.min(opened.source.size());
    if let Some(hole) = hole_at(&*opened.source, range.start) {
        let len = hole.min(range.end.saturating_sub(range.start));
        context.log.bytes.add(len);
        range.start += len;
    }
    let end = range.end.min(range.start.saturating_add(SEGMENT));
    if end < range.end {
        give_back(end..range.end);
    }
    let shown = || opened.part.shown();
    copy_range(context, &*opened.source, (&shown, &opened.file), range.start..end, buffer)
}

/// Completes a large file when the last worker releases it.
fn complete<'a>(context: &'a Context<'a>, large: Arc<Large<'a>>) {
    let Some(Large { mut item, opened, trouble }) = Arc::into_inner(large) else { return };
    let hold = item.hold.take();
    let finished = match (trouble.into_inner(), opened.into_inner().flatten()) {
        (Some(trouble), _) => Err(trouble),
        (None, Some(Opened { source, part, file })) if !context.stop.is_set() => {
            finish(context, &item, part, &file, source.size(), &mut vec![0; PIECE])
        }
        _ => Err(CopyError::Stopped),
    };
    let done = finished.map(|name| {
        context.log.files.add(1);
        if let Some(hold) = hold {
            hold.done(&item.folder, name);
        }
    });
    settle(context, &item.path(), done);
}

/// Links a further name to a copied file; copies the file again where linking is not possible, or that copy failed.
fn hard_link<'a>(context: &'a Context<'a>, item: Item<'a>, first: &First<'a>, buffer: &mut [u8]) {
    let linked = || -> Result<bool, CopyError> {
        part::is_taken(context, &item.folder, &item.name)?;
        let Some((folder, name)) = first.copied() else { return Ok(false) };
        if context.no_links.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let made = Part::new(context, &item.folder, |new| {
            match context.target.hard_link((&folder, &name), (&item.folder, new)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                // FAT has no hard links, and every filesystem has a limit.
                other => Ok(other),
            }
        })?;
        let (part, linked) = made;
        match linked {
            Ok(()) => part.publish(&item.name).map(|_| true),
            Err(error) => {
                if !context.no_links.swap(true, Ordering::Relaxed) {
                    let what = format!(
                        "the destination makes no hard link ({error}): such files are copied once for each name"
                    );
                    context.log.note(&item.path(), what);
                }
                Ok(false)
            }
        }
    };
    match linked() {
        Ok(false) => file(context, item, buffer),
        other => {
            let done = other.map(|_| context.log.hard_links.add(1));
            settle(context, &item.path(), done);
        }
    }
}

/// Creates a symbolic link with the text that a mount would show. Its target does not matter, as the copy never follows a
/// link.
fn symlink<'a>(context: &'a Context<'a>, item: &Item<'a>) -> Result<(), CopyError> {
    part::is_taken(context, &item.folder, &item.name)?;
    let failed = |error: vhdmount::Error| CopyError::Failed(error.to_string());
    let text = context.tree.read_link_text(item.node).map_err(failed)?;
    if text.is_empty() {
        return Err(CopyError::Failed("is a link to nowhere: its target is empty".into()));
    }
    let directory = item.stat.attributes & 0x10 != 0;
    let (part, ()) = Part::new(context, &item.folder, |name| {
        context.target.symlink(&item.folder, name, &text, directory)
    })?;
    if let Err(error) = context.target.set_times(&item.folder, &part.name, &item.stat.times) {
        context.log.note(&item.path(), format_args!("its times cannot be set: {error}"));
    }
    part.publish(&item.name).map(drop)
}

/// Copies the streams and attributes of a directory that was just created.
pub(super) fn finish_folder<'a>(
    context: &'a Context<'a>,
    folder: &Arc<Folder<'a>>,
    node: NodeId,
    stat: &Stat,
) {
    let path = folder.path(b"");
    if context.options.attributes
        && let Err(error) = context.target.set_folder_attributes(folder, stat.attributes, &stat.times)
    {
        context.log.failure(&path, format_args!("its attributes cannot be kept: {error}"));
    }
    if context.options.streams.any() {
        streams::of_folder(context, node, stat, &path, folder);
    }
}

/// The name of a special file's kind.
pub(super) fn special(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Fifo => "a named pipe",
        NodeKind::Socket => "a socket",
        NodeKind::CharDevice(..) => "a character device",
        NodeKind::BlockDevice(..) => "a block device",
        NodeKind::File | NodeKind::Directory | NodeKind::Symlink => "no special file",
    }
}
