//! Generated volumes: the memory that reading and examining them takes is bounded by what they store.

use vhdmount::testing::{Work, bodies, seeded};

use crate::support::mutate::peak_of;

#[test]
fn memory_is_bounded_by_what_is_stored() {
    let ntfs: fn(&[u8]) -> Work = bodies::ntfs_tree;
    let targets = [("NTFS", ntfs), ("FAT", bodies::fat_tree), ("chain", bodies::container_chain)];
    for (name, body) in targets {
        let mut most = (0, 0);
        for seed in 0..200 {
            let (work, peak) = peak_of(|| body(&seeded(1000 + seed, 500)));
            work.allows_memory(peak);
            most = most.max((peak, work.stored));
        }
        println!("{name}: at most {} bytes of memory, for {} stored", most.0, most.1);
    }
}
