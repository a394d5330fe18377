//! Directory listings. Offset 0 is the start, 1 follows `.`, 2 follows `..`; larger offsets are the filesystem's cursors
//! plus 2.

use std::{ffi::OsStr, ops::ControlFlow, os::unix::ffi::OsStrExt};

use vhdmount::{
    Error,
    fs::{DirCursor, NodeId, NodeKind, StatAhead},
    tree::Namespace,
};

/// Longest name in bytes (FUSE_NAME_MAX): the kernel refuses the whole listing when a name is longer or empty. A name of
/// 255 units has at most 1020 bytes, escapes included.
const MAX_NAME: usize = 1024;

/// Number of offsets that `.` and `..` take before the filesystem's cursors.
const DOTS: u64 = 2;

/// The reply to a listing: takes entries until the kernel's buffer is full.
pub(super) trait Listing {
    /// Adds an entry; returns true when the entry did not fit.
    fn add(&mut self, node: NodeId, offset: u64, kind: NodeKind, name: &OsStr) -> bool;

    /// True when the kernel wants the attributes of each entry.
    fn with_attributes(&self) -> bool;
}

/// How a listing ended.
pub(super) struct Listed {
    /// True when the reply has entries.
    pub(super) added: bool,
    /// The error of a directory with a part that could not be read.
    pub(super) problem: Option<Error>,
}

/// Adds the entries from `offset` on.
pub(super) fn list(fs: &dyn Namespace, dir: NodeId, offset: u64, listing: &mut dyn Listing) -> Listed {
    let mut added = false;
    for (at, name) in [(1, "."), (2, "..")] {
        if offset < at {
            // The kernel ignores the inode number of `..`; for programs that compare it, the parent's is given where it
            // is known.
            let node = if at == 1 { dir } else { fs.parent(dir).unwrap_or(dir) };
            if listing.add(node, at, NodeKind::Directory, OsStr::new(name)) {
                return Listed { added, problem: None };
            }
            added = true;
        }
    }
    let mut text = Vec::with_capacity(MAX_NAME);
    let mut beyond = None;
    let cursor = DirCursor(offset.saturating_sub(DOTS));
    if listing.with_attributes() {
        fs.stat_ahead().expect_stats(dir, cursor);
    }
    let read = fs.read_dir(dir, cursor, &mut |entry| {
        let Some(offset) = entry.next.0.checked_add(DOTS).filter(|offset| i64::try_from(*offset).is_ok())
        else {
            beyond = Some(Error::unsupported("a directory with positions beyond 63 bits"));
            return ControlFlow::Break(());
        };
        text.clear();
        entry.name.push_text(&mut text);
        if text.is_empty() || text.len() > MAX_NAME || entry.node.0 == 0 {
            log::warn!("an entry of node {:#x} has a name of {} bytes: not listed", dir.0, text.len());
            return ControlFlow::Continue(());
        }
        if listing.add(entry.node, offset, entry.kind, OsStr::from_bytes(&text)) {
            return ControlFlow::Break(());
        }
        added = true;
        ControlFlow::Continue(())
    });
    Listed { added, problem: read.err().or(beyond) }
}
