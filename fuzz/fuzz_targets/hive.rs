//! Registry hives: every key of three levels, and every value of theirs, what was deleted, and all of it as a `.reg` file. Further files that begin with `regf` on
//! a 512-byte boundary behind the first hive bin are its logs: a hive and its logs, one after the other, are a seed.
#![no_main]
use std::{ops::ControlFlow, sync::Arc};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    registry::{Hive, Key, RegFile},
};

/// Length of the longest cell.
const MAX_CELL: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    let mut ends: Vec<usize> =
        (8192..data.len()).step_by(512).filter(|at| data[*at..].starts_with(b"regf")).take(3).collect();
    ends.push(data.len());
    let source = |bytes: &[u8]| -> Arc<dyn ByteSource> { Arc::new(MemorySource(bytes.to_vec())) };
    let logs: Vec<_> = ends.windows(2).map(|ends| source(&data[ends[0]..ends[1]])).collect();
    let Ok(hive) = Hive::open_with_logs(source(&data[..ends[0]]), &logs) else { return };
    let mut deleted = 0;
    let _ = hive.each_deleted(&mut |_| {
        deleted += 1;
        if deleted < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let Ok(root) = hive.root() else { return };
    let _ = (hive.replay().to_string(), hive.subkey(&root, "MountedDevices"));
    let mut visited = 0;
    walk(&hive, &root, 2, &mut visited);
    export(&hive, &root);
});

/// As `reg export` does: every line is one that the file has, none of the hive's own.
fn export(hive: &Hive, root: &Key) {
    let (mut file, mut keys) = (RegFile::default(), 0);
    let _ = hive.walk(root, &mut |path, key| {
        if let Ok(key) = key {
            let _ = file.key(path);
            let _ = hive.each_value(key, 64, &mut |value| {
                let _ = value.map(|value| (file.value(&value), value.to_text("\\0")));
            });
        }
        keys += 1;
        if keys < 300 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let bytes = file.take();
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    for line in units[1..].split(|unit| *unit == u16::from(b'\n')) {
        let start = line.first().and_then(|unit| u8::try_from(*unit).ok());
        assert!(line.is_empty() || matches!(start, Some(b'W' | b'[' | b'"' | b'@' | b' ' | b'\r')));
    }
}

fn walk(hive: &Hive, key: &Key, depth: u32, visited: &mut usize) {
    let _ = (hive.class(key), hive.security(key));
    let _ = hive.each_value(key, 64, &mut |value| {
        let _ = value.map(|value| assert!(value.data.len() <= MAX_CELL));
    });
    let _ = hive.each_subkey(key, &mut |subkey| {
        *visited += 1;
        // Lists may name the same key again and again.
        if let (Ok(subkey), true, true) = (subkey, depth > 0, *visited < 1000) {
            walk(hive, &subkey, depth - 1, visited);
        }
    });
}
