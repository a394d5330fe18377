//! An in-memory filesystem with a node for each way in which a real one can behave or fail.

use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use vhdmount::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, ExtentKind, MemorySource, check_range, testing::Faulty},
    fs::{
        ContentPlace, DirCursor, DirEntry, FileSystem, LinkTarget, Name, NameBuf, NodeId, NodeKind, Space,
        Stat, StreamInfo, Streams, Times, Timestamp, Usage, VolumeInfo, Xattrs,
    },
    tree::Namespace,
};

enum Content {
    Directory(Vec<usize>),
    File(Arc<dyn ByteSource>),
    Link(LinkTarget),
    Counter,
    PanicsOnOpen,
    PanicsOnStat,
    Encrypted,
    BadDirectory(Vec<usize>),
}

struct Node {
    name: NameBuf,
    parent: usize,
    content: Content,
    streams: Vec<(NameBuf, usize)>,
}

/// Nodes by number; the root is 1.
pub(crate) struct Memory {
    nodes: Vec<Node>,
    opened: AtomicU64,
    /// Set when no file can be opened any more.
    pub(crate) is_gone: AtomicBool,
}

/// The directory with many entries.
pub(crate) const MANY: usize = 10_000;

/// The content of `file.bin`.
pub(crate) fn content() -> Vec<u8> {
    // A prime period: a shifted or repeated page does not compare equal.
    (0..3_000_017_u32).map(|i| (i % 251).to_le_bytes()[0] ^ (i >> 16).to_le_bytes()[0]).collect()
}

/// A source of 1 MiB of hole, 64 KiB of data, and a hole up to 8 MiB.
pub(crate) struct Sparse;

pub(crate) const SPARSE_DATA: Range<u64> = 1 << 20..(1 << 20) + (64 << 10);

impl ByteSource for Sparse {
    fn size(&self) -> u64 {
        8 << 20
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        for (at, byte) in (offset..).zip(buf) {
            *byte = if SPARSE_DATA.contains(&at) { 0x5a } else { 0 };
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (kind, end) = match offset {
            _ if offset < SPARSE_DATA.start => (ExtentKind::Hole, SPARSE_DATA.start),
            _ if offset < SPARSE_DATA.end => (ExtentKind::Data, SPARSE_DATA.end),
            _ => (ExtentKind::Hole, self.size().max(offset)),
        };
        Ok(Extent { kind, len: end - offset })
    }
}

/// The offset of the unreadable byte of `faulty`.
pub(crate) const BAD_BYTE: u64 = 512 << 10;

struct Panics;

impl ByteSource for Panics {
    fn size(&self) -> u64 {
        100
    }

    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        panic!("a reader that panics")
    }
}

/// Directories below the root of [`Memory::tree`], and files in each.
pub(crate) const TREE: (usize, usize) = (40, 3);

/// The content of a file in [`Memory::tree`].
pub(crate) fn tree_content(directory: usize, file: usize) -> Vec<u8> {
    content()[directory * 1000..][..file * 4001 + 1].to_vec()
}

impl Memory {
    fn root_only() -> Self {
        let root = Node {
            name: NameBuf::default(),
            parent: 1,
            content: Content::Directory(Vec::new()),
            streams: Vec::new(),
        };
        let unused =
            Node { name: NameBuf::default(), parent: 1, content: Content::Encrypted, streams: Vec::new() };
        Self { nodes: vec![unused, root], opened: AtomicU64::new(0), is_gone: AtomicBool::new(false) }
    }

    /// Directories with small files, by [`TREE`] and [`tree_content`].
    pub(crate) fn tree() -> Self {
        let mut memory = Self::root_only();
        for directory in 0..TREE.0 {
            let node = memory.add(1, &format!("{directory:02}"), Content::Directory(Vec::new()));
            for file in 0..TREE.1 {
                let content = MemorySource(tree_content(directory, file));
                memory.add(node, &file.to_string(), Content::File(Arc::new(content)));
            }
        }
        memory
    }

    pub(crate) fn new() -> Self {
        let mut memory = Self::root_only();
        let bytes = |bytes: &[u8]| Content::File(Arc::new(MemorySource(bytes.to_vec())));
        let file = memory.add(1, "file.bin", bytes(&content()));
        for (name, data) in [("small", b"stream".to_vec()), ("large", vec![7; 70_000])] {
            let stream = memory.detached(bytes(&data));
            memory.nodes[file].streams.push((NameBuf::literal(name), stream));
        }
        memory.add(1, "empty", bytes(b""));
        memory.add(1, "sparse", Content::File(Arc::new(Sparse)));
        memory.add(1, "panics", Content::File(Arc::new(Panics)));
        memory.add(1, "panics-on-open", Content::PanicsOnOpen);
        memory.add(1, "panics-on-stat", Content::PanicsOnStat);
        memory.add(1, "encrypted", Content::Encrypted);
        let faulty = Faulty::new(
            Arc::new(MemorySource(vec![1; 1 << 20])),
            std::iter::once(BAD_BYTE..BAD_BYTE + 1).collect(),
        );
        memory.add(1, "faulty", Content::File(Arc::new(faulty)));
        memory.add(1, "counter", Content::Counter);
        memory.add(1, "a/b", bytes(b"slash"));
        memory.add(1, "Grüße 入 😀", bytes(b"unicode"));
        let relative = LinkTarget::Windows {
            path: NameBuf::literal(r"many\0042"),
            print: NameBuf::default(),
            relative: true,
        };
        memory.add(1, "link", Content::Link(relative));
        let many = memory.add(1, "many", Content::Directory(Vec::new()));
        for i in 0..MANY {
            memory.add(many, &format!("{i:04}"), bytes(i.to_string().as_bytes()));
        }
        let bad = memory.add(1, "bad-directory", Content::BadDirectory(Vec::new()));
        memory.add(bad, "readable", bytes(b"before the damage"));
        memory
    }

    fn detached(&mut self, content: Content) -> usize {
        self.nodes.push(Node { name: NameBuf::default(), parent: 1, content, streams: Vec::new() });
        self.nodes.len() - 1
    }

    fn add(&mut self, parent: usize, name: &str, content: Content) -> usize {
        let node = self.detached(content);
        self.nodes[node].name = NameBuf::literal(name);
        self.nodes[node].parent = parent;
        match &mut self.nodes[parent].content {
            Content::Directory(children) | Content::BadDirectory(children) => children.push(node),
            _ => unreachable!("only directories get children"),
        }
        node
    }

    fn node(&self, node: NodeId) -> Result<&Node> {
        let index = usize::try_from(node.0).ok().filter(|index| *index > 0);
        index.and_then(|index| self.nodes.get(index)).ok_or_else(|| Error::not_found("no such node"))
    }

    fn children(&self, dir: NodeId) -> Result<&[usize]> {
        match &self.node(dir)?.content {
            Content::Directory(children) | Content::BadDirectory(children) => Ok(children),
            _ => Err(Error::invalid("not a directory")),
        }
    }
}

fn kind(content: &Content) -> NodeKind {
    match content {
        Content::Directory(_) | Content::BadDirectory(_) => NodeKind::Directory,
        Content::Link(_) => NodeKind::Symlink,
        _ => NodeKind::File,
    }
}

impl FileSystem for Memory {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo { filesystem: vhdmount::fs::FsKind::Other("memory"), ..VolumeInfo::default() }
    }

    fn root(&self) -> NodeId {
        NodeId(1)
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let content = &self.node(node)?.content;
        let size = match content {
            Content::File(source) => source.size(),
            Content::Counter => self.opened.load(Ordering::Relaxed).to_string().len() as u64,
            Content::PanicsOnStat => panic!("a stat that panics"),
            _ => 0,
        };
        let time = Timestamp { seconds: 1_600_000_000, nanos: 123_456_700 };
        let times = Times { created: time, modified: time, changed: time, accessed: time };
        let elsewhere = matches!(content, Content::PanicsOnOpen | Content::Encrypted);
        let place = if elsewhere { ContentPlace::Elsewhere } else { ContentPlace::Own };
        Ok(Stat { size, allocated: size, times, content: place, ..Stat::empty(kind(content)) })
    }

    /// Ignores case, as Windows' filesystems do.
    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let exact = self.children(dir)?.iter().find(|child| self.nodes[**child].name.as_name() == name);
        let wanted = name.to_string().to_uppercase();
        let folded = || {
            self.children(dir)
                .ok()?
                .iter()
                .find(|c| self.nodes[**c].name.to_string().to_uppercase() == wanted)
        };
        Ok(exact.or_else(folded).map(|child| NodeId(*child as u64)))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let skip = usize::try_from(from.0).unwrap_or(usize::MAX);
        let mut visited = 0;
        for (at, child) in self.children(dir)?.iter().enumerate().skip(skip) {
            visited += 1;
            let node = &self.nodes[*child];
            let entry = DirEntry {
                name: node.name.as_name(),
                node: NodeId(*child as u64),
                kind: kind(&node.content),
                next: DirCursor(at as u64 + 1),
            };
            if sink(entry).is_break() {
                return Ok(());
            }
        }
        match self.node(dir)?.content {
            // Only a walk that passes the damage notices it, as with a bad block in the middle of an index.
            Content::BadDirectory(_) if visited > 0 => {
                Err(Error::corrupt("index block", Place::Byte(4096), "bad signature"))
            }
            _ => Ok(()),
        }
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(NodeId(self.node(node)?.parent as u64))
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(Error::corrupt("everything", None, "gone"));
        }
        match &self.node(node)?.content {
            Content::File(source) => Ok(source.clone()),
            Content::Counter => {
                let count = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(Arc::new(MemorySource("x".repeat(usize::try_from(count).unwrap_or(0)).into_bytes())))
            }
            Content::PanicsOnOpen => panic!("an open that panics"),
            Content::Encrypted => Err(Error::unsupported("EFS-encrypted file")),
            _ => Err(Error::invalid("not a file")),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        match &self.node(node)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(Error::invalid("not a link")),
        }
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Namespace for Memory {
    fn is_volatile(&self, node: NodeId) -> bool {
        self.node(node).is_ok_and(|node| matches!(node.content, Content::Counter))
    }
}

impl Streams for Memory {
    fn list_streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        let size = |node: &usize| self.stat(NodeId(*node as u64)).map(|stat| stat.size);
        let streams = self.node(node)?.streams.iter();
        streams.map(|(name, node)| Ok(StreamInfo { name: name.clone(), size: size(node)? })).collect()
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let found = self.node(node)?.streams.iter().find(|(stream, _)| stream.as_name() == name);
        Ok(found.map(|(_, node)| NodeId(*node as u64)))
    }
}

impl Xattrs for Memory {
    fn xattr_names(&self, _: NodeId) -> Result<Vec<String>> {
        Ok(vec!["system.ntfs_attrib".into()])
    }

    fn xattr(&self, _: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        Ok((name == "system.ntfs_attrib").then(|| vec![0x20, 0, 0, 0]))
    }
}

impl Space for Memory {
    fn usage(&self) -> Result<Usage> {
        Ok(Usage { cluster_size: 4096, total: 1 << 30, free: 1 << 29 })
    }

    fn free_ranges(&self, _: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}
