//! Reads a file in order, with several threads reading ahead while the caller writes: reading, decoding and writing
//! overlap. Guards: at most as many pieces are in memory as there are buffers, and a reader takes the next piece only
//! with a buffer in hand, so that the piece that the writer waits for always has one.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use vhdmount::{Error, Result, bytes::ByteSource};

/// Bytes read at once: small enough for a processor's own cache, large enough that the cost of calls is negligible.
const PIECE: usize = 512 << 10;
/// Granularity in bytes at which the unreadable part of a piece is located: no disk fails for less.
const SECTOR: usize = 512;
/// Most reader threads; more would only wait for the writer.
const MAX_READERS: usize = 4;
/// Buffers per reader: one being read, the others waiting or being written.
const PIECES: usize = 3;

/// A piece's number and content, or why it cannot be read.
type Read = (u64, Result<Vec<u8>>);

/// Calls `write` with each piece of `source`, in order, until `write` fails.
///
/// # Errors
/// When a piece cannot be read; the bytes before the bad sector were written.
pub(super) fn read<E>(
    source: &dyn ByteSource,
    mut write: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> Result<std::result::Result<(), E>> {
    let pieces = source.size().div_ceil(PIECE as u64);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let readers = cores.min(MAX_READERS).min(usize::try_from(pieces).unwrap_or(usize::MAX));
    if readers < 2 {
        return alone(source, write);
    }
    let (free, taken) = channel();
    for _ in 0..readers * PIECES {
        free.send(Vec::new()).expect("the receiver is here");
    }
    let (taken, next) = (Mutex::new(taken), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (done, read) = channel();
        for _ in 0..readers {
            let (done, taken, next) = (done.clone(), &taken, &next);
            scope.spawn(move || ahead(source, taken, next, pieces, &done));
        }
        drop(done);
        // Dropped at the end of this block, which ends the readers.
        let free: Sender<Vec<u8>> = free;
        let mut early: BTreeMap<u64, Result<Vec<u8>>> = BTreeMap::new();
        for number in 0..pieces {
            let piece = loop {
                match early.remove(&number) {
                    Some(Ok(piece)) => break piece,
                    Some(Err(error)) => return before_error(source, number, error, &mut write),
                    None => {
                        let (number, piece): Read = read.recv().expect("a reader has the piece");
                        early.insert(number, piece);
                    }
                }
            };
            if let Err(error) = write(&piece) {
                return Ok(Err(error));
            }
            // At the end no reader is left to receive it.
            let _ = free.send(piece);
        }
        Ok(Ok(()))
    })
}

fn ahead(
    source: &dyn ByteSource,
    buffers: &Mutex<Receiver<Vec<u8>>>,
    next: &AtomicU64,
    pieces: u64,
    done: &Sender<Read>,
) {
    loop {
        let (mut buffer, number) = {
            let buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
            if next.load(Ordering::Relaxed) >= pieces {
                return;
            }
            let Ok(buffer) = buffers.recv() else { return };
            (buffer, next.fetch_add(1, Ordering::Relaxed))
        };
        if number >= pieces {
            return;
        }
        let read = fill(source, number, &mut buffer).map(|()| buffer);
        if done.send((number, read)).is_err() {
            return;
        }
    }
}

fn fill(source: &dyn ByteSource, number: u64, buffer: &mut Vec<u8>) -> Result<()> {
    let offset = number * PIECE as u64;
    let len = usize::try_from(source.size() - offset).map_or(PIECE, |rest| rest.min(PIECE));
    buffer.resize(len, 0);
    source.read_exact_at(offset, buffer)
}

/// Writes the part of a piece before its first unreadable sector.
fn before_error<E>(
    source: &dyn ByteSource,
    number: u64,
    error: Error,
    write: &mut impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> Result<std::result::Result<(), E>> {
    let offset = number * PIECE as u64;
    let mut buffer = vec![0; PIECE];
    let (mut good, mut bad) = (0, PIECE / SECTOR);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match source.read_exact_at(offset, &mut buffer[..middle * SECTOR]) {
            Ok(()) => good = middle,
            Err(_) => bad = middle,
        }
    }
    // Read again, since the failed attempt may have changed the buffer.
    if source.read_exact_at(offset, &mut buffer[..good * SECTOR]).is_ok()
        && let Err(error) = write(&buffer[..good * SECTOR])
    {
        return Ok(Err(error));
    }
    Err(error)
}

/// Reads without other threads, for small sources.
fn alone<E>(
    source: &dyn ByteSource,
    mut write: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> Result<std::result::Result<(), E>> {
    let mut buffer = Vec::new();
    for number in 0..source.size().div_ceil(PIECE as u64) {
        if let Err(error) = fill(source, number, &mut buffer) {
            return before_error(source, number, error, &mut write);
        }
        if let Err(error) = write(&buffer) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use vhdmount::bytes::{MemorySource, testing::Faulty};

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 1000).to_le_bytes()[0]).collect()
    }

    #[test]
    fn pieces_come_in_order() {
        for len in [0, 1, PIECE, PIECE + 1, 20 * PIECE + 7] {
            let source = MemorySource(bytes(len));
            let mut got = Vec::new();
            read(&source, |piece| -> std::result::Result<(), ()> {
                got.extend_from_slice(piece);
                Ok(())
            })
            .unwrap()
            .unwrap();
            assert!(got == source.0, "{len}");
        }
    }

    #[test]
    fn what_lies_before_a_bad_piece_is_written() {
        let bad = 5 * PIECE as u64 + 3000;
        let source =
            Faulty::new(Arc::new(MemorySource(bytes(40 * PIECE))), vec![bad..bad + 1, bad + 9..bad + 10]);
        let mut written = 0;
        let read = read(&source, |piece| -> std::result::Result<(), ()> {
            written += piece.len();
            Ok(())
        });
        assert!(read.is_err());
        assert_eq!(written, 5 * PIECE + 5 * SECTOR);
    }

    #[test]
    fn a_writer_that_fails_ends_it() {
        let source = MemorySource(bytes(40 * PIECE));
        let mut calls = 0;
        let ended = read(&source, |_| {
            calls += 1;
            if calls == 3 { Err("full") } else { Ok(()) }
        });
        assert_eq!((ended.unwrap(), calls), (Err("full"), 3));
    }
}
