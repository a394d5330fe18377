//! Directory listings. WinFsp passes an entry's position back as the marker after which the listing continues: 1 follows
//! `.`, 2 follows `..`; larger positions are the filesystem's cursors plus 2.

use std::ops::ControlFlow;

use vhdmount::{
    Error,
    fs::{DirCursor, DirEntry, Name, NodeId, NodeKind, Stat},
    tree::Namespace,
};

use super::{
    info::Info,
    node, path,
    records::{Records, directory_entry},
    status::{Refusal, Status},
};

/// Number of positions that `.` and `..` take before the filesystem's cursors.
const DOTS: u64 = 2;

/// Entries searched for the volume's spelling of a name; past that the name is shown as it was requested.
const MAX_SEARCHED: usize = 1 << 20;

/// How a listing ended.
pub(super) struct Listed {
    /// Bytes of the buffer in use.
    pub(super) len: usize,
    /// The error of a directory with a part that could not be read.
    pub(super) problem: Option<Error>,
}

/// Lists `dir` from the marker on. An entry whose `stat` fails is listed all the same: the error surfaces when it is
/// used.
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

/// One entry, looked up without regard to case and returned under the volume's spelling of its name.
pub(super) fn entry(fs: &dyn Namespace, dir: NodeId, name: &[u16]) -> Result<(Vec<u16>, Info), Refusal> {
    let node = path::lookup(fs, dir, name)?.ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
    let info = node::info(fs, node).unwrap_or_else(|_| placeholder(node, None));
    Ok((stored_name(fs, dir, node, name), info))
}

/// The volume's spelling of `name`, whose lookup returned `node`.
fn stored_name(fs: &dyn Namespace, dir: NodeId, node: NodeId, name: &[u16]) -> Vec<u16> {
    let (mut alike, mut left) = (None, MAX_SEARCHED);
    // An error is ignored: in a damaged directory the lookup may succeed where the listing fails.
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
    // Found but not listed: `.vhdmount`, a DOS short name.
    alike.unwrap_or_else(|| name.to_vec())
}

/// Information for a node whose `stat` fails.
fn placeholder(node: NodeId, entry: Option<&DirEntry<'_>>) -> Info {
    let kind = entry.map_or(NodeKind::File, |entry| entry.kind);
    Info::of(&Stat::empty(kind), 0, node.0, 0)
}
