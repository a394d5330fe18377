//! Index nodes, their entries, reparse points, entries of `$SII` and `$SDS`: no input panics or loops.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::fs::ntfs::{
    attributes::file_name::MAX_NAME,
    index::{Entries, IndexBlock, IndexRoot},
    reparse::Reparse,
    security,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(root) = IndexRoot::parse(data) {
        walk(data, root.entries());
        walk(data, root.entries_from(data.len() / 2));
    }
    if let Ok(block) = IndexBlock::parse(data) {
        walk(data, block.entries());
    }
    let _ = Reparse::parse(data);
    security::entries(data, 0, &mut |location| assert!(location.offset < data.len() as u64));
});

fn walk(data: &[u8], entries: Entries<'_>) {
    let mut end = 0;
    for entry in entries.flatten() {
        assert!(entry.offset >= end && entry.next > entry.offset && entry.next <= data.len());
        end = entry.next;
        if let Ok(name) = entry.file_name() {
            assert!(name.name(&mut [0; MAX_NAME]).len() == name.units().len());
        }
        let _ = (security::parse_key(entry.key), entry.data().and_then(security::Location::parse));
    }
}
