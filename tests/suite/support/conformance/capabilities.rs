//! Checks the contract of each capability of a filesystem, where the format has it.

use std::ops::{ControlFlow, Range};

use vhdmount::{
    Error,
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Ownership, Streams, Xattrs,
        numbered::{Numbered, NumberedFile},
        open_stored,
    },
};

use super::{Checked, ListedEntry, check_file};

/// Most deleted files and orphans examined.
const MAX_NUMBERED: usize = 200;

pub(super) fn check_streams(fs: &dyn FileSystem, node: NodeId, path: &str, checked: &mut Checked) {
    let streams = fs.streams().list_streams(node).unwrap_or_else(|e| panic!("streams of {path}: {e}"));
    for stream in &streams {
        let what = format!("{path}:{}", stream.name);
        let found =
            fs.streams().lookup_stream(node, stream.name.as_name()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let found = found.unwrap_or_else(|| panic!("{what} is listed but not found"));
        let stat = fs.stat(found).unwrap_or_else(|e| panic!("stat of {what}: {e}"));
        assert_eq!((stat.kind, stat.size), (NodeKind::File, stream.size), "{what}");
        let inner = fs.streams().list_streams(found).unwrap_or_else(|e| panic!("streams of {what}: {e}"));
        assert_eq!(inner, [], "{what}: a stream with streams");
        checked.streams += 1;
        check_file(fs, found, stream.size, &what, checked);
    }
    let absent = NameBuf::literal("no such stream 7f3a");
    let found = fs
        .streams()
        .lookup_stream(node, absent.as_name())
        .unwrap_or_else(|e| panic!("streams of {path}: {e}"));
    assert_eq!(found, None, "{path}: found a stream that is not there");
}

pub(super) fn check_xattrs(fs: &dyn FileSystem, node: NodeId, path: &str) {
    let names = fs.xattrs().xattr_names(node).unwrap_or_else(|e| panic!("attributes of {path}: {e}"));
    for name in names {
        let value = fs.xattrs().xattr(node, &name).unwrap_or_else(|e| panic!("{name} of {path}: {e}"));
        assert!(value.is_some(), "{path}: {name} is listed but has no value");
    }
    let absent = fs.xattrs().xattr(node, "system.no_such_attribute");
    assert!(matches!(absent, Ok(None)), "{path}: an absent attribute gives {absent:?}");
}

pub(super) fn check_space(fs: &dyn FileSystem) {
    let usage = fs.space().usage().expect("usage is known");
    let size = fs.volume().size;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    fs.space()
        .free_ranges(&mut |range| {
            ranges.push(range);
            ControlFlow::Continue(())
        })
        .expect("free ranges are known");
    assert!(ranges.iter().all(|range| range.start < range.end), "an empty free range");
    assert!(ranges.windows(2).all(|w| w[0].end < w[1].start), "free ranges touch, overlap or go back");
    assert!(
        ranges.last().is_none_or(|last| last.end <= size),
        "free ranges beyond the volume of {size} bytes"
    );
    assert_eq!(usage.free, ranges.iter().map(|range| range.end - range.start).sum::<u64>(), "free bytes");
    assert!(
        usage.cluster_size > 0 && usage.free <= usage.total && usage.total <= size,
        "{usage:?} of {size}"
    );
    let mut calls = 0;
    fs.space()
        .free_ranges(&mut |_| {
            calls += 1;
            ControlFlow::Break(())
        })
        .expect("a break is no error");
    assert_eq!(calls, ranges.len().min(1), "free_ranges went on after a break");
}

pub(super) fn check_ownership(fs: &dyn FileSystem, node: NodeId, path: &str) {
    let read = || fs.ownership().posix(node).unwrap_or_else(|e| panic!("owner of {path}: {e}"));
    assert_eq!(read(), read(), "{path}: another owner the second time");
}

/// Checks that content stored in the file's own metadata equals the file's content.
pub(super) fn check_stored(fs: &dyn FileSystem, node: NodeId, size: u64, path: &str) {
    match open_stored(fs, node) {
        Ok(content) => assert_eq!(content.size(), size, "{path}: stored content and stat differ in size"),
        Err(Error::Unsupported(_) | Error::Denied(_)) => {}
        Err(e) => panic!("stored content of {path}: {e}"),
    }
}

/// Checks that reading ahead changes no result.
pub(super) fn check_stat_ahead(fs: &dyn FileSystem, dir: NodeId, entries: &[ListedEntry], path: &str) {
    let Some(ahead) = fs.stat_ahead() else { return };
    let stats = || -> Vec<_> { entries.iter().map(|(_, node, ..)| fs.stat(*node).ok()).collect() };
    let before = stats();
    ahead.expect_stats(dir, DirCursor::default());
    assert!(before == stats(), "{path}: reading ahead changes an answer");
}

/// Checks deleted files: their numbers ascend, lead back to the files, and are valid positions to continue a listing.
pub(super) fn check_deleted(fs: &dyn FileSystem) {
    let Some(deleted) = fs.deleted() else { return };
    for (node, kind) in numbered("deleted file", &*deleted) {
        if kind == NodeKind::File {
            // The place of its content may be lost.
            if let Ok(state) = deleted.state(node) {
                assert!(state.free <= state.clusters, "{state:?}");
            }
        }
    }
}

/// Checks orphans as [`check_deleted`] does.
pub(super) fn check_orphans(fs: &dyn FileSystem) {
    if let Some(orphans) = fs.orphans() {
        numbered("orphan", &*orphans);
    }
}

/// Each file, with its type according to its metadata.
fn numbered(what: &str, files: &dyn Numbered) -> Vec<(NodeId, NodeKind)> {
    let list = |from: u64, most: usize| {
        let mut found = Vec::new();
        let listed = files.each(from, &mut |NumberedFile { number, node, name, .. }| {
            found.push((number, node, name.to_owned()));
            if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        listed.unwrap_or_else(|e| panic!("{what}s: {e}"));
        assert!(found.len() <= most, "{what}: the listing went on after a break");
        found
    };
    let all = list(0, MAX_NUMBERED);
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "{what}: numbers do not ascend");
    for (number, node, name) in &all {
        let found = files.find(*number).unwrap_or_else(|e| panic!("{what} {number}: {e}"));
        assert_eq!(found, Some((*node, name.clone())), "{what} {number}: listed but not found");
    }
    if let [.., before, last] = &all[..] {
        assert_eq!(list(before.0 + 1, 1), std::slice::from_ref(last), "{what}: a listing that goes on");
    }
    let stat =
        |node| files.stat(node).unwrap_or_else(|e| panic!("{what} {node:?} is listed and has no stat: {e}"));
    all.into_iter().map(|(_, node, _)| (node, stat(node).kind)).collect()
}
