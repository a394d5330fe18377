//! The demo disk in memory, accessed through the tree: a name in a directory, a whole directory, a path.

use std::{io::Read, ops::ControlFlow, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use vhdmount::{
    bytes::MemorySource,
    fs::{DirCursor, FileSystem, Name, NameBuf, NodeId},
    image::{Image, OpenOptions},
    tree::{Resolver, Tree},
};

use crate::Ring;

const PACKED: &[u8] = include_bytes!("../../demo/demo.vhdx.gz");
/// A directory of 90 files, in several index blocks.
const DRIVERS: &str = "p3/Windows/System32/drivers";

pub(crate) fn demo() -> Tree {
    let mut image = Vec::new();
    flate2::read::GzDecoder::new(PACKED).read_to_end(&mut image).expect("the demo disk unpacks");
    let image =
        Image::open_source(Arc::new(MemorySource(image)), &OpenOptions::default()).expect("a sound disk");
    image.tree(None).expect("a sound disk")
}

fn find(tree: &Tree, path: &str) -> NodeId {
    Resolver::new(tree).resolve(path.as_bytes(), true).expect("on the demo disk").node
}

fn names(tree: &Tree, directory: NodeId) -> Vec<(NameBuf, NodeId)> {
    let mut names = Vec::new();
    tree.read_dir(directory, DirCursor::default(), &mut |entry| {
        names.push((entry.name.to_owned(), entry.node));
        ControlFlow::Continue(())
    })
    .expect("a sound directory");
    names
}

/// Looks up a name in a directory of 90.
#[divan::bench(sample_size = 1000)]
fn index_lookup(bencher: Bencher<'_, '_>) {
    let tree = demo();
    let directory = find(&tree, DRIVERS);
    let mut names = Ring::new(names(&tree, directory));
    bencher.bench_local(|| {
        let (name, node) = names.next();
        let found = tree.lookup(directory, Name(&name.0)).expect("a sound directory");
        assert_eq!(found, Some(*node));
    });
}

/// Looks up missing names, the most frequent lookups of shells and Windows programs.
#[divan::bench(sample_size = 1000)]
fn index_lookup_absent(bencher: Bencher<'_, '_>) {
    let tree = demo();
    let directory = find(&tree, DRIVERS);
    let mut absent = names(&tree, directory);
    absent.iter_mut().for_each(|(name, _)| name.0.push(u16::from(b'~')));
    let mut absent = Ring::new(absent);
    bencher.bench_local(|| tree.lookup(directory, Name(&absent.next().0.0)).expect("a sound directory"));
}

/// Size, times and kind of a file: its record, from the record cache.
#[divan::bench(sample_size = 1000)]
fn stat(bencher: Bencher<'_, '_>) {
    let tree = demo();
    let mut nodes = Ring::new(names(&tree, find(&tree, DRIVERS)));
    bencher.bench_local(|| tree.stat(nodes.next().1).expect("a sound file").size);
}

/// The requests of `ls -l` for a directory with 90 files: all names, and `stat` of each.
#[divan::bench(sample_size = 100)]
fn directory_with_stat(bencher: Bencher<'_, '_>) {
    let tree = demo();
    let directory = find(&tree, DRIVERS);
    let count = names(&tree, directory).len();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut sizes = 0;
        tree.read_dir(directory, DirCursor::default(), &mut |entry| {
            sizes += tree.stat(entry.node).expect("a sound file").size;
            ControlFlow::Continue(())
        })
        .expect("a sound directory");
        sizes
    });
}

/// Resolves a path of six names from the mount's root.
#[divan::bench(sample_size = 100)]
fn path(bencher: Bencher<'_, '_>) {
    let tree = demo();
    let name = names(&tree, find(&tree, DRIVERS)).pop().expect("not empty").0;
    let path = format!("{DRIVERS}/{}", String::from_utf16_lossy(&name.0));
    bencher.bench_local(|| find(&tree, &path));
}
