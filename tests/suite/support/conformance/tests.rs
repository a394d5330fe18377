//! Tests of the suite itself: it accepts a correct in-memory filesystem, and detects each kind of defect.

use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, MemorySource, check_range},
    fs::{
        ContentPlace, DirCursor, DirEntry, FileSystem, LinkTarget, Name, NameBuf, NodeId, NodeKind,
        Ownership, Posix, Space, Stat, StatAhead, Stored, StreamInfo, Streams, Times, Usage, VolumeInfo,
        Xattrs,
        deleted::{Numbered, NumberedFile, State, Undelete},
    },
};

use super::{Checked, Content, check, tree_listing};

/// A defect of a filesystem.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Cursor,
    Lookup,
    Size,
    Free,
    Hole,
    EndOfFile,
    Stream,
    StreamOfStream,
    SecondName,
    Xattr,
    Owner,
    Stored,
    Ahead,
    Deleted,
}

const CLUSTER: u64 = 512;

/// An in-memory filesystem whose node numbers are indices into `NODES`.
struct Memory(Wrong, AtomicU32);

enum Node {
    Directory(&'static [(&'static str, u64)]),
    File(usize),
    Link(&'static str),
}

const NODES: [Node; 6] = [
    Node::Directory(&[("a", 1), ("b.txt", 2), ("hard link", 3), ("link", 4)]),
    Node::Directory(&[("入乡", 3), ("empty", 5)]),
    Node::File(100_003),
    Node::File(7),
    Node::Link("a/empty"),
    Node::File(0),
];
/// The stream `s` of node 2.
const STREAM: u64 = 100;

impl Memory {
    fn new(wrong: Wrong) -> Self {
        Self(wrong, AtomicU32::new(0))
    }

    fn node(node: NodeId) -> Result<&'static Node> {
        let index = usize::try_from(node.0).expect("64 bits");
        NODES.get(index).ok_or_else(|| Error::not_found("node"))
    }

    fn entries(dir: NodeId) -> Result<&'static [(&'static str, u64)]> {
        match Self::node(if dir.0 == STREAM { NodeId(2) } else { dir })? {
            Node::Directory(entries) => Ok(entries),
            _ => Err(Error::invalid("not a directory")),
        }
    }
}

impl FileSystem for Memory {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo {
            filesystem: vhdmount::fs::FsKind::Other("memory"),
            size: 20 * CLUSTER,
            cluster_size: CLUSTER,
            ..VolumeInfo::default()
        }
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let (kind, size) = match node.0 {
            STREAM => (NodeKind::File, 5),
            _ => match Self::node(node)? {
                Node::Directory(_) => (NodeKind::Directory, 0),
                Node::File(size) => (NodeKind::File, *size as u64),
                Node::Link(_) => (NodeKind::Symlink, 0),
            },
        };
        let size = size + u64::from(self.0 == Wrong::Size && node.0 == 3);
        // The number of links counts the read-ahead requests.
        let links = 1 + self.1.load(Relaxed);
        Ok(Stat {
            kind,
            size,
            allocated: size,
            links,
            times: Times::default(),
            attributes: 0,
            content: ContentPlace::Own,
        })
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let skip = usize::from(self.0 == Wrong::Lookup && dir.0 == 1);
        let found =
            Self::entries(dir)?.iter().skip(skip).find(|(text, _)| NameBuf::literal(text).as_name() == name);
        Ok(found.map(|(_, node)| NodeId(*node)))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let entries = Self::entries(dir)?;
        let start = usize::try_from(from.0.div_ceil(2)).expect("64 bits");
        for (index, (name, node)) in entries.iter().enumerate().skip(start) {
            let second = self.0 == Wrong::SecondName && *name == "link";
            let name = NameBuf::literal(if second { "b.txt" } else { name });
            let kind = match Self::node(NodeId(*node))? {
                Node::Directory(_) => NodeKind::Directory,
                // Directories of some formats do not state which entries are links: neither does this one.
                Node::File(_) | Node::Link(_) => NodeKind::File,
            };
            let late = usize::from(self.0 == Wrong::Cursor && index == 1);
            let next = DirCursor((2 * (index + 1) + late) as u64);
            if sink(DirEntry { name: name.as_name(), node: NodeId(*node), kind, next }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(NodeId(u64::from(node.0 == 5)))
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        match (node.0, Self::node(node)) {
            (STREAM, _) => Ok(Arc::new(MemorySource(b"ntfs!".to_vec()))),
            (2, Ok(Node::File(size))) => Ok(Arc::new(Holey(*size, self.0))),
            (_, Ok(Node::File(size))) => Ok(Arc::new(MemorySource(vec![b'x'; *size]))),
            (_, Err(e)) => Err(e),
            _ => Err(Error::invalid("not a file")),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        match Self::node(node) {
            Ok(Node::Link(target)) => Ok(LinkTarget::Posix(target.as_bytes().to_vec())),
            _ => Err(Error::invalid("not a link")),
        }
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }

    fn ownership(&self) -> Option<&dyn Ownership> {
        Some(self)
    }

    fn stored(&self) -> Option<&dyn Stored> {
        Some(self)
    }

    fn stat_ahead(&self) -> Option<&dyn StatAhead> {
        Some(self)
    }

    fn deleted(&self) -> Option<Box<dyn Undelete + '_>> {
        Some(Box::new(Gone(self.0)))
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Streams for Memory {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        let stream = StreamInfo { name: NameBuf::literal("s"), size: 5 };
        let inner = self.0 == Wrong::StreamOfStream && node.0 == STREAM;
        Ok(if node.0 == 2 || inner { vec![stream] } else { Vec::new() })
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let found = node.0 == 2 && name == NameBuf::literal("s").as_name() && self.0 != Wrong::Stream;
        Ok(found.then_some(NodeId(STREAM)))
    }
}

impl Space for Memory {
    fn usage(&self) -> Result<Usage> {
        let free = if self.0 == Wrong::Free { 8 } else { 7 };
        Ok(Usage { cluster_size: CLUSTER, total: 20 * CLUSTER, free: free * CLUSTER })
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let _ = [3..5, 15..20].into_iter().try_for_each(|r| sink(r.start * CLUSTER..r.end * CLUSTER));
        Ok(())
    }
}

impl Xattrs for Memory {
    fn xattr_names(&self, _node: NodeId) -> Result<Vec<String>> {
        Ok(vec!["user.color".into()])
    }

    fn xattr(&self, _node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        Ok((name == "user.color" && self.0 != Wrong::Xattr).then(|| b"red".to_vec()))
    }
}

impl Ownership for Memory {
    fn posix(&self, _node: NodeId) -> Result<Posix> {
        let uid = if self.0 == Wrong::Owner { self.1.fetch_add(1, Relaxed) } else { 1000 };
        Ok(Posix { uid: Some(uid), ..Posix::default() })
    }
}

impl Stored for Memory {
    fn open_stored(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        if self.0 == Wrong::Stored { Ok(Arc::new(MemorySource(vec![0; 9]))) } else { self.open(node) }
    }
}

impl StatAhead for Memory {
    fn expect_stats(&self, _dir: NodeId, _from: DirCursor) {
        if self.0 == Wrong::Ahead {
            self.1.fetch_add(1, Relaxed);
        }
    }
}

/// A filesystem's two deleted files.
struct Gone(Wrong);

impl Numbered for Gone {
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()> {
        let numbers = if self.0 == Wrong::Deleted { [7, 3] } else { [3, 7] };
        let name = NameBuf::literal("gone");
        let _ = numbers.into_iter().filter(|number| *number >= from).try_for_each(|number| {
            sink(NumberedFile { number, node: NodeId(number), name: name.as_name(), kind: NodeKind::File })
        });
        Ok(())
    }

    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>> {
        Ok(Some((NodeId(number), NameBuf::literal("gone"))))
    }

    fn path(&self, _node: NodeId) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn stat(&self, _node: NodeId) -> Result<Stat> {
        Memory::new(self.0).stat(NodeId(5))
    }
}

impl Undelete for Gone {
    fn state(&self, _node: NodeId) -> Result<State> {
        Ok(State::default())
    }

    fn open(&self, _node: NodeId) -> Result<Arc<dyn ByteSource>> {
        Ok(Arc::new(MemorySource::default()))
    }

    fn read_link(&self, _node: NodeId) -> Result<LinkTarget> {
        Err(Error::invalid("not a link"))
    }
}

/// A source of which every other KiB is a hole.
struct Holey(usize, Wrong);

impl ByteSource for Holey {
    fn size(&self) -> u64 {
        self.0 as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.1 == Wrong::EndOfFile && check_range(self.size(), offset, buf.len()).is_err() {
            return Ok(());
        }
        check_range(self.size(), offset, buf.len())?;
        for (at, byte) in (offset..).zip(buf) {
            *byte = if (at / 1024).is_multiple_of(2) { at.to_le_bytes()[0] | 1 } else { 0 };
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let data = (offset / 1024).is_multiple_of(2) != (self.1 == Wrong::Hole);
        let kind = if data && offset < self.size() { ExtentKind::Data } else { ExtentKind::Hole };
        Ok(Extent { kind, len: self.size().saturating_sub(offset).min(1024 - offset % 1024) })
    }
}

#[test]
fn a_right_filesystem_passes() {
    let wanted = Checked { directories: 2, files: 3, links: 1, streams: 1, refused: 0 };
    assert_eq!(check(&Memory::new(Wrong::Nothing)), wanted);
}

#[test]
fn every_kind_of_wrong_one_is_noticed() {
    use Wrong::*;
    for (wrong, notice) in [
        (Cursor, "another sequence"),
        (Lookup, "lookup of"),
        (Size, "differ in size"),
        (Free, "free bytes"),
        (Hole, "not all zeros"),
        (EndOfFile, "Ok(())"),
        (Stream, "listed but not found"),
        (StreamOfStream, "a stream with streams"),
        (SecondName, "a name twice"),
        (Xattr, "no value"),
        (Owner, "another owner"),
        (Stored, "stored content"),
        (Ahead, "changes an answer"),
        (Deleted, "do not ascend"),
    ] {
        let panic = std::panic::catch_unwind(|| check(&Memory::new(wrong))).expect_err(notice);
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(text.contains(notice), "{notice}: {text}");
    }
}

#[test]
fn a_listing_has_files_links_and_streams() {
    let rows = tree_listing(&Memory::new(Wrong::Nothing));
    let paths: Vec<_> = rows.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a", "a/empty", "a/入乡", "b.txt", "b.txt:s", "hard link", "link"]);
    assert_eq!(rows["b.txt:s"].1, Content::File(5, super::super::sha256(b"ntfs!")));
    assert_eq!(rows["link"].1, Content::Link(LinkTarget::Posix(b"a/empty".to_vec())));
    assert_eq!(rows["a"], (NodeKind::Directory, Content::None));
}
