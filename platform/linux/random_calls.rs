//! The kernel's requests in any order, from several threads, on a generated tree: for the tests of the adapter and its fuzz
//! target. What the adapter answers is compared with the tree itself.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    sync::{Arc, Mutex, PoisonError},
};

use fuser::{INodeNo, OpenFlags};
use vhdmount::{
    fs::{FileSystem, NodeId, NodeKind},
    testing::{Input, requests},
    tree::{Namespace, Tree},
};

use super::{
    Streams,
    adapter::{Adapter, Settings},
    attr::Ownership,
    directory::Listing,
};

/// Nodes and names that are remembered.
const MAX_KNOWN: usize = 500;

/// A mount without a kernel.
struct Mounted {
    adapter: Adapter,
    tree: Arc<Tree>,
    known: Mutex<Known>,
}

/// What earlier answers named.
struct Known {
    nodes: Vec<u64>,
    /// Names with their directories.
    names: Vec<(u64, Vec<u8>)>,
}

/// Runs requests chosen by `data`.
///
/// # Panics
/// When an answer is wrong, or a request panics.
pub(crate) fn run(data: &[u8]) {
    let prepare = |tree: Tree, input: &mut Input<'_>| {
        let tree = Arc::new(tree);
        let settings = Settings {
            ownership: Ownership { uid: 0, gid: 0, fmask: 0, dmask: 0 },
            wsl_metadata: input.once_in(2),
            streams: input.pick(&[Streams::Xattr, Streams::Windows, Streams::None]),
            direct_io: false,
            server_pid: None,
        };
        let adapter = Adapter::new(tree.clone(), settings, None);
        let known = Mutex::new(Known { nodes: vec![tree.root().0], names: Vec::new() });
        Mounted { adapter, tree, known }
    };
    requests::run(data, prepare, request);
}

/// Collects a listing; full after some entries, as the kernel's buffer is.
struct Collected<'a> {
    known: &'a Mutex<Known>,
    directory: u64,
    room: usize,
    with_attributes: bool,
    next: Option<u64>,
}

impl Listing for Collected<'_> {
    fn add(&mut self, node: NodeId, offset: u64, _: NodeKind, name: &OsStr) -> bool {
        if self.room == 0 {
            return true;
        }
        self.room -= 1;
        assert!(self.next.is_none_or(|last| offset > last), "an offset that does not grow");
        self.next = Some(offset);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.nodes.len() < MAX_KNOWN && name != "." && name != ".." {
            known.nodes.push(node.0);
            known.names.push((self.directory, name.as_bytes().to_vec()));
        }
        false
    }

    fn with_attributes(&self) -> bool {
        self.with_attributes
    }
}

/// Makes one request.
fn request(mounted: &Mounted, input: &mut Input<'_>, sound: bool) {
    let Mounted { adapter, tree, known } = mounted;
    let (node, name) = {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let node = known.nodes[usize::from(input.word()) % known.nodes.len()];
        let name = known.names.get(usize::from(input.byte()) % known.names.len().max(1)).cloned();
        (node, name)
    };
    let ino = INodeNo(node);
    match input.below(12) {
        0..=2 => {
            let mut from = 0;
            // As a program lists a directory: in pieces, to the end.
            for _ in 0..30 {
                let room = 1 + input.below(20);
                let (directory, with_attributes) = (node, room > 10);
                let mut listing = Collected { known, directory, room, with_attributes, next: None };
                let errno = adapter.list(ino, from, &mut listing);
                match listing.next {
                    Some(next) if errno.is_none() => from = next,
                    _ => break,
                }
            }
        }
        3 | 4 => {
            if let Some((directory, name)) = name {
                let found = adapter.find(INodeNo(directory), &name);
                let is_found = found.as_ref().is_ok_and(Option::is_some);
                assert!(!sound || is_found, "{:?} is listed", String::from_utf8_lossy(&name));
            }
        }
        5 => {
            let stat = adapter.stat(ino).map(|(attr, _)| attr.size);
            assert!(!sound || stat.is_ok(), "no attributes of node {node:#x}");
        }
        6..=8 => {
            let (offset, size) = (u64::from(input.word()) * 7, u32::from(input.word()) * 3);
            let expected = tree.open(NodeId(node)).and_then(|source| {
                let left = source.size().saturating_sub(offset).min(size.into());
                let mut bytes = vec![0; usize::try_from(left).expect("a request")];
                // Beyond the end nothing is read, whatever state the content is in.
                match left {
                    0 => Ok(bytes),
                    _ => source.read_exact_at(offset, &mut bytes).map(|()| bytes),
                }
            });
            adapter.read_into(ino, offset, size, |read| match (read, expected) {
                _ if tree.is_volatile(NodeId(node)) => {}
                (Ok(read), Ok(expected)) => assert!(read == expected, "node {node:#x} at {offset}"),
                (read, expected) => assert_eq!(read.is_ok(), expected.is_ok(), "node {node:#x} at {offset}"),
            });
        }
        9 => {
            let _ = adapter.read_link(ino);
            let _ = adapter.usage(ino);
        }
        10 => {
            let names = adapter.xattr_names(ino).unwrap_or_default();
            for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).take(8) {
                let _ = adapter.xattr(ino, OsStr::from_bytes(name));
            }
        }
        _ => {
            let whence = 3 + i32::from(input.byte() & 1);
            if let Ok(found) = adapter.seek(ino, i64::from(input.word()), whence) {
                assert!(found >= 0);
            }
            let _ = adapter.open_file(ino, OpenFlags(0));
            adapter.forget(ino);
        }
    }
}

#[cfg(test)]
#[test]
fn random_requests_on_generated_trees() {
    (0..300).for_each(|seed| run(&vhdmount::testing::seeded(seed, 900)));
}
