//! Registry hives: every key of three levels, and every value of theirs, then what was deleted. Further files that begin with `regf` on
//! a 512-byte boundary behind the first hive bin are its logs: a hive and its logs, one after the other, are a seed.
#![no_main]
use std::{ops::ControlFlow, sync::Arc};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    registry::{Hive, Key},
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
});

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
