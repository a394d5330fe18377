//! A whole FAT volume: open it, walk a bounded part of its tree, read what is there.
#![no_main]
use std::{ops::ControlFlow, sync::Arc};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::MemorySource,
    check::Collector,
    fs::{DirCursor, FileSystem, NameBuf, NodeId, Xattrs, deleted::View, fat},
};

/// Directories may contain each other; the walk ends here.
const MAX_NODES: usize = 500;

fuzz_target!(|data: &[u8]| {
    let detected = fat::detect(data);
    let Ok(fs) = fat::open(Arc::new(MemorySource(data.to_vec()))) else {
        // Beyond the boot sector nothing makes a volume unopenable.
        assert!(!detected);
        return;
    };
    let _ = (fs.volume(), fs.space().usage());
    let mut collector = Collector::default();
    vhdmount::fs::check(&fs, &mut collector).expect("damage is a finding");
    assert!(collector.findings().len() < 10_000);
    walk(&fs);
    walk(&View::new(Arc::new(fs)));
});

fn walk(fs: &dyn FileSystem) {
    let mut todo = vec![fs.root()];
    let mut seen = 0;
    while let Some(node) = todo.pop() {
        let mut names: Vec<(NameBuf, NodeId)> = Vec::new();
        let _ = fs.read_dir(node, DirCursor::default(), &mut |entry| {
            names.push((entry.name.to_owned(), entry.node));
            seen += 1;
            if seen < MAX_NODES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let _ = (fs.stat(node), fs.parent(node));
        for name in fs.xattrs().xattr_names(node).unwrap_or_default() {
            let _ = fs.xattrs().xattr(node, &name);
        }
        if let Some((name, _)) = names.first() {
            let _ = fs.lookup(node, name.as_name());
        }
        for (_, child) in &names {
            let Ok(file) = fs.open(*child) else { continue };
            let mut buf = [0; 3000];
            let len = usize::try_from(file.size()).unwrap_or(usize::MAX).min(buf.len());
            let _ = file.read_exact_at(0, &mut buf[..len]);
            let _ = file.read_exact_at(file.size() - len as u64, &mut buf[..len]);
        }
        if seen < MAX_NODES {
            todo.extend(names.iter().map(|(_, node)| *node));
        }
    }
}
