//! Walks the sources and creates their directories; files are sorted by disk position, batch by batch. Guards: a
//! directory is entered once per path that the user gave, whatever the image contains, and memory is bounded: a listing
//! continues where the batch before it ended.

use std::{collections::HashMap, ffi::OsStr, io, ops::ControlFlow, sync::Arc};

use vhdmount::{
    fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Stat, Times, reach},
    tree::Tree,
};

use super::{
    Context, CopyError,
    folder::{Folder, Origin},
    jobs::{Item, Job, Large},
    links::{First, Hold},
    names::{ItemName, is_refused},
    nodes::NodeSet,
    part::collision,
    queue::Queue,
    target::{Existing, FileId},
    work::{self, SEGMENT},
};

/// Files that are sorted together: their records fit the filesystem's cache. The first batch is small, so that the
/// workers can start.
const FIRST_BATCH: usize = 256;
const BATCH: usize = 8192;
/// Entries of a directory that are read at once.
const LISTED: usize = 4096;
/// Deepest directory entered: deeper than any path on Windows.
const MAX_DEPTH: usize = 16_384;
/// Most files with several names that are kept until all of these are found: about 200 bytes each.
const MAX_FIRSTS: usize = 128 << 10;

/// The walk through the image.
pub(super) struct Walker<'a, 'q> {
    context: &'a Context<'a>,
    queue: &'q Queue<Job<'a>>,
    batch: Vec<ListedFile<'a>>,
    batch_size: usize,
    /// Directories, and files with one name, that were visited.
    seen: NodeSet,
    /// Files with several names: the first one, and the number of names still to come.
    firsts: HashMap<NodeId, (Arc<First<'a>>, u32)>,
}

/// An entry that is no directory according to the listing.
struct ListedFile<'a> {
    folder: Arc<Folder<'a>>,
    name: ItemName,
    node: NodeId,
    /// The directory that lists it as a file; `None` where the node's kind is certain.
    listed_in: Option<NodeId>,
}

/// A directory that is being listed.
struct Level<'a> {
    folder: Arc<Folder<'a>>,
    node: NodeId,
    cursor: DirCursor,
    listed: bool,
    below: Vec<(NameBuf, NodeId)>,
}

impl<'a, 'q> Walker<'a, 'q> {
    pub(super) fn new(context: &'a Context<'a>, queue: &'q Queue<Job<'a>>) -> Self {
        let (batch, seen, firsts) = (Vec::new(), NodeSet::default(), HashMap::new());
        Self { context, queue, batch, batch_size: FIRST_BATCH, seen, firsts }
    }

    /// Adds a file, or any other entry that is no directory.
    pub(super) fn entry(&mut self, folder: &Arc<Folder<'a>>, name: ItemName, node: NodeId) {
        self.batch.push(ListedFile { folder: folder.clone(), name, node, listed_in: None });
    }

    /// Adds a directory with its content, as a new one called `name` in `parent`.
    pub(super) fn directory(&mut self, parent: &Arc<Folder<'a>>, name: &ItemName, node: NodeId) {
        if let Some(folder) = self.make(parent, name, node) {
            self.content(folder, node);
        }
    }

    /// Adds the content of a directory.
    pub(super) fn content(&mut self, folder: Arc<Folder<'a>>, node: NodeId) {
        self.end();
        self.seen.insert(node.0);
        let mut levels = vec![Level::new(folder, node)];
        while !self.context.stop.is_set() {
            let Some(level) = levels.last_mut() else {
                let found = self.flush();
                if found.is_empty() {
                    break;
                }
                levels.extend(found.into_iter().map(|(folder, node)| Level::new(folder, node)));
                continue;
            };
            if let Some((name, node)) = level.below.pop() {
                let parent = level.folder.clone();
                let depth = levels.len();
                levels.extend(self.enter(&parent, &ItemName::Disk(name), node, depth));
            } else if level.listed {
                levels.pop();
            } else {
                self.list(level);
                if self.batch.len() >= self.batch_size {
                    let found = self.flush();
                    // Directories that their parent lists as files.
                    levels.extend(found.into_iter().map(|(folder, node)| Level::new(folder, node)));
                    self.batch_size = (self.batch_size * 4).min(BATCH);
                }
            }
        }
        self.end();
    }

    /// Queues the entries found so far and resets the walk: another path of the user may lead to the same files, which
    /// are then copied twice, as requested.
    pub(super) fn end(&mut self) {
        // The returned entries are dropped: only directories list directories.
        let _ = self.flush();
        self.seen = NodeSet::default();
        self.firsts.clear();
    }

    fn enter(
        &mut self,
        parent: &Arc<Folder<'a>>,
        name: &ItemName,
        node: NodeId,
        depth: usize,
    ) -> Option<Level<'a>> {
        let fail = |why: &str| self.context.log.failure(&parent.path(&name.text()), why);
        if depth >= MAX_DEPTH {
            fail("lies too deep: the image is damaged");
            return None;
        }
        if self.seen.contains(node.0) {
            fail(
                "is a directory that was met already under another name: the image is damaged, nothing in it is copied again",
            );
            return None;
        }
        self.seen.insert(node.0);
        self.make(parent, name, node).map(|folder| Level::new(folder, node))
    }

    /// Creates a directory like `node`.
    fn make(&mut self, parent: &Arc<Folder<'a>>, name: &ItemName, node: NodeId) -> Option<Arc<Folder<'a>>> {
        let path = parent.path(&name.text());
        match self.context.tree.stat(node) {
            Err(error) => self.context.log.failure(&path, error),
            Ok(stat) if stat.kind != NodeKind::Directory => self.entry(parent, name.clone(), node),
            Ok(_) if reach::is_misplaced(node) => self.context.log.misplaced(&path),
            Ok(stat) => match make_folder(self.context, parent, name, name.text(), stat.times) {
                Ok(folder) => {
                    self.context.log.folders.add(1);
                    work::finish_folder(self.context, &folder, node, &stat);
                    return Some(folder);
                }
                Err(CopyError::Failed(why)) => {
                    self.context.log.failure(&path, format_args!("{why}; nothing in it is copied"));
                }
                Err(CopyError::Stopped | CopyError::Skipped) => {}
            },
        }
        None
    }

    /// Reads the next entries of a directory.
    fn list(&mut self, level: &mut Level<'a>) {
        let (mut taken, batch) = (0, &mut self.batch);
        let listed = self.context.tree.read_dir(level.node, level.cursor, &mut |entry| {
            level.cursor = entry.next;
            taken += 1;
            let name = entry.name.to_owned();
            match entry.kind {
                NodeKind::Directory => level.below.push((name, entry.node)),
                _ => batch.push(ListedFile {
                    folder: level.folder.clone(),
                    name: ItemName::Disk(name),
                    node: entry.node,
                    listed_in: (entry.kind == NodeKind::File).then_some(level.node),
                }),
            }
            if taken < LISTED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        level.listed = taken < LISTED;
        if let Err(error) = listed {
            level.listed = true;
            self.context.log.failure(
                &level.folder.path(b""),
                format_args!("{error}; what comes after that in this directory is not copied"),
            );
        }
        // `pop` takes from the end.
        level.below.reverse();
    }

    /// Queues the batch in the order of the disk. Returns entries that turn out to be directories.
    fn flush(&mut self) -> Vec<(Arc<Folder<'a>>, NodeId)> {
        let mut batch = std::mem::take(&mut self.batch);
        // Their records are read in ascending order.
        batch.sort_unstable_by_key(|entry| entry.node);
        let (mut files, mut later, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for mut entry in batch {
            if self.context.stop.is_set() {
                break;
            }
            let stat = match self.settle(&mut entry) {
                Ok(stat) => stat,
                Err(error) => {
                    self.context.log.failure(&entry.folder.path(&entry.name.text()), error);
                    continue;
                }
            };
            match stat.kind {
                NodeKind::File => self.file(entry, stat, &mut files, &mut later),
                NodeKind::Symlink => later.push(Job::Symlink(entry.item(stat))),
                NodeKind::Directory if self.seen.insert(entry.node.0) => {
                    found.extend(self.make(&entry.folder, &entry.name, entry.node).map(|f| (f, entry.node)));
                }
                kind => {
                    let why = format!("{}: such files are not made", work::special(kind));
                    self.context.log.failure(&entry.folder.path(&entry.name.text()), why);
                }
            }
        }
        files.sort_by_key(|(position, _)| *position);
        files.into_iter().for_each(|(_, item)| self.push(item));
        later.into_iter().for_each(|job| self.queue.push(job));
        found
    }

    /// Determines what an entry is. A directory or link listed as a file may not be reachable from there.
    fn settle(&self, entry: &mut ListedFile<'a>) -> vhdmount::Result<Stat> {
        let stat = self.context.tree.stat(entry.node)?;
        if let (Some(dir), ItemName::Disk(name)) = (entry.listed_in, &entry.name) {
            let listed = NodeKind::File;
            entry.node = reach::settle(self.context.tree, dir, name.as_name(), entry.node, listed, &stat)?;
        }
        Ok(stat)
    }

    /// A file with its sort key: the volume's number, then the position of its first byte in the volume.
    fn file(
        &mut self,
        entry: ListedFile<'a>,
        stat: Stat,
        files: &mut Vec<((u64, u64), Item<'a>)>,
        later: &mut Vec<Job<'a>>,
    ) {
        let node = entry.node;
        let mut item = entry.item(stat);
        if stat.links > 1 {
            if let Some((first, left)) = self.firsts.get_mut(&node) {
                let first = first.clone();
                *left -= 1;
                if *left == 0 {
                    self.firsts.remove(&node);
                }
                return later.push(Job::HardLink(item, first));
            }
            if self.firsts.len() < MAX_FIRSTS {
                let first = First::new();
                item.hold = Some(Hold(first.clone()));
                self.firsts.insert(node, (first, stat.links - 1));
            } else if !self.context.many_links.swap(true, std::sync::atomic::Ordering::Relaxed) {
                let what = "so many files with several names that some are copied once for each name";
                self.context.log.note(&item.path(), what);
            }
        } else if !self.seen.insert(node.0) {
            let why =
                "has one name only, and was met under another: the image is damaged, it is not copied again";
            return self.context.log.failure(&item.path(), why);
        }
        match self.context.tree.open(node) {
            Ok(source) => files.push(((Tree::volume_number(node), source.position().unwrap_or(0)), item)),
            Err(error) => self.context.log.failure(&item.path(), error),
        }
    }

    /// Queues an item. A large file is copied in pieces, which several workers read at once; one job represents all of
    /// them.
    fn push(&self, item: Item<'a>) {
        if item.stat.size <= SEGMENT {
            return self.queue.push(Job::File(item));
        }
        let whole = 0..item.stat.size;
        self.queue.push(Job::Part(Arc::new(Large::new(item)), whole));
    }
}

impl<'a> Level<'a> {
    fn new(folder: Arc<Folder<'a>>, node: NodeId) -> Self {
        Self { folder, node, cursor: DirCursor::default(), listed: false, below: Vec::new() }
    }
}

impl<'a> ListedFile<'a> {
    fn item(self, stat: Stat) -> Item<'a> {
        Item { folder: self.folder, name: self.name, node: self.node, stat, hold: None }
    }
}

/// Whether this run created an existing directory.
fn found(context: &Context<'_>, parent: &Folder<'_>, id: &FileId) -> Origin {
    let made = parent.origin == Origin::Shared || context.made(parent).is_some_and(|made| made.contains(id));
    if made { Origin::Shared } else { Origin::Found }
}

/// Creates a directory, or uses the existing one, if it is not a link. One that this run created is used only in a folder
/// that existed before, where it may have been requested twice.
pub(super) fn make_folder<'a>(
    context: &'a Context<'a>,
    parent: &Arc<Folder<'a>>,
    name: &ItemName,
    source: Vec<u8>,
    times: Times,
) -> Result<Arc<Folder<'a>>, CopyError> {
    let folder = |name: &OsStr, origin| Folder::new(parent, name.to_owned(), source.clone(), origin, times);
    let mut candidate = name.first();
    loop {
        let shown = || parent.shown(&candidate);
        let refused = match context.target.make_folder(parent, &candidate) {
            Ok(()) => {
                if candidate != name.first() {
                    let what = format!("kept as {}, as the destination does not take its name", shown());
                    context.log.note(&parent.path(&name.text()), what);
                }
                if let Some(mut made) = context.made(parent) {
                    made.extend(context.id(parent, &candidate));
                }
                return Ok(folder(&candidate, Origin::Fresh));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return match context.target.existing(parent, &candidate) {
                    Ok(Some(Existing::Directory(_))) if parent.is_fresh() => {
                        Err(CopyError::Failed(collision(&shown())))
                    }
                    Ok(Some(Existing::Directory(id))) => Ok(folder(&candidate, found(context, parent, &id))),
                    _ => Err(CopyError::Failed(format!("{} exists and is no directory", shown()))),
                };
            }
            Err(error) => error,
        };
        match name.after(&candidate).filter(|_| is_refused(&refused)) {
            Some(next) => candidate = next,
            None => return Err(context.refused(&shown(), &refused)),
        }
    }
}
