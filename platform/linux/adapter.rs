//! Answers the kernel's requests from a [`Namespace`]: attributes, open files, listings. Each answer is computed inside
//! `catch_unwind`, because a panic would end the worker thread and, after the last one, leave a dead mount.

use std::{
    cell::RefCell,
    collections::HashSet,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use fuser::{Errno, FileAttr, FileHandle, FopenFlags, INodeNo, OpenAccMode, OpenFlags};
use vhdmount::{
    Error,
    bytes::ByteSource,
    fs::{ContentPlace, NodeId, NodeKind, Ownership as _, Stat, Usage},
    tree::Namespace,
};

use super::{
    Streams,
    attr::Ownership,
    directory::{self, Listed, Listing},
    errno::{LOOKUP, Reporter, errno},
    names,
    prefill::Prefill,
    seek,
    snapshots::{self, Snapshot, Snapshots},
    sources::Sources,
    writing::{Caching, LENGTH_IS_FIXED, Writing},
    xattr,
};

/// Time to live of names and attributes: the image does not change while it is mounted, so the kernel may cache them
/// forever.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Largest read request: the kernel's default limit of 256 pages, and the size up to which a worker's read buffer grows.
pub(super) const MAX_REQUEST: u32 = 1 << 20;

/// Node numbers of damaged directories kept in memory; damage beyond this number is logged all the same.
const MAX_DAMAGED: usize = 1 << 16;

/// Write permission of raw views that can be written.
const WRITABLE: u16 = 0o200;

/// Extended attribute of the root directory that holds the process id of the server. Never listed.
pub(super) const SERVER_PID: &str = "user.vhdmount.server_pid";

/// Extended attribute of the root directory with what the user should know at the end of a written mount. Never listed.
pub(super) const NOTE: &str = "user.vhdmount.note";

/// The mount options that the adapter uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) ownership: Ownership,
    pub(super) wsl_metadata: bool,
    pub(super) streams: Streams,
    pub(super) direct_io: bool,
    /// The process id that `-u` reads, to wait for this process to end; `None` when the session is a part of a longer
    /// program.
    pub(super) server_pid: Option<u32>,
}

/// A [`Namespace`] behind fuser.
pub(super) struct Adapter {
    /// The tree of a mount that is only read.
    fixed: Arc<dyn Namespace>,
    /// What a mount has whose raw views are written; its tree changes.
    writing: Option<Arc<Writing>>,
    settings: Settings,
    sources: Sources,
    snapshots: Snapshots,
    reporter: Reporter,
    prefill: Arc<Prefill>,
    /// Directories with a part that could not be read, by node number.
    damaged: Mutex<HashSet<u64>>,
}

thread_local! {
    /// A worker's read buffer, as large as the largest read so far: neither allocated nor zeroed for each read.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The result of a lookup. The attributes are valid forever.
pub(super) struct NodeReply {
    pub(super) attr: FileAttr,
    /// How long the kernel may cache that the name leads to this node.
    pub(super) name_ttl: Duration,
}

/// The tree of a mount.
enum Current<'a> {
    Fixed(&'a dyn Namespace),
    Changing(Arc<dyn Namespace>),
}

impl<'a> std::ops::Deref for Current<'a> {
    type Target = dyn Namespace + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Fixed(fs) => *fs,
            Self::Changing(fs) => &**fs,
        }
    }
}

pub(super) type Answer<T> = Result<T, Errno>;

impl Adapter {
    pub(super) fn new(fs: Arc<dyn Namespace>, settings: Settings, writing: Option<Arc<Writing>>) -> Self {
        Self {
            prefill: Arc::new(Prefill::new(fs.clone())),
            fixed: fs,
            writing,
            settings,
            sources: Sources::default(),
            snapshots: Snapshots::default(),
            reporter: Reporter::default(),
            damaged: Mutex::default(),
        }
    }

    /// The tree as it is now.
    fn fs(&self) -> Current<'_> {
        match &self.writing {
            None => Current::Fixed(&*self.fixed),
            Some(writing) => Current::Changing(writing.tree()),
        }
    }

    /// What only a mount has that is written.
    pub(super) fn writing(&self) -> Option<&Arc<Writing>> {
        self.writing.as_ref()
    }

    /// Refuses to look at a node while another view of its bytes is written.
    fn look(&self, node: NodeId) -> vhdmount::Result<()> {
        self.writing.as_ref().map_or(Ok(()), |writing| writing.look(node))
    }

    /// Runs a handler; a panic in it fails this request alone, with EIO.
    fn guarded<T>(&self, request: &str, node: INodeNo, work: impl FnOnce() -> Answer<T>) -> Answer<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text =
                text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            let error = Error::io("a bug in this program", io::Error::other(text.to_owned()));
            Err(self.reporter.report(&*self.fs(), NodeId(node.0), request, &error))
        })
    }

    /// As [`Self::guarded`], and maps and logs the filesystem's errors.
    fn answer<T>(
        &self,
        request: &str,
        node: INodeNo,
        work: impl FnOnce() -> vhdmount::Result<T>,
    ) -> Answer<T> {
        self.guarded(request, node, || {
            work().map_err(|error| self.reporter.report(&*self.fs(), NodeId(node.0), request, &error))
        })
    }

    pub(super) fn attr(&self, node: NodeId) -> vhdmount::Result<FileAttr> {
        let mut stat = self.fs().stat(node)?;
        if stat.kind == NodeKind::Symlink && stat.size == 0 {
            // POSIX: st_size is the length of the text, and some programs size their buffer by it.
            stat.size = self.fs().read_link_text(node).map_or(0, |text| text.len() as u64);
        }
        if stat.kind == NodeKind::File
            && stat.size == 0
            && stat.content == ContentPlace::Elsewhere
            && self.fs().open(node).is_err()
        {
            // The kernel sends no READ for an empty file, so a file that cannot be read would appear as an empty one.
            stat.size = 1;
        }
        let mut attr = self.settings.ownership.attr(node, &stat);
        if self.writing.as_ref().is_some_and(|writing| writing.is_writable(node)) {
            attr.perm |= WRITABLE & !self.settings.ownership.fmask;
        }
        Ok(match self.settings.wsl_metadata {
            true => self.settings.ownership.with_posix(attr, &self.fs().ownership().posix(node)?),
            false => attr,
        })
    }

    pub(super) fn attr_ttl(&self, node: NodeId) -> Duration {
        let asks_first = || self.writing.as_ref().is_some_and(|writing| writing.asks_first(node));
        if self.fs().is_volatile(node) || asks_first() { Duration::ZERO } else { FOREVER }
    }

    /// How long the kernel may take a name in `dir` to lead to the same node.
    pub(super) fn name_ttl(&self, dir: NodeId) -> Duration {
        // Volumes in the root, or their files there, are others once they were written.
        if self.writing.is_some() && dir == self.fs().root() { Duration::ZERO } else { FOREVER }
    }

    /// Attributes for a listed node whose `stat` fails: its name stays visible, and the error surfaces when the node is
    /// used.
    pub(super) fn placeholder(&self, node: NodeId, kind: NodeKind) -> FileAttr {
        self.settings.ownership.attr(node, &Stat::empty(kind))
    }

    /// The prefill, which is notified of each listing and read.
    pub(super) fn prefill(&self) -> &Arc<Prefill> {
        &self.prefill
    }

    /// The source of a node's content: a recently read one, or newly opened.
    fn source(&self, node: NodeId) -> vhdmount::Result<Arc<dyn ByteSource>> {
        if Snapshots::is_one(node) {
            return Ok(self.kept(node)?.source);
        }
        self.look(node)?;
        if self.fs().is_volatile(node) {
            // Reached only with a number that a program kept from a listing.
            return self.fs().open(node);
        }
        self.sources.get_or_open(node.0, || self.fs().open(node))
    }

    fn kept(&self, node: NodeId) -> vhdmount::Result<Snapshot> {
        let gone = || Error::io("a file that is made anew at each open", rustix::io::Errno::STALE.into());
        self.snapshots.get(node).ok_or_else(gone)
    }

    /// Translates the kernel's inode number to the filesystem's node.
    fn origin(&self, ino: INodeNo) -> NodeId {
        let node = NodeId(ino.0);
        let snapshot = Snapshots::is_one(node).then(|| self.snapshots.get(node)).flatten();
        snapshot.map_or(node, |snapshot| snapshot.of)
    }

    /// Opens a file. The kernel sends OPEN only for direct I/O, or when it is older than 3.16.
    pub(super) fn open_file(&self, ino: INodeNo, flags: OpenFlags) -> Answer<(FileHandle, FopenFlags)> {
        if let Some(writing) = &self.writing {
            return self.open_written(writing, ino, flags);
        }
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return Err(Errno::EROFS);
        }
        self.answer("open", ino, || self.source(NodeId(ino.0)))?;
        let cache = match self.settings.direct_io {
            true => FopenFlags::FOPEN_DIRECT_IO,
            false => FopenFlags::FOPEN_KEEP_CACHE,
        };
        Ok((FileHandle(0), cache | FopenFlags::FOPEN_NOFLUSH))
    }

    /// Opens a file of a mount that is written.
    fn open_written(
        &self,
        writing: &Writing,
        ino: INodeNo,
        flags: OpenFlags,
    ) -> Answer<(FileHandle, FopenFlags)> {
        let node = NodeId(ino.0);
        let (handle, caching) = self.answer("open", ino, || {
            let opened = match Snapshots::is_one(node) {
                true => (0, Caching::Kept),
                false => writing.open(node, flags.acc_mode() != OpenAccMode::O_RDONLY)?,
            };
            match self.source(node) {
                Ok(_) => Ok(opened),
                Err(error) => {
                    writing.release(opened.0);
                    Err(error)
                }
            }
        })?;
        let flags = match caching {
            Caching::Bypassed => FopenFlags::FOPEN_DIRECT_IO,
            _ if self.settings.direct_io => FopenFlags::FOPEN_DIRECT_IO,
            Caching::Kept => FopenFlags::FOPEN_KEEP_CACHE,
            Caching::Dropped => FopenFlags::empty(),
        };
        Ok((FileHandle(handle), flags))
    }

    /// True when the kernel must send OPEN for each file.
    pub(super) fn wants_opens(&self) -> bool {
        self.settings.direct_io || self.writing.is_some()
    }

    /// Runs a request that changes something; EROFS on a mount that is only read.
    pub(super) fn change<T>(
        &self,
        request: &str,
        ino: INodeNo,
        work: impl FnOnce(&Writing, NodeId) -> vhdmount::Result<T>,
    ) -> Answer<T> {
        let writing = self.writing.as_ref().ok_or(Errno::EROFS)?;
        self.answer(request, ino, || work(writing, NodeId(ino.0)))
    }

    /// Sets attributes: times are not stored, and a raw view keeps its length.
    pub(super) fn set_attributes(
        &self,
        ino: INodeNo,
        owner_or_mode: bool,
        size: Option<u64>,
    ) -> Answer<FileAttr> {
        let node = NodeId(ino.0);
        if !self.writing.as_ref().is_some_and(|writing| writing.is_writable(node)) {
            return Err(Errno::EROFS);
        }
        let (attr, _) = self.stat(ino)?;
        match owner_or_mode || size.is_some_and(|size| size != attr.size) {
            true => Err(LENGTH_IS_FIXED),
            false => Ok(attr),
        }
    }

    /// Handles FORGET: the kernel has dropped the node.
    pub(super) fn forget(&self, ino: INodeNo) {
        self.snapshots.forget(NodeId(ino.0));
    }

    /// Reads into the worker's buffer and passes the bytes to `send`; fewer than `size` only at the end of the file.
    pub(super) fn read_into(&self, ino: INodeNo, offset: u64, size: u32, send: impl FnOnce(Answer<&[u8]>)) {
        if size > MAX_REQUEST {
            return send(Err(Errno::EINVAL)); // Not a short read: the kernel would take it for the end of the file.
        }
        BUFFER.with_borrow_mut(|buffer| {
            let read = self.answer("read", ino, || {
                let source = self.source(NodeId(ino.0))?;
                let left = source.size().saturating_sub(offset);
                let len = usize::try_from(left.min(size.into())).unwrap_or(0);
                if buffer.len() < len {
                    buffer.resize(len, 0);
                }
                // Beyond the end of the file, where with direct I/O the kernel asks as well, there is nothing to read.
                if len > 0 {
                    source.read_exact_at(offset, &mut buffer[..len])?;
                }
                Ok(len)
            });
            send(read.map(|len| &buffer[..len]));
        });
        if offset == 0 {
            self.prefill.read(ino.0);
        }
    }

    /// Looks up a name in a directory.
    pub(super) fn find(&self, parent: INodeNo, name: &[u8]) -> Answer<Option<NodeReply>> {
        let found = self.answer(LOOKUP, parent, || {
            let (dir, writing) = (NodeId(parent.0), self.writing.is_some());
            let is_root = dir == self.fs().root();
            if !is_root {
                self.look(dir)?;
            }
            let found = names::lookup(&*self.fs(), dir, name)?;
            match found.filter(|_| is_root && writing) {
                // Of the root only what lies in a volume is closed, and a volume may be another one by now.
                Some(node) => match self.look(node) {
                    Err(error) if errno(&error) != Errno::ESTALE => Err(error),
                    _ => names::lookup(&*self.fs(), dir, name),
                },
                None => Ok(found),
            }
        })?;
        let Some(node) = found else { return Ok(None) };
        let found = self.answer("stat", INodeNo(node.0), || match self.fs().is_volatile(node) {
            true => {
                let snapshot = Snapshot { of: node, source: self.fs().open(node)? };
                let attr = self.snapshot_attr(&snapshot)?;
                let ino = INodeNo(self.snapshots.insert(snapshot).0);
                Ok(NodeReply { attr: FileAttr { ino, ..attr }, name_ttl: snapshots::TTL })
            }
            false => Ok(NodeReply { attr: self.attr(node)?, name_ttl: self.name_ttl(NodeId(parent.0)) }),
        });
        found.map(Some)
    }

    fn snapshot_attr(&self, snapshot: &Snapshot) -> vhdmount::Result<FileAttr> {
        Ok(FileAttr { size: snapshot.source.size(), ..self.attr(snapshot.of)? })
    }

    /// A node's attributes and how long the kernel may cache them.
    pub(super) fn stat(&self, ino: INodeNo) -> Answer<(FileAttr, Duration)> {
        let node = NodeId(ino.0);
        self.answer("stat", ino, || match Snapshots::is_one(node) {
            true => {
                let attr = self.snapshot_attr(&self.kept(node)?)?;
                Ok((FileAttr { ino, ..attr }, FOREVER))
            }
            false => Ok((self.attr(node)?, self.attr_ttl(node))),
        })
    }

    /// The target text of a symbolic link.
    pub(super) fn read_link(&self, ino: INodeNo) -> Answer<Vec<u8>> {
        self.answer("readlink", ino, || {
            self.look(NodeId(ino.0))?;
            self.fs().read_link_text(NodeId(ino.0))
        })
    }

    /// Space usage of the volume that holds a node.
    pub(super) fn usage(&self, ino: INodeNo) -> Answer<Usage> {
        self.answer("statfs", ino, || self.fs().usage_at(self.origin(ino)))
    }

    /// The value of an extended attribute.
    pub(super) fn xattr(&self, ino: INodeNo, name: &OsStr) -> Answer<xattr::XattrReply> {
        if ino == INodeNo::ROOT
            && name == NOTE
            && let Some(note) = self.writing.as_ref().and_then(|writing| writing.note())
        {
            return Ok(xattr::XattrReply::Value(note.into_bytes()));
        }
        match self.settings.server_pid {
            Some(pid) if ino == INodeNo::ROOT && name == SERVER_PID => {
                Ok(xattr::XattrReply::Value(pid.to_string().into_bytes()))
            }
            _ => self.answer("getxattr", ino, || {
                xattr::get(&*self.fs(), self.settings.streams, self.origin(ino), name.as_bytes())
            }),
        }
    }

    /// The names of the extended attributes.
    pub(super) fn xattr_names(&self, ino: INodeNo) -> Answer<Vec<u8>> {
        self.answer("listxattr", ino, || xattr::list(&*self.fs(), self.settings.streams, self.origin(ino)))
    }

    /// The offset of the next data or hole.
    pub(super) fn seek(&self, ino: INodeNo, offset: i64, whence: i32) -> Answer<i64> {
        /// Linux's values. The kernel handles the other three `whence` values itself.
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        if self.writing.as_ref().is_some_and(|writing| writing.hides_holes(NodeId(ino.0))) {
            // The kernel may have data that it has not sent yet.
            let size = self.answer("seek", ino, || Ok(self.source(NodeId(ino.0))?.size()))?;
            return match whence {
                SEEK_DATA if from < size => Ok(offset),
                SEEK_HOLE if from < size => i64::try_from(size).map_err(|_| Errno::EOVERFLOW),
                SEEK_DATA | SEEK_HOLE => Err(Errno::ENXIO),
                _ => Err(Errno::EINVAL),
            };
        }
        let found = match whence {
            SEEK_DATA => self.answer("seek", ino, || seek::next_data(&*self.source(NodeId(ino.0))?, from))?,
            SEEK_HOLE => self.answer("seek", ino, || seek::next_hole(&*self.source(NodeId(ino.0))?, from))?,
            _ => return Err(Errno::EINVAL),
        };
        i64::try_from(found.ok_or(Errno::ENXIO)?).map_err(|_| Errno::EOVERFLOW)
    }

    /// Lists a directory. Returns the errno to reply with instead of the entries, if any.
    pub(super) fn list(&self, ino: INodeNo, offset: u64, listing: &mut dyn Listing) -> Option<Errno> {
        if let Err(errno) = self.answer("readdir", ino, || self.look(NodeId(ino.0))) {
            return Some(errno);
        }
        let listed =
            self.guarded("readdir", ino, || Ok(directory::list(&*self.fs(), NodeId(ino.0), offset, listing)));
        self.listing_errno(ino, listed)
    }

    /// The errno to reply with instead of entries. A damaged directory lists every entry that can be read and ends, on
    /// each listing, with an error instead of the end of the directory: a partial listing must not pass for a complete
    /// one.
    fn listing_errno(&self, ino: INodeNo, listed: Answer<Listed>) -> Option<Errno> {
        let Listed { added, problem } = match listed {
            Ok(listed) => listed,
            Err(errno) => return Some(errno),
        };
        let mut damaged = self.damaged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let errno = match problem {
            Some(error) => {
                if damaged.len() < MAX_DAMAGED {
                    damaged.insert(ino.0);
                }
                drop(damaged);
                Some(self.reporter.report(&*self.fs(), NodeId(ino.0), "readdir", &error))
            }
            None => damaged.contains(&ino.0).then_some(Errno::EIO),
        };
        errno.filter(|_| !added)
    }
}
