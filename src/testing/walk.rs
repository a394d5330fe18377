//! A walk that asks a tree everything that programs ask of a mount, and copies files into memory.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind},
    fs::{DirCursor, NameBuf, NodeId, NodeKind, StatAhead, Streams, Xattrs},
    tree::Namespace,
};

/// A walk ends here; it is the caller's own bound, as directories may name each other's files.
const MAX_ENTRIES: usize = 400;
const MAX_DEPTH: usize = 12;
/// Most bytes copied of one file, and in one read.
const MAX_COPY: u64 = 48 << 10;
const PIECE: u64 = 24 << 10;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Path, and result: the length of the content and the sum of its bytes, or the error's text.
    pub(super) files: Vec<(String, Content)>,
    /// Directories that are listed, with the names in them, and whether the listing is complete.
    pub(super) directories: Vec<(String, Vec<NameBuf>, bool)>,
    entries: usize,
}

/// Length and hash of a content, or the error.
pub(super) type Content = Result<(u64, u64)>;

/// What is known of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing is wrong with it: what is listed must be found and opened.
    Sound,
    /// Nothing is wrong, but some of it cannot be read: what is listed is found, or there is an error.
    Unreadable,
    /// Anything may be wrong with it.
    Damaged,
}

/// Walks the whole tree.
pub(super) fn walk(tree: &dyn Namespace, trust: Trust) -> Walked {
    let mut walked = Walked::default();
    directory(tree, tree.root(), "", 0, trust, &mut walked);
    walked
}

fn directory(fs: &dyn Namespace, dir: NodeId, path: &str, depth: usize, trust: Trust, walked: &mut Walked) {
    let strict = trust == Trust::Sound;
    fs.stat_ahead().expect_stats(dir, DirCursor::default());
    let mut entries: Vec<(NameBuf, NodeId)> = Vec::new();
    let left = MAX_ENTRIES.saturating_sub(walked.entries);
    let listed = fs.read_dir(dir, DirCursor::default(), &mut |entry| {
        entries.push((entry.name.to_owned(), entry.node));
        if entries.len() < left { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(!strict || listed.is_ok(), "{path}: {listed:?}");
    walked.entries += entries.len();
    let names = entries.iter().map(|(name, _)| name.clone()).collect();
    walked.directories.push((path.to_owned(), names, listed.is_ok()));
    for (name, node) in entries {
        let path = format!("{path}/{name}");
        let found = fs.lookup(dir, name.as_name());
        assert!(!strict || matches!(found, Ok(Some(_))), "{path} is listed, but {found:?}");
        assert!(trust == Trust::Damaged || !matches!(found, Ok(None)), "{path} is listed, but not found");
        let kind = self::node(fs, node, &path, trust, walked);
        if kind == Some(NodeKind::Directory) && depth < MAX_DEPTH && walked.entries < MAX_ENTRIES {
            directory(fs, node, &path, depth + 1, trust, walked);
        }
    }
}

/// Asks everything about one node.
fn node(fs: &dyn Namespace, node: NodeId, path: &str, trust: Trust, walked: &mut Walked) -> Option<NodeKind> {
    let strict = trust == Trust::Sound;
    let _ = fs.parent(node);
    let stat = fs.stat(node);
    if stat.as_ref().is_ok_and(|stat| stat.kind == NodeKind::Directory) {
        let _ = fs.usage_at(node);
    }
    assert!(!strict || stat.is_ok(), "{path} is listed, but {stat:?}");
    for name in fs.xattrs().xattr_names(node).unwrap_or_default().iter().take(16) {
        let value = fs.xattrs().xattr(node, name);
        assert!(!strict || value.is_ok(), "{path}: {name}: {value:?}");
    }
    let streams = fs.streams().list_streams(node).unwrap_or_default();
    for stream in streams.iter().take(8) {
        let found = fs.streams().lookup_stream(node, stream.name.as_name());
        assert!(!strict || matches!(found, Ok(Some(_))), "{path}:{} is listed, but {found:?}", stream.name);
        if let Ok(Some(found)) = found {
            file(fs, found, format!("{path}:{}", stream.name), walked);
        }
    }
    let kind = stat.ok()?.kind;
    match kind {
        NodeKind::Symlink => {
            let _ = (fs.read_link(node).map(|target| target.to_text()), fs.read_link_text(node));
        }
        NodeKind::File => {
            let content = file(fs, node, path.to_owned(), walked);
            let readable = matches!(content, Ok(_) | Err(Error::Unsupported(_) | Error::Denied(_)));
            assert!(!strict || readable, "{path}: {content:?}");
        }
        _ => {}
    }
    Some(kind)
}

fn file<'a>(fs: &dyn Namespace, node: NodeId, path: String, walked: &'a mut Walked) -> &'a Content {
    let content = fs.open(node).and_then(|source| copy(&*source));
    walked.files.push((path, content));
    &walked.files.last().expect("just pushed").1
}

/// Copies a file's stored parts, up to a limit; returns the length and a hash of the bytes with their places.
pub(super) fn copy(source: &dyn ByteSource) -> Content {
    let size = source.size();
    let (mut at, mut copied, mut hash) = (0, 0, 0_u64);
    // A hostile run list may have a million extents.
    for _ in 0..2_000 {
        if at >= size || copied >= MAX_COPY {
            break;
        }
        let Extent { kind, len } = source.extent_at(at)?;
        assert!(len > 0 && len <= size - at, "an extent of {len} bytes at {at} of {size}");
        if kind == ExtentKind::Hole {
            at += len;
            continue;
        }
        let take = len.min(PIECE).min(MAX_COPY);
        let mut buf = vec![0; usize::try_from(take).expect("a piece")];
        source.read_exact_at(at, &mut buf)?;
        // By words, without a comparison: fuzzers record each.
        let (words, rest) = buf.as_chunks();
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        hash = words.iter().fold(mix(hash, at), |hash, word| mix(hash, u64::from_le_bytes(*word)));
        hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
        (at, copied) = (at + take, copied + take);
    }
    // The end, too: sizes and run lists contradict each other there.
    let tail = size.min(512);
    let mut buf = [0; 512];
    source.read_exact_at(size - tail, &mut buf[..usize::try_from(tail).expect("512")])?;
    Ok((size, hash))
}

/// Reads content at odd places, beside [`copy`].
pub(super) fn touch(source: &Arc<dyn ByteSource>) {
    let size = source.size();
    let mut buf = [0; 1024];
    for at in [0, size / 2, size.saturating_sub(700)] {
        let take = usize::try_from((size - at).min(700)).expect("700");
        let _ = source.read_exact_at(at, &mut buf[..take]);
        if let Ok(extent) = source.extent_at(at) {
            assert!(extent.len <= size - at);
        }
    }
    assert!(source.read_exact_at(size, &mut buf[..1]).is_err());
}
