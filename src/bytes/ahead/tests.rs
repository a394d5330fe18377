use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    Error,
    bytes::{MemorySource, testing::Faulty},
};

const UNIT: u64 = 4096;
const PIECE: u64 = 16384;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251).to_le_bytes()[0] ^ (i >> 12).to_le_bytes()[0]).collect()
}

/// Counts reads, and panics at one byte.
struct Probe {
    inner: MemorySource,
    reads: AtomicU64,
    furthest: AtomicU64,
    panics_at: u64,
}

impl ByteSource for Probe {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset + buf.len() as u64;
        assert!(!(offset..end).contains(&self.panics_at), "a decoder that panics");
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.furthest.fetch_max(end, Ordering::SeqCst);
        self.inner.read_exact_at(offset, buf)
    }
}

fn probe(len: usize, panics_at: u64) -> Arc<Probe> {
    let (reads, furthest) = (AtomicU64::new(0), AtomicU64::new(0));
    Arc::new(Probe { inner: MemorySource(content(len)), reads, furthest, panics_at })
}

fn read(source: &dyn ByteSource, offset: usize, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0xee; len];
    source.read_exact_at(offset as u64, &mut buf).map(|()| buf)
}

/// Waits until a background thread has reached a state.
fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        thread::yield_now();
    }
}

/// Reads everything in several ways at once and compares.
fn read_in_all_ways(source: &dyn ByteSource, expected: &[u8], ways: usize) {
    thread::scope(|scope| {
        for way in 0..ways {
            scope.spawn(move || {
                let step = [5000, 65_536, 131_072, 1 << 20, 3 << 20, 16_384][way % 6];
                let mut starts: Vec<usize> = (0..expected.len()).step_by(step).collect();
                match way / 6 {
                    0 => {}
                    // As a host's parallel requests, which arrive out of order.
                    1 => starts.chunks_mut(2).for_each(<[usize]>::reverse),
                    // At random positions, and only some of the file.
                    _ => starts.sort_by_key(|start| start.wrapping_mul(0x9e37_79b9) % 1013),
                }
                for start in starts {
                    let len = step.min(expected.len() - start);
                    let found = read(source, start, len).unwrap();
                    assert!(found == expected[start..start + len], "{way}: {start} {len}");
                }
            });
        }
    });
}

#[test]
fn every_mix_of_readers_gets_the_same_bytes() {
    let bytes = content((9 << 20) + 777);
    for threads in [1, 2, 5] {
        let decoders = Arc::new(Decoders::new(threads));
        let inner: Arc<dyn ByteSource> = Arc::new(MemorySource(bytes.clone()));
        let source = DecodeAhead::over(inner, UNIT, PIECE, &decoders);
        for ways in [1, 18] {
            read_in_all_ways(&*source, &bytes, ways);
        }
        // A decoding source around another decoding source.
        let nested = DecodeAhead::over(source, 3 * UNIT, 5 * UNIT, &decoders);
        read_in_all_ways(&*nested, &bytes, 18);
        drop(nested);
        until("memory is given back", || decoders.memory() == 0);
    }
}

#[test]
fn pieces_of_one_read_and_those_behind_it_are_decoded_by_others() {
    let decoders = Arc::new(Decoders::new(3));
    let inner = probe(8 << 20, u64::MAX);
    let source = DecodeAhead::over(inner.clone(), UNIT, PIECE, &decoders);
    read(&*source, 0, 1 << 20).unwrap();
    assert_eq!(inner.reads.load(Ordering::SeqCst), (1 << 20) / PIECE);
    assert_eq!(inner.furthest.load(Ordering::SeqCst), 1 << 20);
    for start in (1 << 20..3 << 20).step_by(1 << 16) {
        read(&*source, start, 1 << 16).unwrap();
    }
    let lead = decoders.longest_lead() * PIECE;
    // The last piece may be decoded before those ahead of it, as several threads are at it.
    let pieces = ((3 << 20) + lead) / PIECE;
    until("what comes behind is decoded", || inner.reads.load(Ordering::SeqCst) >= pieces);
    drop(source);
    until("memory is given back", || decoders.memory() == 0);
    // Each piece once, and nothing beyond them.
    assert_eq!(inner.reads.load(Ordering::SeqCst), pieces);
    assert_eq!(inner.furthest.load(Ordering::SeqCst), (3 << 20) + lead);
}

#[test]
fn small_reads_at_random_positions_go_straight_to_the_source() {
    let decoders = Arc::new(Decoders::new(3));
    let inner = probe(8 << 20, u64::MAX);
    let source = DecodeAhead::over(inner.clone(), UNIT, PIECE, &decoders);
    for index in 0..100 {
        read(&*source, index * 79_777 % (8 << 20), 3000).unwrap();
    }
    assert_eq!((inner.reads.load(Ordering::SeqCst), decoders.memory()), (100, 0));
    assert!(decoders.are_idle());
}

#[test]
fn nothing_is_put_around_what_cannot_be_split() {
    let several = Arc::new(Decoders::new(3));
    let same = |len: usize, unit: u64, decoders: &Arc<Decoders>| {
        let inner: Arc<dyn ByteSource> = Arc::new(MemorySource(vec![0; len]));
        Arc::ptr_eq(&DecodeAhead::over(inner.clone(), unit, PIECE, decoders), &inner)
    };
    assert!(same(16384, UNIT, &several) && !same(16385, UNIT, &several));
    assert!(same(1 << 20, 1 << 18, &several));
    assert!(same(1 << 20, UNIT, &Arc::new(Decoders::new(1))));
}

#[test]
fn a_damaged_unit_fails_only_reads_of_itself() {
    let bytes = content(4 << 20);
    let bad = (1 << 20) + 100..(1 << 20) + 101;
    let decoders = Arc::new(Decoders::new(4));
    let inner = Arc::new(Faulty::new(Arc::new(MemorySource(bytes.clone())), vec![bad.clone()]));
    let source = DecodeAhead::over(inner, UNIT, PIECE, &decoders);
    for step in [4096, 65_536, 300_000] {
        for start in (0..bytes.len()).step_by(step) {
            let len = step.min(bytes.len() - start);
            let damaged = (start..start + len).contains(&usize::try_from(bad.start).unwrap());
            match read(&*source, start, len) {
                Ok(found) => assert!(!damaged && found == bytes[start..start + len]),
                Err(error) => assert!(damaged && matches!(error, Error::Io { .. }), "{start} {len}: {error}"),
            }
        }
    }
}

#[test]
fn a_panic_is_that_of_the_read_that_asked_for_it() {
    let (decoders, bytes) = (Arc::new(Decoders::new(3)), content(4 << 20));
    let source = DecodeAhead::over(probe(4 << 20, 2 << 20), UNIT, PIECE, &decoders);
    thread::scope(|scope| {
        for step in [8192, 65_536, 131_072, 1 << 20] {
            let (source, bytes) = (&source, &bytes);
            scope.spawn(move || {
                for start in (0..bytes.len()).step_by(step) {
                    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        read(&**source, start, step).unwrap()
                    }));
                    match found {
                        Ok(found) => assert!(found == bytes[start..start + step]),
                        Err(_) => assert!((start..start + step).contains(&(2 << 20)), "{start} {step}"),
                    }
                }
            });
        }
    });
    // The threads have outlived it.
    let other = probe(2 << 20, u64::MAX);
    let source = DecodeAhead::over(other.clone(), UNIT, PIECE, &decoders);
    (0..16).for_each(|index| drop(read(&*source, index << 16, 1 << 16).unwrap()));
    until("pieces are still decoded", || other.furthest.load(Ordering::SeqCst) > 1 << 20);
}

#[test]
fn memory_is_bounded_and_taken_from_readers_that_stopped() {
    let decoders = Arc::new(Decoders::new(4));
    let begin = |probe: &Arc<Probe>| {
        let source = DecodeAhead::over(probe.clone(), UNIT, PIECE, &decoders);
        for start in 0..16 {
            read(&*source, start << 16, 1 << 16).unwrap();
            assert!(decoders.memory() <= 16 << 20);
        }
        source
    };
    let inner = probe(2 << 20, u64::MAX);
    // Each leaves some pieces that are never read.
    let stopped: Vec<_> = (0..40).map(|_| begin(&inner)).collect();
    let probes = probe(2 << 20, u64::MAX);
    until("room is made for a reader", || {
        probes.furthest.store(0, Ordering::SeqCst);
        let source = begin(&probes);
        let begun = Instant::now();
        while probes.furthest.load(Ordering::SeqCst) <= 1 << 20 && begun.elapsed() < Duration::from_millis(50)
        {
            thread::yield_now();
        }
        drop(source);
        probes.furthest.load(Ordering::SeqCst) > 1 << 20
    });
    drop(stopped);
    until("memory is given back", || decoders.memory() == 0);
}

#[test]
fn threads_start_with_the_first_piece_and_end_with_their_last_user() {
    let decoders = Arc::new(Decoders::new(3));
    let inner = probe(8 << 20, u64::MAX);
    let source = DecodeAhead::over(inner, UNIT, PIECE, &decoders);
    let shared = decoders.watch();
    assert_eq!(shared.strong_count(), 1);
    read(&*source, 0, 4 << 20).unwrap();
    assert!(shared.strong_count() >= 4);
    drop((source, decoders));
    // A piece that is being decoded may hold the last reference: then its thread ends after it.
    until("all have ended", || shared.strong_count() == 0);
}
