//! Listings. WinFsp hands each entry's own position back as the marker after which it wants more: 1 follows `.`, 2 follows
//! `..`, and from there on they are the filesystem's cursors, shifted by 2.

use std::ops::ControlFlow;

use vhdmount::{
    Error,
    fs::{ContentPlace, DirCursor, DirEntry, Name, NodeId, NodeKind, Stat, Times},
    tree::Namespace,
};

use super::{
    info::Info,
    node, path,
    records::{Records, directory_entry},
    status::{Refusal, Status},
};

/// The positions of `.` and `..` before the filesystem's own.
const DOTS: u64 = 2;

/// Entries that are passed to find how the volume writes a name; beyond, it is shown as it was asked for.
const MAX_SEARCHED: usize = 1 << 20;

/// How a listing ended.
pub(super) struct Listed {
    /// Bytes of the buffer that are used.
    pub(super) len: usize,
    /// Part of the directory could not be read.
    pub(super) problem: Option<Error>,
}

/// Lists `dir` from the marker on. An entry that cannot be examined is listed all the same: the error shows when it is used.
pub(super) fn list(fs: &dyn Namespace, dir: NodeId, marker: u64, buffer: &mut [u8]) -> Listed {
    let mut records = Records::new(buffer);
    let mut full = false;
    if dir != fs.root() {
        for (at, name) in [(1, &[0x2e][..]), (2, &[0x2e, 0x2e])] {
            let node = if at == 1 { dir } else { fs.parent(dir).unwrap_or(dir) };
            if marker < at && !full {
                let info = node::info(fs, node).unwrap_or_else(|_| placeholder(node, None));
                let record = directory_entry(name, &info, at).expect("a short name");
                full = !records.add(&record);
            }
        }
    }
    if full {
        return Listed { len: records.len(), problem: None };
    }
    let mut beyond = None;
    let read = fs.read_dir(dir, DirCursor(marker.saturating_sub(DOTS)), &mut |entry| {
        let Some(next) = entry.next.0.checked_add(DOTS) else {
            beyond = Some(Error::unsupported("a directory with positions beyond 64 bits"));
            return ControlFlow::Break(());
        };
        let info = node::info(fs, entry.node).unwrap_or_else(|_| placeholder(entry.node, Some(&entry)));
        let Some(record) = directory_entry(entry.name.units(), &info, next) else {
            log::warn!("an entry of node {:#x} has a name that is too long: not listed", dir.0);
            return ControlFlow::Continue(());
        };
        full = !records.add(&record);
        if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let problem = read.err().or(beyond);
    if !full && problem.is_none() {
        records.end();
    }
    Listed { len: records.len(), problem }
}

/// One entry, by its name in whatever case, under the name that the volume has.
pub(super) fn entry(fs: &dyn Namespace, dir: NodeId, name: &[u16]) -> Result<(Vec<u16>, Info), Refusal> {
    let node = path::lookup(fs, dir, name)?.ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
    let info = node::info(fs, node).unwrap_or_else(|_| placeholder(node, None));
    Ok((stored_name(fs, dir, node, name), info))
}

/// How the volume writes `name`, which it has found to be `node`.
fn stored_name(fs: &dyn Namespace, dir: NodeId, node: NodeId, name: &[u16]) -> Vec<u16> {
    let (mut alike, mut left) = (None, MAX_SEARCHED);
    // A damaged directory has found it by other means.
    let _ = fs.read_dir(dir, DirCursor(0), &mut |entry| {
        left -= 1;
        if entry.node == node && entry.name.is_alike(Name(name)) {
            alike = Some(entry.name.units().to_vec());
        }
        if alike.as_deref() == Some(name) || left == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    // Not listed, but found: `.vhdmount`, a short name of DOS.
    alike.unwrap_or_else(|| name.to_vec())
}

/// What is told of a node whose `stat` fails.
fn placeholder(node: NodeId, entry: Option<&DirEntry<'_>>) -> Info {
    let kind = entry.map_or(NodeKind::File, |entry| entry.kind);
    let stat = Stat {
        kind,
        size: 0,
        allocated: 0,
        links: 1,
        times: Times::default(),
        attributes: 0,
        content: ContentPlace::Own,
    };
    Info::of(&stat, 0, node.0, 0)
}
