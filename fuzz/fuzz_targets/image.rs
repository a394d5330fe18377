//! A whole image: container, partition table, every volume, a bounded walk, and reads of what is found.
#![no_main]

use std::{ops::ControlFlow, sync::Arc};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    container,
    fs::{DirCursor, FileSystem, NodeId, NodeKind, Streams, Xattrs, probe::Probe},
    image::{Image, OpenOptions},
    map::{Map, Style},
};

/// A walk ends here: cycles are the library's business only where it walks itself.
const MAX_ENTRIES: usize = 256;

fuzz_target!(|data: &[u8]| {
    let container = container::OpenOptions { replay: true, ..container::OpenOptions::default() };
    let mut fs = vhdmount::fs::Options::default();
    (fs.show_system, fs.list_deleted) = (true, true);
    let options = OpenOptions { container, fs, ..OpenOptions::default() };
    let Ok(image) = Image::open_source(Arc::new(MemorySource(data.to_vec())), &options) else { return };
    read(&**image.disk());
    for (_, probe) in image.partitions() {
        if let Probe::Readable(fs) = probe {
            walk(&**fs);
        }
    }
    let _ = vhdmount::json::to_text(&image.info());
    draw(&image);
    // The tree resolves links, which a volume by itself does not.
    if let Ok(tree) = image.tree(None) {
        walk(&tree);
    }
});

/// The survey of the disk, as text and as a picture.
fn draw(image: &Image) {
    let Ok(map) = Map::of(image, 64) else { return };
    let size = image.disk().size();
    assert_eq!(map.disk.cells().iter().map(|cell| cell.size()).sum::<u64>(), size);
    assert!(map.line.is_none_or(|line| line < size));
    let _ = (map.to_text(Style { width: 72, colour: false }), map.draw("now").to_svg());
}

fn walk(fs: &dyn FileSystem) {
    let _ = (fs.volume(), fs.space().usage());
    let mut ranges = 0;
    let _ = fs.space().free_ranges(&mut |range| {
        assert!(range.start < range.end);
        ranges += 1;
        if ranges < MAX_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let mut pending = vec![fs.root()];
    let mut next = 0;
    while let Some(&node) = pending.get(next) {
        next += 1;
        visit(fs, node);
        let mut found = Vec::new();
        let _ = fs.read_dir(node, DirCursor::default(), &mut |entry| {
            let _ = fs.lookup(node, entry.name);
            found.push(entry.node);
            if pending.len() + found.len() < MAX_ENTRIES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        pending.extend(found);
    }
}

fn visit(fs: &dyn FileSystem, node: NodeId) {
    let _ = fs.parent(node);
    for stream in fs.streams().list_streams(node).unwrap_or_default().iter().take(4) {
        if let Ok(Some(stream)) = fs.streams().lookup_stream(node, stream.name.as_name()) {
            let _ = fs.open(stream).map(|content| read(&*content));
        }
    }
    for name in fs.xattrs().xattr_names(node).unwrap_or_default() {
        let _ = fs.xattrs().xattr(node, &name);
    }
    match fs.stat(node).map(|stat| stat.kind) {
        Ok(NodeKind::Symlink) => drop(fs.read_link(node).map(|target| target.to_text())),
        Ok(NodeKind::File) => drop(fs.open(node).map(|content| read(&*content))),
        _ => {}
    }
}

/// The two ends of a source, and how they are stored.
fn read(source: &dyn ByteSource) {
    let mut buf = [0; 8192];
    let len = usize::try_from(source.size()).unwrap_or(usize::MAX).min(buf.len());
    for at in [0, source.size() - len as u64] {
        let _ = source.read_exact_at(at, &mut buf[..len]);
        if let Ok(extent) = source.extent_at(at) {
            assert!(extent.len <= source.size() - at);
        }
    }
}
