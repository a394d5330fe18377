//! A WIM file, opened and read; and the list by which Windows finds one.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    cache::Cache,
    fs::{ntfs::content::wim_overlay, wim::Wim},
};

fuzz_target!(|data: &[u8]| {
    let _ = wim_overlay::find(data, 0);
    let Ok(wim) = Wim::open(Arc::new(MemorySource(data.to_vec()))) else { return };
    let cache = Arc::new(Cache::new(1 << 20));
    let table = usize::try_from(wim.header().blob_table.offset).unwrap_or(usize::MAX);
    let entries = data.get(table..).unwrap_or_default().chunks_exact(50);
    for (number, entry) in (0..).zip(entries.take(8)) {
        let hash = entry[30..].try_into().expect("20 bytes");
        let Ok(Some(blob)) = wim.blob(&hash, cache.clone(), number) else { continue };
        let mut buf = vec![0; 70_000];
        let take = usize::try_from(blob.size()).unwrap_or(usize::MAX).min(buf.len());
        let _ = blob.read_exact_at(0, &mut buf[..take]);
        let _ = blob.read_exact_at(blob.size() - take as u64, &mut buf[..take]);
        let _ = blob.read_exact_at(blob.size() / 2, &mut buf[..take / 2]);
    }
});
