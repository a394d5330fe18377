//! Registry hives: every key of three levels, and every value of theirs.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::MemorySource,
    registry::{Hive, Key},
};

fuzz_target!(|data: &[u8]| {
    let Ok(hive) = Hive::open(Arc::new(MemorySource(data.to_vec()))) else { return };
    let Ok(root) = hive.root() else { return };
    let _ = (hive.is_dirty(), hive.subkey(&root, "MountedDevices"));
    let mut visited = 0;
    walk(&hive, &root, 2, &mut visited);
});

fn walk(hive: &Hive, key: &Key, depth: u32, visited: &mut usize) {
    let _ = hive.each_value(key, 64, &mut |value| {
        let _ = value.map(|value| assert!(value.data.len() <= 1 << 20));
    });
    let _ = hive.each_subkey(key, &mut |subkey| {
        *visited += 1;
        // Lists may name the same key again and again.
        if let (Ok(subkey), true, true) = (subkey, depth > 0, *visited < 1000) {
            walk(hive, &subkey, depth - 1, visited);
        }
    });
}
