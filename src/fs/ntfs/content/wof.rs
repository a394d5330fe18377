//! Files compressed by WOF (`compact /exe`, CompactOS), provider "file": the content is in the stream `WofCompressedData`,
//! in chunks of one size; the unnamed stream is a hole with the size of the content.
//!
//! The stream begins with a table of the start offsets of all chunks but the first, relative to the table's end, in 32 bits
//! each, or 64 for files of 4 GiB and more. A chunk whose stored length is its uncompressed length is stored raw. Guards:
//! the table is inside the stream, offsets ascend and stay inside it; the table is read in pieces, so that its size takes no
//! memory.

use std::{cell::Cell, sync::Arc};

use super::compressed::UnitCache;
use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, Wrapper, check_range},
    codec::{lzx, xpress},
    fs::ntfs::reparse::WofAlgorithm,
};

/// Maximum content of compressed chunks that are read together: two kernel requests.
const MAX_BATCH: u64 = 256 << 10;
/// Number of chunks in a batch of the smallest ones.
const BATCH_CHUNKS: usize = 64;
/// Bytes of the table that are cached together.
const PIECE: u64 = 4096;
/// Bit in the number of a cached unit: it is a piece of the table, not a chunk.
const IS_TABLE: u64 = 1 << 63;

thread_local! {
    /// Buffer for a batch's compressed bytes: taken while in use, so that a nested source finds it empty, not borrowed.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl WofAlgorithm {
    /// Uncompressed bytes of a chunk.
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

/// The content of a WOF-compressed file.
pub struct WofSource {
    stream: Arc<dyn ByteSource>,
    algorithm: WofAlgorithm,
    size: u64,
    /// Bytes per table entry.
    entry: u64,
    /// Length of the table; the chunks follow it.
    table: u64,
    cache: Arc<UnitCache>,
    id: u64,
}

impl WofSource {
    /// `size` bytes of content from the stream `WofCompressedData`. `id` identifies the file in `cache`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a stream shorter than its table.
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

    /// Uncompressed length of the chunk with this number.
    fn chunk_len(&self, index: u64) -> usize {
        let chunk = self.algorithm.chunk();
        let len = chunk.min(self.size.saturating_sub(index * chunk));
        usize::try_from(len).expect("at most 32 KiB")
    }

    /// Reads the start offsets of the chunks from `first` on, and the end of the last one; `bounds` is one longer than the
    /// number of chunks.
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

    /// Reads the entry at offset `start` of the table; `piece` caches the latest piece with its number.
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

    /// Checks that a chunk is stored in no more bytes than its content, and not in none.
    fn check_stored(&self, index: u64, start: u64, end: u64) -> Result<()> {
        let len = self.chunk_len(index) as u64;
        match end.checked_sub(start) {
            Some(1..) if end - start <= len => Ok(()),
            Some(stored) => Err(self.corrupt(index, format!("{stored} bytes are stored for {len}"))),
            None => Err(self.corrupt(index, "it ends before it begins")),
        }
    }

    /// A piece of the table, cached for further reads.
    fn table_piece(&self, number: u64) -> Result<Arc<[u8]>> {
        self.cache.get_or_load((self.id, IS_TABLE | number), || {
            let start = number * PIECE;
            let len = usize::try_from(PIECE.min(self.table - start)).expect("at most a piece");
            let mut piece: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            self.stream.read_exact_at(start, Arc::get_mut(&mut piece).expect("not shared yet"))?;
            Ok((piece, len))
        })
    }

    /// Decodes the chunks from the one at `offset` on that `buf` covers, up to a batch, and returns the number of bytes
    /// filled in `buf`.
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
            // Only a part of the chunk is read: its other parts are likely to be read next.
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

/// Copies the part of a chunk from `skip` on that fits into `buf`; returns its length.
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
