//! A mount whose raw views are written: what the adapter asks besides the tree. `claims` says who may open what, `reserve` keeps space on
//! the host for what the kernel has accepted, `attendant` is the thread that publishes every few seconds and opens volumes anew after
//! a writer has closed.
//!
//! A read-only mount has nothing of this, and none of its types leads here.

mod attendant;
mod claims;
mod reserve;

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use fuser::{Errno, INodeNo, Notifier};
use vhdmount::{
    Error, Result,
    bytes::ByteSink,
    fs::NodeId,
    image::writing::WritableImage,
    tree::{Namespace, Part as Shown, Tree},
};

pub(super) use self::reserve::HELD_BY_KERNEL;
pub(crate) use self::reserve::Reserve;
use self::{
    attendant::{Attendant, CHECKPOINT, Event},
    claims::{Busy, Claims, Kind, Part},
};

/// When what programs write is durable, and visible to those who open the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Publishing {
    /// When their fsync returns, and every five seconds.
    #[default]
    Sync,
    /// Every five seconds; fsync does not wait for that.
    Timed,
    /// At the unmount alone: all or nothing.
    Unmount,
}

/// The kind of an open file, for its reply to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    /// What the kernel has of the file in its cache is right.
    Kept,
    /// It is old.
    Dropped,
    /// Each write must come here before it succeeds.
    Bypassed,
}

/// The written side of a mount.
pub(super) struct Writing {
    image: Arc<WritableImage>,
    publishing: Publishing,
    claims: Claims,
    reserve: Option<Arc<Reserve>>,
    /// The tree as its volumes were opened last.
    tree: RwLock<Arc<dyn Namespace>>,
    kernel: OnceLock<Notifier>,
    attendant: Mutex<Option<Attendant>>,
    /// For each part: a program wrote beyond its end, which the kernel has taken for a longer file.
    exceeded: Vec<AtomicBool>,
    /// The host is full: the kernel asks before it accepts a write.
    asks_first: AtomicBool,
    /// The lack of space has been logged.
    is_short: AtomicBool,
    /// Where the raw views are.
    folder: NodeId,
    /// What the user should know at the end.
    note: Mutex<Option<String>>,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Writing").field("image", &self.image.path()).finish_non_exhaustive()
    }
}

/// Why nothing more is accepted.
const FULL: &str = "the host is full: what was written before has its place, and no more is accepted";

fn no_space(problem: &str) -> Error {
    Error::io(problem.to_owned(), rustix::io::Errno::NOSPC.into())
}

fn busy(name: &str) -> Error {
    let problem = format!(
        "{name} is closed to this: another view of the same bytes is open, and one of the two writes; close that one first"
    );
    Error::io(problem, rustix::io::Errno::BUSY.into())
}

impl Writing {
    /// `tree`: that of the image as it was opened.
    pub(super) fn new(
        image: Arc<WritableImage>,
        publishing: Publishing,
        reserve: Option<Arc<Reserve>>,
        tree: Arc<dyn Namespace>,
    ) -> Arc<Self> {
        let parts = image.shown().into_iter().flat_map(|shown| {
            let part = |kind, is_writable| Part {
                name: shown.name.clone(),
                kind,
                range: shown.range.clone(),
                is_writable,
            };
            let volume = (shown.name != "disk").then(|| part(Kind::Volume, false));
            [part(Kind::Raw, shown.is_writable)].into_iter().chain(volume)
        });
        let parts: Vec<_> = parts.collect();
        let folder = vhdmount::fs::NameBuf::literal(".vhdmount");
        let folder = tree.lookup(tree.root(), folder.as_name()).ok().flatten();
        Arc::new(Self {
            image,
            publishing,
            exceeded: parts.iter().map(|_| AtomicBool::new(false)).collect(),
            claims: Claims::new(parts),
            reserve,
            folder: folder.unwrap_or(Tree::ROOT),
            tree: RwLock::new(tree),
            kernel: OnceLock::new(),
            attendant: Mutex::new(None),
            asks_first: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            note: Mutex::new(None),
        })
    }

    /// Starts the thread that publishes, which also notifies the kernel of what has changed.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(self: &Arc<Self>, kernel: Notifier) -> std::io::Result<()> {
        let _ = self.kernel.set(kernel);
        let interval = (self.publishing != Publishing::Unmount).then_some(CHECKPOINT);
        let attendant = Attendant::start(Arc::downgrade(self), interval)?;
        *self.attendant.lock().unwrap_or_else(PoisonError::into_inner) = Some(attendant);
        Ok(())
    }

    /// The tree as it is now.
    pub(super) fn tree(&self) -> Arc<dyn Namespace> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The part that a node shows, if it shows one. [`rustix::io::Errno::STALE`] for a node of a volume that was opened anew since.
    fn part_of(&self, node: NodeId) -> Result<Option<usize>> {
        let tree = self.tree();
        Ok(match tree.part_of(node) {
            Shown::None => None,
            Shown::Raw(name) => self.claims.find(Kind::Raw, name.strip_suffix(".raw").unwrap_or(name)),
            Shown::Volume(name) => self.claims.find(Kind::Volume, name),
            Shown::Gone => {
                let problem = "a file of a volume that was written and opened anew since";
                return Err(Error::io(problem, rustix::io::Errno::STALE.into()));
            }
        })
    }

    /// The part of a raw view that can be written.
    fn writable(&self, node: NodeId) -> Result<Option<usize>> {
        let part = self.part_of(node)?;
        Ok(part.filter(|part| self.claims.parts()[*part].is_writable))
    }

    /// True for a raw view that can be written.
    pub(super) fn is_writable(&self, node: NodeId) -> bool {
        matches!(self.writable(node), Ok(Some(_)))
    }

    /// Whether a node may be looked at: not while another view of its bytes is written. A volume that is being opened anew is waited for;
    /// the kernel then looks for the file again.
    pub(super) fn look(&self, node: NodeId) -> Result<()> {
        let Some(part) = self.part_of(node)? else { return Ok(()) };
        let shown = &self.claims.parts()[part];
        match shown.kind {
            // An open raw view is read by its own readers.
            Kind::Raw => Ok(()),
            Kind::Volume => {
                self.claims.look(part).map_err(|Busy| busy(&shown.name))?;
                self.part_of(node).map(drop)
            }
        }
    }

    /// Opens a file; the handle is 0 for one that shows no bytes of the disk.
    pub(super) fn open(&self, node: NodeId, writes: bool) -> Result<(u64, Caching)> {
        let part = self.part_of(node)?;
        if writes && self.writable(node)?.is_none() {
            return Err(Error::io("this is only read", rustix::io::Errno::ROFS.into()));
        }
        let Some(part) = part else { return Ok((0, Caching::Kept)) };
        if self.exceeded[part].load(Ordering::Relaxed) {
            // What the kernel takes for a longer file is given up when its last handle is closed; then it looks for the name again.
            self.claims.wait_for_end(part);
            if !self.exceeded[part].load(Ordering::Relaxed) {
                return Err(Error::io("a view that seemed longer", rustix::io::Errno::STALE.into()));
            }
        }
        let opened = self.claims.open(part, writes).map_err(|Busy| busy(&self.claims.parts()[part].name))?;
        if let Err(error) = self.part_of(node) {
            self.claims.release(opened.handle);
            return Err(error);
        }
        let caching = match (writes && !self.has_space(), opened.is_stale) {
            (true, _) => Caching::Bypassed,
            (false, true) => Caching::Dropped,
            (false, false) => Caching::Kept,
        };
        Ok((opened.handle, caching))
    }

    /// Whether the host has space for what the kernel may accept.
    fn has_space(&self) -> bool {
        let has_space = self.reserve.as_ref().is_some_and(|reserve| reserve.fill());
        if !has_space && !self.is_short.swap(true, Ordering::Relaxed) {
            log::warn!(
                "{}: the host has too little space for a write-back cache: programs wait for each of their writes from now on",
                self.image.path().display()
            );
        }
        has_space
    }

    /// A descriptor of an open file was closed.
    pub(super) fn flushed(&self, handle: u64) {
        self.claims.flushed(handle);
    }

    /// An open file has ended.
    pub(super) fn release(&self, handle: u64) {
        if let Some(part) = self.claims.release(handle) {
            self.send(Event::Closed(part));
        }
    }

    /// Hands an event to the attendant; without one it is handled here.
    fn send(&self, event: Event) {
        let sent = match &*self.attendant.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(attendant) => attendant.send(event),
            None => Err(event),
        };
        if let Err(event) = sent {
            self.on_event(event);
        }
    }

    /// Writes to a raw view; returns how many bytes. `cached`: the kernel has told the program already that it has written them.
    pub(super) fn write(&self, node: NodeId, offset: u64, bytes: &[u8], cached: bool) -> Result<usize> {
        let (part, range) = self.range_of(node)?;
        let len = range.end - range.start;
        let room =
            usize::try_from(len.saturating_sub(offset)).map_or(bytes.len(), |room| room.min(bytes.len()));
        if room < bytes.len() {
            self.exceed(part, node);
        }
        if room == 0 {
            return Err(no_space("a raw view does not grow: this is its end"));
        }
        if self.reserve.as_ref().is_some_and(|reserve| !reserve.has_room_for_data()) {
            self.watch_space(node);
            return Err(no_space(FULL));
        }
        self.claims.wrote(part);
        self.image.disk().write_all_at(range.start + offset, &bytes[..room])?;
        self.watch_space(node);
        match room < bytes.len() && cached {
            true => Err(no_space("a raw view does not grow: this is its end")),
            false => Ok(room),
        }
    }

    /// When the host gets full, what the kernel has accepted so far has its place in the reserve. It must not accept more: from here on
    /// it asks before each write.
    fn watch_space(&self, node: NodeId) {
        let is_full = self.is_full();
        if self.asks_first.swap(is_full, Ordering::Relaxed) != is_full && is_full {
            log::warn!("{}: {FULL}", self.image.path().display());
            self.send(Event::AskFirst(node));
        }
    }

    /// True when the reserve is not whole, and the host has nothing for it.
    fn is_full(&self) -> bool {
        self.reserve.as_ref().is_some_and(|reserve| !reserve.fill())
    }

    /// The kernel believes that the view is longer, until nobody has it open any more. From here on it asks before each write.
    fn exceed(&self, part: usize, node: NodeId) {
        // Its end is noticed as that of a writer.
        self.claims.wrote(part);
        if !self.exceeded[part].swap(true, Ordering::Relaxed) {
            self.send(Event::AskFirst(node));
        }
    }

    /// Before a cached write the kernel asks for attributes, if they are not valid: an error here is that write's.
    pub(super) fn check_handle(&self, node: NodeId) -> Result<()> {
        match self.part_of(node)? {
            Some(part) if self.exceeded[part].load(Ordering::Relaxed) => {
                Err(no_space("a raw view does not grow: this is its end"))
            }
            Some(_) if self.asks_first.load(Ordering::Relaxed) => {
                let is_full = self.is_full();
                self.asks_first.store(is_full, Ordering::Relaxed);
                if is_full { Err(no_space(FULL)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// True when the attributes of a node must not be cached.
    pub(super) fn asks_first(&self, node: NodeId) -> bool {
        let part = self.part_of(node).ok().flatten();
        let asks_first = self.asks_first.load(Ordering::Relaxed);
        part.is_some_and(|part| asks_first || self.exceeded[part].load(Ordering::Relaxed))
    }

    /// Makes a range of a raw view read as zeros, and gives back its space.
    pub(super) fn discard(&self, node: NodeId, offset: u64, len: u64) -> Result<()> {
        let (part, range) = self.range_of(node)?;
        let start = range.start.saturating_add(offset).min(range.end);
        let end = start.saturating_add(len).min(range.end);
        self.claims.wrote(part);
        self.image.disk().discard(start, end - start)
    }

    fn range_of(&self, node: NodeId) -> Result<(usize, Range<u64>)> {
        let read_only = || Error::io("this is only read", rustix::io::Errno::ROFS.into());
        let part = self.writable(node)?.ok_or_else(read_only)?;
        Ok((part, self.claims.parts()[part].range.clone()))
    }

    /// Everything that was written is durable when this returns, as far as the mount publishes by fsync.
    pub(super) fn fsync(&self) -> Result<()> {
        match self.publishing {
            Publishing::Sync => self.image.checkpoint(),
            Publishing::Timed | Publishing::Unmount => Ok(()),
        }
    }

    /// True when the kernel may hold bytes of a raw view that differ from those here: nothing of it is known to be a hole.
    pub(super) fn hides_holes(&self, node: NodeId) -> bool {
        matches!(self.part_of(node), Ok(Some(part)) if self.claims.is_open_for_writing(part))
    }

    /// What the attendant does.
    fn on_event(&self, event: Event) {
        match event {
            Event::Tick => {
                if let Err(error) = self.image.checkpoint() {
                    self.log_once(&error);
                }
            }
            Event::Closed(part) => self.open_anew(part),
            Event::AskFirst(node) => self.invalidate(node),
            Event::End => {}
        }
    }

    fn log_once(&self, error: &Error) {
        if !self.is_short.swap(true, Ordering::Relaxed) {
            log::error!("{}: {error}", self.image.path().display());
        } else {
            log::debug!("{}: {error}", self.image.path().display());
        }
    }

    /// A part was written through its last handle: what was written is published, and the volumes show it.
    fn open_anew(&self, part: usize) {
        let Part { range, name, .. } = &self.claims.parts()[part];
        if self.publishing != Publishing::Unmount
            && let Err(error) = self.image.checkpoint()
        {
            self.log_once(&error);
        }
        let reopened = self.image.reopen(range);
        let mut names = Vec::new();
        match reopened {
            Ok(reopened) => {
                let note = reopened.has_other_table.then(|| {
                    format!(
                        "{name}.raw was written, and the disk has another partition table now: this mount shows the partitions of before, the \
                         next one the new ones"
                    )
                });
                if let Some(note) = &note {
                    log::warn!("{note}; unmount it and mount it again");
                }
                *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
                names = reopened.volumes;
                *self.tree.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reopened.tree);
            }
            Err(error) => {
                log::error!("{name}.raw was written, but its volumes cannot be opened anew: {error}")
            }
        }
        if self.exceeded[part].load(Ordering::Relaxed) {
            if let Some(kernel) = self.kernel.get() {
                // With the name the kernel gives up the file that it takes for a longer one.
                let view = format!("{name}.raw");
                log_failure(kernel.inval_entry(INodeNo(self.folder.0), view.as_ref()));
            }
            self.exceeded[part].store(false, Ordering::Relaxed);
        }
        self.claims.settled(part);
        // Afterwards, as the kernel waits for those who look up names in the root.
        let Some(kernel) = self.kernel.get() else { return };
        let root = INodeNo(Tree::ROOT.0);
        for name in &names {
            log_failure(kernel.inval_entry(root, name.as_ref()));
        }
        log_failure(kernel.inval_inode(root, 0, 0));
    }

    /// What the user should know at the end of the mount.
    pub(super) fn note(&self) -> Option<String> {
        // What is being closed may have something to say.
        (0..self.claims.parts().len()).for_each(|part| self.claims.wait_for_end(part));
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn invalidate(&self, node: NodeId) {
        if let Some(kernel) = self.kernel.get() {
            // Attributes alone.
            log_failure(kernel.inval_inode(INodeNo(node.0), -1, 0));
        }
    }

    /// The end of the mount: publishes and closes the image.
    ///
    /// # Errors
    /// When that fails; what was published before stays.
    pub(super) fn end(&self) -> Result<()> {
        let attendant = self.attendant.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(attendant);
        self.image.close()
    }
}

fn log_failure(done: std::io::Result<()>) {
    if let Err(error) = done {
        log::debug!("the kernel keeps what it has in its caches: {error}");
    }
}

/// The errno of a refused change of a raw view's length.
pub(super) const LENGTH_IS_FIXED: Errno = Errno::EPERM;
