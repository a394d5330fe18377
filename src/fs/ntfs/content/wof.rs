//! Files compressed by WOF (`compact /exe`, CompactOS), provider "file": the content is in the stream
//! `WofCompressedData`, in chunks of one size; the unnamed stream is a hole that tells the size.
//!
//! The stream begins with a table: where each chunk but the first begins, counted from the table's end, in 32 bits
//! each, or 64 for files of 4 GiB and more. A chunk as long as its content is stored raw. Guards: the table lies inside
//! the stream, offsets ascend and lead nowhere else; it is read in pieces, so that its size costs nothing.

use std::{cell::Cell, sync::Arc};

use super::compressed::UnitCache;
use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, Wrapper, check_range},
    codec::{lzx, xpress},
    fs::ntfs::reparse::WofAlgorithm,
};

/// Compressed chunks are read together up to that much of content: two reads of what a kernel asks for at once.
const MAX_BATCH: u64 = 256 << 10;
/// Chunks in a batch of the smallest.
const BATCH_CHUNKS: usize = 64;
/// Bytes of the table that are kept together.
const PIECE: u64 = 4096;
/// In the number of a cached unit: it is a piece of the table, not a chunk.
const IS_TABLE: u64 = 1 << 63;

thread_local! {
    /// A batch's compressed bytes: taken while in use, so that a source inside a source finds it empty, not borrowed.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl WofAlgorithm {
    /// Bytes of content in a chunk.
    pub(in super::super) const fn chunk(self) -> u64 {
        match self {
            Self::Xpress4K => 4 << 10,
            Self::Xpress8K => 8 << 10,
            Self::Xpress16K => 16 << 10,
            Self::Lzx => 32 << 10,
        }
    }

    fn decode(self, input: &[u8], out: &mut [u8]) -> Result<()> {
        match self {
            Self::Lzx => lzx::decode(input, out),
            Self::Xpress4K | Self::Xpress8K | Self::Xpress16K => xpress::decode(input, out),
        }
    }
}

/// The content of a file compressed by WOF.
pub struct WofSource {
    stream: Arc<dyn ByteSource>,
    algorithm: WofAlgorithm,
    size: u64,
    /// Bytes of a table entry.
    entry: u64,
    /// Length of the table, after which the chunks come.
    table: u64,
    cache: Arc<UnitCache>,
    id: u64,
}

impl WofSource {
    /// `size` bytes of content from the stream `WofCompressedData`. `id` tells the file from all others whose units are
    /// in `cache`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a stream that is shorter than its table.
    pub fn new(
        stream: Arc<dyn ByteSource>,
        algorithm: WofAlgorithm,
        size: u64,
        cache: Arc<UnitCache>,
        id: u64,
    ) -> Result<Self> {
        let entry = if u32::try_from(size).is_ok() { 4 } else { 8 };
        let entries = size.div_ceil(algorithm.chunk()).saturating_sub(1);
        let table = entries.checked_mul(entry).filter(|table| *table <= stream.size());
        let Some(table) = table else {
            let problem =
                format!("{} bytes long, too short for the offsets of {entries} chunks", stream.size());
            return Err(corrupt(problem));
        };
        Ok(Self { stream, algorithm, size, entry, table, cache, id })
    }

    /// Bytes of content in the chunk with this number.
    fn chunk_len(&self, index: u64) -> usize {
        let chunk = self.algorithm.chunk();
        let len = chunk.min(self.size.saturating_sub(index * chunk));
        usize::try_from(len).expect("at most 32 KiB")
    }

    /// Where the chunks from `first` on begin in the stream, and after them where the last one ends; `bounds` has one
    /// more place than there are chunks.
    fn read_bounds(&self, first: u64, bounds: &mut [u64]) -> Result<()> {
        let mut piece = None;
        let mut previous = None;
        for (index, bound) in (first..).zip(bounds) {
            let relative = match index.checked_sub(1).map(|entry| entry * self.entry) {
                None => 0,
                Some(start) if start >= self.table => self.stream.size() - self.table,
                Some(start) => self.table_entry(start, &mut piece)?,
            };
            let absolute = relative.checked_add(self.table).filter(|end| *end <= self.stream.size());
            *bound = absolute.ok_or_else(|| {
                self.corrupt(index, format!("it begins at {relative:#x}, beyond the end of the stream"))
            })?;
            if let Some(previous) = previous.replace(*bound) {
                self.check_stored(index - 1, previous, *bound)?;
            }
        }
        Ok(())
    }

    /// The entry at `start` of the table; `piece` is the one used last, with its number.
    fn table_entry(&self, start: u64, piece: &mut Option<(u64, Arc<[u8]>)>) -> Result<u64> {
        let number = start / PIECE;
        let bytes = match piece.take() {
            Some((loaded, bytes)) if loaded == number => bytes,
            _ => self.table_piece(number)?,
        };
        let within = usize::try_from(start % PIECE).expect("less than a piece");
        let entry = bytes.get(within..).unwrap_or_default();
        let value = match self.entry {
            4 => entry.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes))),
            _ => entry.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
        };
        *piece = Some((number, bytes));
        Ok(value.expect("pieces and the table hold whole entries"))
    }

    /// No chunk is stored in more bytes than it has, or in none.
    fn check_stored(&self, index: u64, start: u64, end: u64) -> Result<()> {
        let len = self.chunk_len(index) as u64;
        match end.checked_sub(start) {
            Some(1..) if end - start <= len => Ok(()),
            Some(stored) => Err(self.corrupt(index, format!("{stored} bytes are stored for {len}"))),
            None => Err(self.corrupt(index, "it ends before it begins")),
        }
    }

    /// A piece of the table, kept for the next read.
    fn table_piece(&self, number: u64) -> Result<Arc<[u8]>> {
        self.cache.get_or_load((self.id, IS_TABLE | number), || {
            let start = number * PIECE;
            let len = usize::try_from(PIECE.min(self.table - start)).expect("at most a piece");
            let mut piece: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            self.stream.read_exact_at(start, Arc::get_mut(&mut piece).expect("not shared yet"))?;
            Ok((piece, len))
        })
    }

    /// Decodes as many chunks from the one with `offset` on as `buf` wants, up to a batch, and returns how many bytes of
    /// `buf` they filled.
    fn read_batch(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let chunk = self.algorithm.chunk();
        let (first, end) = (offset / chunk, offset + buf.len() as u64);
        let last = (end - 1) / chunk;
        let count = usize::try_from((last - first + 1).min(MAX_BATCH / chunk)).expect("at most 64");
        let mut bounds = [0; BATCH_CHUNKS + 1];
        let bounds = &mut bounds[..=count];
        self.read_bounds(first, bounds)?;
        let mut scratch = SCRATCH.take();
        let len = usize::try_from(bounds[count] - bounds[0]).expect("at most a batch");
        scratch.resize(len, 0);
        let read = self.stream.read_exact_at(bounds[0], &mut scratch);
        let read = read.and_then(|()| self.decode_batch(offset, bounds, &scratch, buf));
        SCRATCH.set(scratch);
        read
    }

    /// Decodes the chunks between `bounds`, whose stored bytes are `stored`.
    fn decode_batch(&self, offset: u64, bounds: &[u64], stored: &[u8], buf: &mut [u8]) -> Result<usize> {
        let chunk = self.algorithm.chunk();
        let mut filled = 0;
        for (index, bound) in (offset / chunk..).zip(bounds.windows(2)) {
            let place = |bound: u64| usize::try_from(bound - bounds[0]).expect("inside the batch");
            let stored = &stored[place(bound[0])..place(bound[1])];
            let len = self.chunk_len(index);
            let at = offset + filled as u64;
            let rest = &mut buf[filled..];
            if at == index * chunk && rest.len() >= len {
                self.decode_chunk(index, stored, &mut rest[..len])?;
                filled += len;
                continue;
            }
            // A part of a chunk: the other parts are likely to be asked for next.
            let mut unit: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            self.decode_chunk(index, stored, Arc::get_mut(&mut unit).expect("not shared yet"))?;
            filled += copy_part(&unit, at - index * chunk, rest);
            self.cache.put((self.id, index), unit, len);
        }
        Ok(filled)
    }

    fn decode_chunk(&self, index: u64, stored: &[u8], out: &mut [u8]) -> Result<()> {
        if stored.len() == out.len() {
            out.copy_from_slice(stored);
            return Ok(());
        }
        self.algorithm.decode(stored, out).map_err(|error| match error {
            Error::Corrupt(inner) => self.corrupt(index, inner.to_string()),
            error => error,
        })
    }

    fn corrupt(&self, index: u64, problem: impl std::fmt::Display) -> Error {
        corrupt(format!("{problem} (chunk {index}, {:?})", self.algorithm))
    }
}

/// Copies what `buf` wants of a chunk from `skip` on; returns how much.
fn copy_part(unit: &[u8], skip: u64, buf: &mut [u8]) -> usize {
    let part = usize::try_from(skip).ok().and_then(|skip| unit.get(skip..)).unwrap_or_default();
    let take = part.len().min(buf.len());
    buf[..take].copy_from_slice(&part[..take]);
    take
}

fn corrupt(problem: String) -> Error {
    Error::corrupt("WofCompressedData", None, problem)
}

impl Wrapper for WofSource {
    fn below(&self) -> &dyn ByteSource {
        &*self.stream
    }

    fn start_below(&self) -> Option<u64> {
        None
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let (mut offset, chunk) = (offset, self.algorithm.chunk());
        while !buf.is_empty() {
            let index = offset / chunk;
            let filled = match self.cache.get(&(self.id, index)) {
                Some(unit) => copy_part(&unit, offset - index * chunk, buf),
                None => self.read_batch(offset, buf)?,
            };
            offset += filled as u64;
            buf = &mut buf[filled..];
        }
        Ok(())
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        Ok(Extent::data(self.size, offset))
    }
}

#[cfg(test)]
mod tests;
