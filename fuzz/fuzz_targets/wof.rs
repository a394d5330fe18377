//! A stream `WofCompressedData` of any content for a file of any size: no panic, no memory that the size asks for, and
//! the same answer when asked again.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    cache::Cache,
    fs::ntfs::{content::wof::WofSource, reparse::WofAlgorithm},
};

fuzz_target!(|data: &[u8]| {
    let Some(([kind, size @ ..], stream)) = data.split_first_chunk::<9>() else { return };
    let algorithms =
        [WofAlgorithm::Xpress4K, WofAlgorithm::Xpress8K, WofAlgorithm::Xpress16K, WofAlgorithm::Lzx];
    let algorithm = algorithms[usize::from(kind & 3)];
    let size = u64::from_le_bytes(*size);
    // Mostly sizes for which such a short stream can have a table.
    let size = if kind & 0xfc == 0 { size } else { size % (1 << 22) };
    let cache = Arc::new(Cache::new(1 << 20));
    let stream = Arc::new(MemorySource(stream.to_vec()));
    let Ok(source) = WofSource::new(stream, algorithm, size, cache, 1) else { return };
    let mut first = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(100_000)];
    let mut second = vec![0xff; first.len()];
    for at in [0, size / 2, size - first.len() as u64] {
        let at = at.min(size - first.len() as u64);
        let read = source.read_exact_at(at, &mut first);
        assert_eq!(read.is_ok(), source.read_exact_at(at, &mut second).is_ok());
        assert!(read.is_err() || first == second);
        // A part goes through the cache.
        if let (Ok(()), [middle @ .., _]) = (&read, &first[..]) {
            let mut part = vec![0; middle.len().min(777)];
            for _ in 0..2 {
                source.read_exact_at(at, &mut part).unwrap();
                assert!(part == middle[..part.len()]);
            }
        }
        let _ = source.extent_at(at);
    }
});
