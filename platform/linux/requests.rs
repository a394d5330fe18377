//! Implements fuser's requests: each unpacks its arguments, calls the [`Adapter`] and replies. Requests that would
//! write are refused, but for those to the raw views of a mount that is written.
#![allow(clippy::too_many_arguments, reason = "the signatures are fuser's")]

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, SystemTime},
};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyBmap,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use vhdmount::fs::{NodeId, NodeKind};

use super::{
    adapter::{Adapter, FOREVER, MAX_REQUEST},
    attr,
    directory::Listing,
    walk_detector::{Entries, File},
    xattr,
};

/// Background requests (read-ahead) that the kernel may have in flight; its default of 16 starves several readers.
const MAX_BACKGROUND: u16 = 64;

/// Generation of every inode: names are immutable and node numbers are never reused.
const GENERATION: Generation = Generation(0);

/// Replies to a request with an attribute structure or an error.
macro_rules! respond {
    ($reply:ident, $answer:expr, |$value:pat_param| $send:expr) => {
        match $answer {
            Ok($value) => $send,
            Err(errno) => $reply.error(errno),
        }
    };
}

/// The fuser filesystem around an [`Adapter`].
pub(super) struct Requests {
    adapter: Adapter,
    /// The flags of an opened directory; `None` where the kernel can do without OPENDIR.
    opendir_flags: Option<FopenFlags>,
    /// True when directories are opened by request even where the kernel could do without.
    opens_directories: bool,
    /// True when the kernel opens files without a request.
    no_open: bool,
}

impl Requests {
    /// Wraps an adapter. With `auto_unmount`, fusermount3 detects a dead mount by opening its root directory, which must
    /// then fail.
    pub(super) fn new(adapter: Adapter, auto_unmount: bool) -> Self {
        let opendir_flags = Some(FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
        Self { adapter, opendir_flags, opens_directories: auto_unmount, no_open: false }
    }

    /// What was written before, to whatever file, is durable when this replies.
    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        let synced = match self.adapter.writing() {
            Some(_) => self.adapter.change("fsync", ino, |writing, _| writing.fsync()),
            None => Ok(()),
        };
        respond!(reply, synced, |()| reply.ok());
    }
}

/// The reply to READDIR: names and kinds.
struct Names<'a>(&'a mut ReplyDirectory);

impl Listing for Names<'_> {
    fn add(&mut self, node: NodeId, offset: u64, kind: NodeKind, name: &OsStr) -> bool {
        self.0.add(INodeNo(node.0), offset, attr::file_type(kind), name)
    }

    fn with_attributes(&self) -> bool {
        false
    }
}

/// The reply to READDIRPLUS: names with attributes, which saves a lookup for each entry.
struct Attributes<'a> {
    reply: &'a mut ReplyDirectoryPlus,
    adapter: &'a Adapter,
    entries: Entries,
    is_empty: bool,
    /// How long the kernel may take the names of this directory for the same nodes.
    name_ttl: Duration,
}

impl Listing for Attributes<'_> {
    fn add(&mut self, node: NodeId, offset: u64, kind: NodeKind, name: &OsStr) -> bool {
        let Self { reply, adapter, entries, is_empty, name_ttl } = self;
        *is_empty = false;
        // For these two the kernel passes on the inode number and the type only.
        if matches!(name.as_bytes(), b"." | b"..") {
            let attr = adapter.placeholder(node, kind);
            return reply.add(INodeNo(node.0), offset, name, &Duration::ZERO, &attr, GENERATION);
        }
        let stat = catch_unwind(AssertUnwindSafe(|| adapter.attr(node)));
        let (attr, ttl) = match stat {
            // A directory or link whose entry has another kind: a lookup decides whether the entry leads to it.
            Ok(Ok(attr))
                if [NodeKind::Directory, NodeKind::Symlink]
                    .into_iter()
                    .any(|found| found != kind && attr.kind == attr::file_type(found)) =>
            {
                (attr, Duration::ZERO)
            }
            // One time for both, the name and the attributes.
            Ok(Ok(attr)) => (attr, adapter.attr_ttl(node).min(*name_ttl)),
            // Time to live 0: the next access looks the node up again and gets the error.
            _ => (adapter.placeholder(node, kind), Duration::ZERO),
        };
        let is_full = reply.add(INodeNo(node.0), offset, name, &ttl, &attr, GENERATION);
        match kind {
            _ if is_full || ttl != FOREVER => (),
            NodeKind::File => entries.files.push(File { node: node.0, size: attr.size }),
            NodeKind::Directory => entries.directories.push(node.0),
            _ => (),
        }
        is_full
    }

    fn with_attributes(&self) -> bool {
        true
    }
}

impl Filesystem for Requests {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without READDIRPLUS_AUTO: that falls back to plain listings within a large directory, and then `ls -l` or
        // `du` costs a lookup for each entry, here 10,000 requests instead of 53.
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_EXPORT_SUPPORT
            | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        let wanted = match self.adapter.writing() {
            None => wanted,
            // Otherwise the kernel asks for an attribute that a write would remove, at each write.
            Some(_) => wanted | InitFlags::FUSE_WRITEBACK_CACHE | InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        };
        let mut offered = wanted & config.capabilities();
        if self.opens_directories {
            offered -= InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        }
        // Each of these is an optimization or is checked below, so capabilities that an old kernel lacks are left out.
        let _ = config.add_capabilities(offered);
        if offered.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT) {
            self.opendir_flags = None;
        }
        // OPEN and RELEASE would cost two requests for each file, as much as reading a small one.
        self.no_open = offered.contains(InitFlags::FUSE_NO_OPEN_SUPPORT) && !self.adapter.wants_opens();
        // The limit on writes also bounds the pages of a read request.
        let _ = config.set_max_write(MAX_REQUEST);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        respond!(reply, self.adapter.find(parent, name.as_bytes()), |found| match found {
            Some(found) => reply.entry_with_ttls(&FOREVER, &found.name_ttl, &found.attr, GENERATION),
            // Node 0 means "no such name", and the kernel caches that.
            None => reply.entry(
                &self.adapter.name_ttl(NodeId(parent.0)),
                &self.adapter.placeholder(NodeId(0), NodeKind::File),
                GENERATION
            ),
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        if handle.is_some()
            && self.adapter.writing().is_some()
            && let Err(errno) = self.adapter.change("write", ino, |writing, node| writing.check_handle(node))
        {
            return reply.error(errno);
        }
        respond!(reply, self.adapter.stat(ino), |(attr, ttl)| reply.attr(&ttl, &attr));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        respond!(reply, self.adapter.read_link(ino), |text| reply.data(&text));
    }

    fn forget(&self, _: &Request, ino: INodeNo, _: u64) {
        self.adapter.forget(ino);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.no_open {
            // ENOSYS: the kernel sends no further OPEN. Files that cannot be read fail when they are read.
            return reply.error(Errno::ENOSYS);
        }
        respond!(reply, self.adapter.open_file(ino, flags), |(handle, flags)| reply.opened(handle, flags));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.adapter.read_into(ino, offset, size, |read| respond!(reply, read, |bytes| reply.data(bytes)));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if let Some(writing) = self.adapter.writing() {
            writing.release(handle.0);
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        match self.adapter.writing() {
            Some(writing) => {
                writing.flushed(handle.0);
                reply.ok();
            }
            // Nothing is ever written; after ENOSYS the kernel sends no FLUSH at close.
            None => reply.error(Errno::ENOSYS),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.opendir_flags {
            Some(flags) => reply.opened(FileHandle(0), flags),
            // After ENOSYS the kernel sends no further OPENDIR and caches listings itself.
            None => reply.error(Errno::ENOSYS),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.adapter.list(ino, offset, &mut Names(&mut reply)) {
            None => reply.ok(),
            Some(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let (adapter, entries) = (&self.adapter, Entries::default());
        let name_ttl = adapter.name_ttl(NodeId(ino.0));
        let mut listing = Attributes { reply: &mut reply, adapter, entries, is_empty: true, name_ttl };
        let errno = adapter.list(ino, offset, &mut listing);
        let Attributes { entries, is_empty, .. } = listing;
        match errno {
            None => {
                // Before the reply, since the program starts reading as soon as it has it.
                match is_empty {
                    true => adapter.prefill().ended(ino.0),
                    false => adapter.prefill().listed(ino.0, offset == 0, &entries),
                }
                reply.ok();
            }
            Some(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        respond!(reply, self.adapter.usage(ino), |usage| {
            let unit = u32::try_from(usage.cluster_size).ok().filter(|unit| *unit > 0).unwrap_or(4096);
            let blocks = usage.total / u64::from(unit);
            let free = (usage.free / u64::from(unit)).min(blocks);
            // The limit is 255 UTF-16 units, more in bytes; other NTFS and FAT drivers report 255 as well.
            reply.statfs(blocks, free, free, 0, 0, unit, 255, unit);
        });
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        respond!(reply, self.adapter.xattr(ino, name), |found| match found {
            xattr::XattrReply::Value(value) => xattr::reply(reply, size, &value),
            xattr::XattrReply::Absent => reply.error(Errno::NO_XATTR),
            xattr::XattrReply::Unsupported => reply.error(Errno::EOPNOTSUPP),
            xattr::XattrReply::TooLong => reply.error(Errno::E2BIG),
        });
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        respond!(reply, self.adapter.xattr_names(ino), |names| xattr::reply(reply, size, &names));
    }

    fn access(&self, _: &Request, _: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks permissions itself (default_permissions); ACCESS arrives only from a mount without that
        // option.
        if mask.contains(AccessFlags::W_OK) { reply.error(Errno::EROFS) } else { reply.ok() }
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        respond!(reply, self.adapter.seek(ino, offset, whence), |offset| reply.offset(offset));
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn bmap(&self, _: &Request, _: INodeNo, _: u32, _: u64, reply: ReplyBmap) {
        reply.error(Errno::EINVAL);
    }

    // Requests that would write. The mount is read-only, so the kernel refuses most of them itself.

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let owner_or_mode = mode.is_some() || user.is_some() || group.is_some();
        respond!(reply, self.adapter.set_attributes(ino, owner_or_mode, size), |attr| {
            reply.attr(&self.adapter.attr_ttl(NodeId(ino.0)), &attr);
        });
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let cached = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let written =
            self.adapter.change("write", ino, |writing, node| writing.write(node, offset, bytes, cached));
        // No request has more than 1 MiB.
        respond!(reply, written, |written| reply.written(u32::try_from(written).unwrap_or(u32::MAX)));
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EROFS);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        use rustix::fs::FallocateFlags as Mode;
        let mode = Mode::from_bits_retain(mode.cast_unsigned());
        let makes_zeros =
            mode == Mode::PUNCH_HOLE | Mode::KEEP_SIZE || mode - Mode::KEEP_SIZE == Mode::ZERO_RANGE;
        if self.adapter.writing().is_some() && !makes_zeros {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let discarded =
            self.adapter.change("discard", ino, |writing, node| writing.discard(node, offset, len));
        respond!(reply, discarded, |()| reply.ok());
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // After ENOSYS the kernel copies by itself.
        reply.error(if self.adapter.writing().is_some() { Errno::ENOSYS } else { Errno::EROFS });
    }
}
