//! A whole NTFS volume. With `VHDMOUNT_FUZZ_TEMPLATE` set to an image (a few MiB, made by mkntfs) the input is a list of
//! patches to it, in records of 8 bytes: a position (32 bits) and four bytes to put there; else it is the image itself.
#![no_main]
use std::{
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::MemorySource,
    check::Collector,
    fs::{DirCursor, FileSystem, NodeId, NodeKind, Streams, Xattrs, deleted::View, ntfs},
};

static TEMPLATE: LazyLock<Option<(Vec<u8>, Vec<usize>)>> = LazyLock::new(|| {
    let image = std::fs::read(std::env::var_os("VHDMOUNT_FUZZ_TEMPLATE")?).expect("the template is readable");
    // Positions count through what is not zero: the rest is mostly unused space.
    let used = (0..image.len()).step_by(512).filter(|at| image[*at..*at + 512].iter().any(|byte| *byte != 0));
    let used = used.collect();
    Some((image, used))
});

fuzz_target!(|data: &[u8]| {
    let image = match &*TEMPLATE {
        None => data.to_vec(),
        Some((template, used)) => {
            let mut image = template.clone();
            for patch in data.chunks_exact(8) {
                let at = u32::from_le_bytes(patch[..4].try_into().unwrap()) as usize;
                // The last two bytes of a sector are its update sequence number: changing them tests little.
                let at = used[at / 512 % used.len()] + (at % 512).min(506);
                image[at..at + 4].copy_from_slice(&patch[4..]);
            }
            image
        }
    };
    if let Ok(volume) = ntfs::open(Arc::new(MemorySource(image))) {
        walk(&volume);
        let mut collector = Collector::default();
        vhdmount::fs::check(&volume, &mut collector).expect("damage is a finding");
        // Of each kind a limited number, whatever the volume holds.
        assert!(collector.findings().len() < 10_000);
        (0..16).for_each(|system| open(&volume, NodeId(system), &mut [0; 70_000]));
        walk(&View::new(Arc::new(volume)));
    }
});

fn open(volume: &dyn FileSystem, node: NodeId, buf: &mut [u8]) {
    let Ok(content) = volume.open(node) else { return };
    let size = content.size();
    let take = usize::try_from(size).unwrap_or(usize::MAX).min(buf.len());
    let _ = content.read_exact_at(0, &mut buf[..take]);
    let _ = content.read_exact_at(size - take as u64, &mut buf[..take]);
    let _ = content.extent_at(size / 2);
}

fn walk(volume: &dyn FileSystem) {
    let mut buf = [0; 70_000];
    let mut open = |node| open(volume, node, &mut buf);
    let (mut nodes, mut todo) = (0, vec![(volume.root(), 0)]);
    while let Some((dir, depth)) = todo.pop() {
        let mut children = Vec::new();
        let _ = volume.read_dir(dir, DirCursor(0), &mut |entry| {
            children.push((entry.name.to_owned(), entry.node));
            ControlFlow::Continue(())
        });
        for (name, node) in children {
            nodes += 1;
            if nodes > 2000 {
                return;
            }
            let _ = volume.lookup(dir, name.as_name());
            let _ = volume.parent(node);
            let _ = volume.read_link(node);
            for xattr in volume.xattrs().xattr_names(node).unwrap_or_default() {
                let _ = volume.xattrs().xattr(node, &xattr);
            }
            for stream in volume.streams().list_streams(node).unwrap_or_default() {
                if let Ok(Some(stream)) = volume.streams().lookup_stream(node, stream.name.as_name()) {
                    open(stream);
                }
            }
            match volume.stat(node).map(|stat| stat.kind) {
                Ok(NodeKind::Directory) if depth < 4 => todo.push((node, depth + 1)),
                Ok(_) => open(node),
                Err(_) => {}
            }
        }
    }
    let _ = volume.space().usage();
}
