use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{
    bytes::{
        MemorySource,
        testing::Faulty,
        wrapper::tests::{Below, check_hints},
    },
    cache::Cache,
    codec::{tests::tokens, xpress::tests::encode},
};

const CHUNK: usize = 4096;

/// The content of some chunks, and its stream: each third chunk is raw, the last one short.
fn sample(chunks: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut content, mut stored, mut table) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..chunks {
        let len = if index + 1 == chunks { 1234 } else { CHUNK };
        let (tokens, bytes) = tokens(index as u64, len, 3, 3000);
        if index > 0 {
            table.extend(u32::try_from(stored.len()).unwrap().to_le_bytes());
        }
        let packed = encode(&tokens);
        stored.extend(if index % 3 == 1 || packed.len() >= len { &bytes } else { &packed });
        content.extend(bytes);
    }
    (content, [table, stored].concat())
}

fn source_of(stream: Arc<dyn ByteSource>, size: u64) -> Result<WofSource> {
    WofSource::new(stream, WofAlgorithm::Xpress4K, size, Arc::new(Cache::new(1 << 20)), 7)
}

fn source(stream: Vec<u8>, size: usize) -> Result<WofSource> {
    source_of(Arc::new(MemorySource(stream)), size as u64)
}

fn read(source: &WofSource, offset: usize, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0xee; len];
    source.read_exact_at(offset as u64, &mut buf).map(|()| buf)
}

#[test]
fn any_range_is_read() {
    let (content, stream) = sample(150);
    let source = source(stream, content.len()).unwrap();
    let sizes = [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 70 * CHUNK + 5, content.len()];
    for round in 0..2 {
        for len in sizes {
            for start in [0, 1, CHUNK - 1, CHUNK, 5 * CHUNK + 100, 64 * CHUNK, content.len() - len] {
                let start = start.min(content.len() - len);
                assert!(
                    read(&source, start, len).unwrap() == content[start..start + len],
                    "{round}: {start} {len}"
                );
            }
        }
    }
    assert!(read(&source, content.len(), 0).unwrap().is_empty());
    assert!(matches!(read(&source, content.len(), 1), Err(Error::Invalid(_))));
    assert_eq!(source.extent_at(0).unwrap().len, content.len() as u64);
}

/// Counts reads.
struct Counting(MemorySource, AtomicU64);

impl ByteSource for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn chunks_are_read_together_and_kept() {
    let (content, stream) = sample(150);
    let counting = Arc::new(Counting(MemorySource(stream), AtomicU64::new(0)));
    let source = source_of(counting.clone(), content.len() as u64).unwrap();
    let reads = |offset, len| {
        counting.1.store(0, Ordering::Relaxed);
        read(&source, offset, len).unwrap();
        counting.1.load(Ordering::Relaxed)
    };
    // One read for a piece of the table, one for a batch.
    assert_eq!(reads(0, 64 * CHUNK), 2);
    assert_eq!(reads(64 * CHUNK, 64 * CHUNK), 1);
    assert_eq!(reads(0, 32 * CHUNK), 1);
    // Parts of one chunk.
    assert_eq!(reads(9, 100), 1);
    assert_eq!(reads(300, 3000), 0);
}

#[test]
fn a_single_chunk_needs_no_table() {
    for size in [1, 1234, CHUNK] {
        let (tokens, content) = tokens(1, size, 3, 4000);
        let packed = encode(&tokens);
        let stream = if packed.len() < size { packed } else { content.clone() };
        assert!(read(&source(stream, size).unwrap(), 0, size).unwrap() == content);
    }
    assert!(read(&source(Vec::new(), 0).unwrap(), 0, 0).unwrap().is_empty());
}

/// A huge file of raw chunks: each eight bytes hold their position.
struct Huge {
    table: u64,
    chunk: u64,
    size: u64,
}

impl ByteSource for Huge {
    fn size(&self) -> u64 {
        self.table + self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (at, byte) in (offset..).zip(buf) {
            let word = match at.checked_sub(self.table) {
                None => (at / 8 + 1) * self.chunk,
                Some(at) => at / 8,
            };
            let within = (at.wrapping_sub(self.table) % 8).min(7);
            *byte = word.to_le_bytes()[usize::try_from(within).unwrap()];
        }
        Ok(())
    }
}

#[test]
fn files_of_4_gib_and_more_have_long_offsets() {
    let (size, chunk) = ((4 << 30) + 100_000, 32 << 10);
    let stream = Huge { table: (size - 1) / chunk * 8, chunk, size };
    let cache = Arc::new(Cache::new(1 << 20));
    let source = WofSource::new(Arc::new(stream), WofAlgorithm::Lzx, size, cache, 1).unwrap();
    for offset in [0, 8, (4 << 30) - 64, 4 << 30, size - 128] {
        let mut buf = [0; 128];
        source.read_exact_at(offset, &mut buf).unwrap();
        let expected: Vec<u8> = (offset / 8..).take(16).flat_map(u64::to_le_bytes).collect();
        assert_eq!(buf[..], expected, "{offset:#x}");
    }
}

#[test]
fn a_table_longer_than_its_stream_is_refused_whatever_the_size() {
    for size in [5000, u64::MAX, u64::MAX - 1, 1 << 50] {
        let error = source_of(Arc::new(MemorySource(vec![0; 3])), size).err().unwrap();
        assert!(matches!(&error, Error::Corrupt(_)), "{error}");
        assert!(error.to_string().contains("too short for the offsets"), "{error}");
    }
}

#[test]
fn damaged_offsets_are_errors_of_their_chunks() {
    let (content, good) = sample(10);
    let damaged = |entry: usize, value: u32| {
        let mut stream = good.clone();
        stream[4 * entry..4 * entry + 4].copy_from_slice(&value.to_le_bytes());
        source(stream, content.len()).unwrap()
    };
    let entry = |at: usize| u32::from_le_bytes(*good[4 * at..].first_chunk().unwrap());
    for (value, text) in [
        (u32::MAX, "beyond the end of the stream"),
        (0, "ends before it begins"),
        (entry(3), "0 bytes are stored"),
        (entry(5) + 4096, "bytes are stored for 4096"),
    ] {
        // The start of chunk 5, and the end of chunk 4.
        let source = damaged(4, value);
        let both = [4, 5].map(|chunk| read(&source, chunk * CHUNK, 10));
        let errors: Vec<String> =
            both.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        assert!(errors.iter().any(|error| error.contains(text)), "{text}: {errors:?}");
        assert!(read(&source, 0, 4 * CHUNK).unwrap() == content[..4 * CHUNK]);
        let rest = 6 * CHUNK;
        assert!(read(&source, rest, content.len() - rest).unwrap() == content[rest..]);
    }
}

#[test]
fn damaged_chunks_are_errors_that_name_them() {
    let (content, mut stream) = sample(4);
    // The code lengths of the first chunk.
    stream[12..12 + 256].fill(0x11);
    let source = source(stream, content.len()).unwrap();
    for (offset, len) in [(0, 1), (0, CHUNK), (CHUNK - 1, 2)] {
        let error = read(&source, offset, len).unwrap_err().to_string();
        assert!(error.contains("chunk 0, Xpress4K") && error.contains("too many words"), "{error}");
    }
    assert!(read(&source, CHUNK, content.len() - CHUNK).unwrap() == content[CHUNK..]);
}

#[test]
fn a_failed_read_is_not_cached() {
    let (content, stream) = sample(10);
    let bad = std::iter::once(0..20).collect();
    let source =
        source_of(Arc::new(Faulty::new(Arc::new(MemorySource(stream)), bad)), content.len() as u64).unwrap();
    assert!(matches!(read(&source, 10, 10), Err(Error::Io { .. })));
    assert!(source.cache.get(&(7, 0)).is_none() && source.cache.get(&(7, IS_TABLE)).is_none());
}

#[test]
fn memory_and_place_of_the_stream_are_passed_on() {
    let below = Below::new(vec![0; 4096]);
    let cache = Arc::new(Cache::new(1 << 20));
    let source = WofSource::new(below.clone(), WofAlgorithm::Xpress4K, 4096, cache, 1).unwrap();
    check_hints(&below, &source, None);
}
