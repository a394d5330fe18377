//! One suite for every implementation of [`FileSystem`] and [`ByteSource`]: checks the contracts that callers rely on, on
//! a whole volume. The volume must be undamaged; content that cannot be decoded (`Unsupported`, `Denied`) is counted as
//! refused. All loops are bounded, so that a defect fails the test instead of hanging it.

mod capabilities;
mod tests;
mod walk;

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, ExtentKind},
    fs::{DirCursor, FileSystem, Name, NameBuf, NodeId, NodeKind},
};

pub(crate) use walk::{Content, Limits, Walked, tree_listing, visit, walk};

use super::sha256_source;

/// Largest directory that is listed entirely in steps of 1: some formats walk from the start each time.
const MAX_SINGLE_STEPS: usize = 2_000;
/// Largest source in bytes that is read whole, twice; of larger ones the ends and samples are read.
const MAX_READ_WHOLE: u64 = 16 << 20;
/// Most extents of a source. No real file has more; more means that `extent_at` does not advance.
const MAX_EXTENTS: usize = 1 << 20;
/// Files that four threads read concurrently.
const PARALLEL_FILES: usize = 64;

/// The counts of checked items: a check that found nothing to check proves nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) directories: usize,
    pub(crate) files: usize,
    pub(crate) links: usize,
    pub(crate) streams: usize,
    /// Files whose content cannot be decoded.
    pub(crate) refused: usize,
}

/// Checks all contracts of the trait and the capabilities.
pub(crate) fn check(fs: &dyn FileSystem) -> Checked {
    capabilities::check_space(fs);
    capabilities::check_deleted(fs);
    capabilities::check_orphans(fs);
    check_nodes(fs)
}

/// Checks everything but the space usage, which a tree of several volumes reports differently.
pub(crate) fn check_nodes(fs: &dyn FileSystem) -> Checked {
    let root = fs.root();
    assert_eq!(fs.stat(root).expect("the root has a stat").kind, NodeKind::Directory);
    assert_eq!(fs.parent(root).expect("the root has a parent"), root, "the root is its own parent");
    assert!(fs.stat(NodeId(0x00ff_ffff_ffff_fffe)).is_err(), "a node that cannot exist has no stat");

    let nodes = walk(fs, Limits::default());
    let mut checked = Checked { directories: 1, ..Checked::default() };
    check_directory(fs, root, "/");
    capabilities::check_streams(fs, root, "/", &mut checked);
    let mut seen = HashSet::from([root]);
    let mut contents = Vec::new();
    for Walked { path, parent, node, kind } in &nodes {
        let stat = fs.stat(*node).unwrap_or_else(|e| panic!("stat of {path}: {e}"));
        let link_listed_as_file = (*kind, stat.kind) == (NodeKind::File, NodeKind::Symlink);
        assert!(stat.kind == *kind || link_listed_as_file, "{path}: listed as {kind:?}, is {:?}", stat.kind);
        assert!(stat.links >= 1, "{path} has no link");
        check_parent(fs, *node, *parent, stat.kind, path);
        if !seen.insert(*node) {
            assert_ne!(stat.kind, NodeKind::Directory, "{path}: a directory with two names");
            continue;
        }
        capabilities::check_streams(fs, *node, path, &mut checked);
        capabilities::check_xattrs(fs, *node, path);
        capabilities::check_ownership(fs, *node, path);
        match stat.kind {
            NodeKind::Directory => {
                checked.directories += 1;
                check_directory(fs, *node, path);
            }
            NodeKind::File => {
                checked.files += 1;
                contents
                    .extend(check_file(fs, *node, stat.size, path, &mut checked).map(|c| (path, *node, c)));
                capabilities::check_stored(fs, *node, stat.size, path);
            }
            NodeKind::Symlink => {
                checked.links += 1;
                fs.read_link(*node).unwrap_or_else(|e| panic!("target of {path}: {e}"));
            }
            _ => {}
        }
    }
    check_parallel(fs, &contents);
    checked
}

fn check_parent(fs: &dyn FileSystem, node: NodeId, parent: NodeId, kind: NodeKind, path: &str) {
    match fs.parent(node) {
        // A file with several names has several parents, of which one is reported.
        Ok(stated) if kind == NodeKind::Directory => assert_eq!(stated, parent, "parent of {path}"),
        Ok(stated) => {
            let kind = fs.stat(stated).unwrap_or_else(|e| panic!("parent of {path}: {e}")).kind;
            assert_eq!(kind, NodeKind::Directory, "parent of {path}");
        }
        Err(Error::Unsupported(_)) => {}
        Err(e) => panic!("parent of {path}: {e}"),
    }
}

type ListedEntry = (NameBuf, NodeId, NodeKind, DirCursor);

/// Lists at most `step` entries from a cursor.
fn list(fs: &dyn FileSystem, dir: NodeId, from: DirCursor, step: usize) -> Result<Vec<ListedEntry>> {
    let mut entries = Vec::new();
    fs.read_dir(dir, from, &mut |entry| {
        entries.push((entry.name.to_owned(), entry.node, entry.kind, entry.next));
        if entries.len() == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    assert!(entries.len() <= step, "read_dir went on after a break");
    Ok(entries)
}

fn check_directory(fs: &dyn FileSystem, dir: NodeId, path: &str) {
    let listed = |from, step| list(fs, dir, from, step).unwrap_or_else(|e| panic!("list {path}: {e}"));
    let all = listed(DirCursor::default(), usize::MAX);
    assert!(
        !all.iter().any(|(name, ..)| matches!(&name.0[..], [] | [0x2e] | [0x2e, 0x2e])),
        "{path}: . or .."
    );
    capabilities::check_stat_ahead(fs, dir, &all, path);
    let names: BTreeSet<_> = all.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), all.len(), "{path}: a name twice");
    let cursors: HashSet<_> = all.iter().map(|(.., next)| next.0).collect();
    assert!(cursors.len() == all.len() && !cursors.contains(&0), "{path}: cursors are not unique");

    for step in [1, 7] {
        let wanted = &all[..all.len().min(MAX_SINGLE_STEPS * step)];
        let mut got = Vec::new();
        let mut from = DirCursor::default();
        while got.len() < all.len().min(wanted.len() + step) {
            let part = listed(from, step);
            let Some(last) = part.last() else { break };
            from = last.3;
            got.extend(part);
        }
        got.truncate(wanted.len());
        assert!(got == wanted, "{path}: in steps of {step} another sequence than at once");
    }
    if let Some(last) = all.last() {
        assert_eq!(listed(last.3, usize::MAX), [], "{path}: entries after the last one");
    }

    for (name, node, ..) in &all {
        let found = fs.lookup(dir, name.as_name()).unwrap_or_else(|e| panic!("lookup {path}/{name}: {e}"));
        assert_eq!(found, Some(*node), "lookup of {path}/{name}");
    }
    for absent in ["no such entry 7f3a", "", ".", "..", "a/b", &"n".repeat(300)] {
        let name = NameBuf::literal(absent);
        let found = fs.lookup(dir, name.as_name()).unwrap_or_else(|e| panic!("lookup {path}/{absent}: {e}"));
        assert_eq!(found, None, "{path}: found {absent:?}");
    }
    assert!(matches!(fs.open(dir), Err(Error::Invalid(_))), "{path}: a directory can be opened");
    assert!(matches!(fs.read_link(dir), Err(Error::Invalid(_))), "{path}: a directory has a link target");
}

/// Checks a file; returns the content when it can be decoded.
fn check_file(
    fs: &dyn FileSystem,
    node: NodeId,
    size: u64,
    path: &str,
    checked: &mut Checked,
) -> Option<Arc<dyn ByteSource>> {
    let listing = fs.read_dir(node, DirCursor::default(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(listing, Err(Error::Invalid(_))), "{path}: a file can be listed");
    let found = fs.lookup(node, Name(&[0x61]));
    assert!(matches!(found, Err(Error::Invalid(_))), "{path}: lookup in a file: {found:?}");
    assert!(matches!(fs.read_link(node), Err(Error::Invalid(_))), "{path}: a file has a link target");
    let content = match fs.open(node) {
        Ok(content) => content,
        Err(Error::Unsupported(_) | Error::Denied(_)) => {
            checked.refused += 1;
            return None;
        }
        Err(e) => panic!("open {path}: {e}"),
    };
    assert_eq!(content.size(), size, "{path}: content and stat differ in size");
    check_source(&*content, path);
    Some(content)
}

/// Four threads read the same files, each starting with another one, and must get the same bytes as one thread.
fn check_parallel(fs: &dyn FileSystem, contents: &[(&String, NodeId, Arc<dyn ByteSource>)]) {
    let small = contents.iter().filter(|(.., content)| content.size() <= MAX_READ_WHOLE);
    let alone: Vec<_> = small
        .take(PARALLEL_FILES)
        .map(|(path, node, content)| (path, *node, sha256_source(&**content).expect("was readable before")))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let alone = &alone;
            scope.spawn(move || {
                for i in 0..alone.len() {
                    let (path, node, hash) = &alone[(i + thread * alone.len() / 4) % alone.len()];
                    let content = fs.open(*node).unwrap_or_else(|e| panic!("open {path}: {e}"));
                    let now = sha256_source(&*content).unwrap_or_else(|e| panic!("read {path}: {e}"));
                    assert_eq!(&now, hash, "{path} differs when four threads read");
                }
            });
        }
    });
}

/// Checks all contracts of [`ByteSource`].
pub(crate) fn check_source(source: &dyn ByteSource, name: &str) {
    let size = source.size();
    check_extents(source, name);
    for (offset, len) in [(size, 1), (size.saturating_sub(1), 2), (u64::MAX, 1), (u64::MAX - 1, 4096)] {
        let beyond = source.read_exact_at(offset, &mut vec![0; len]);
        assert!(matches!(beyond, Err(Error::Invalid(_))), "{name}: {len} bytes at {offset:#x}: {beyond:?}");
    }
    source.read_exact_at(size, &mut []).unwrap_or_else(|e| panic!("{name}: no bytes at the end: {e}"));

    let mut windows = Vec::new();
    if size <= MAX_READ_WHOLE {
        windows.push(0..size);
    } else {
        let edge = MAX_READ_WHOLE / 4;
        windows.extend([0..edge, size - edge..size]);
        // Odd positions spread over the source.
        windows.extend((0..32_u64).map(|i| (i * (size / 33) + 997 * i) | 1).map(|at| at..at + 0x1_0000));
        windows.retain(|window| window.end <= size);
    }
    for window in windows {
        let len = usize::try_from(window.end - window.start).expect("at most MAX_READ_WHOLE");
        let mut whole = vec![0xa5; len];
        let read = |at: u64, buf: &mut [u8]| {
            source.read_exact_at(at, buf).unwrap_or_else(|e| panic!("{name} at {at:#x}: {e}"));
        };
        read(window.start, &mut whole);
        let mut pieces = vec![0x5a; len];
        let mut at = 0;
        for step in [1, 511, 4097, 3, 65_537, 12_289].into_iter().cycle() {
            let end = len.min(at + step);
            read(window.start + at as u64, &mut pieces[at..end]);
            at = end;
            if at == len {
                break;
            }
        }
        assert!(whole == pieces, "{name}: {window:x?} in pieces differs from the whole");
    }
}

/// Checks that extents cover the source exactly and that holes read as zeros.
fn check_extents(source: &dyn ByteSource, name: &str) {
    let size = source.size();
    let extent_at = |at| source.extent_at(at).unwrap_or_else(|e| panic!("{name}: extent at {at:#x}: {e}"));
    let mut at = 0;
    let mut count = 0;
    while at < size {
        let extent = extent_at(at);
        assert!(extent.len >= 1 && extent.len <= size - at, "{name}: {extent:?} at {at:#x} of {size:#x}");
        assert_eq!(extent_at(at + extent.len / 2).kind, extent.kind, "{name}: inside the extent at {at:#x}");
        if extent.kind == ExtentKind::Hole {
            let len = extent.len.min(0x1_0000);
            let mut buf = vec![0xff; usize::try_from(len).expect("at most 64 KiB")];
            for start in [at, at + extent.len - len] {
                source.read_exact_at(start, &mut buf).unwrap_or_else(|e| panic!("{name} at {start:#x}: {e}"));
                assert!(buf.iter().all(|byte| *byte == 0), "{name}: the hole at {at:#x} is not all zeros");
            }
        }
        at += extent.len;
        count += 1;
        assert!(count <= MAX_EXTENTS, "{name}: extents do not come to an end");
    }
    for beyond in [size, size.saturating_add(1), u64::MAX] {
        let extent = extent_at(beyond);
        assert_eq!((extent.kind, extent.len), (ExtentKind::Hole, 0), "{name}: at {beyond:#x}, past the end");
    }
}
