//! A resource: bytes of a WIM, stored raw or in chunks that are compressed one by one. A table before the chunks has the
//! offset of each but the first, relative to the table's end, in 4 bytes or, for 4 GiB and more, in 8. A chunk whose stored
//! length is its uncompressed length is stored raw. Guards: chunks are inside the resource, in ascending order.

use std::{cell::Cell, ops::Range, sync::Arc};

use super::header::{Compression, Header, ResourceHeader};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, Window, Wrapper, check_range},
    cache::Cache,
    codec::{lzx, xpress},
};

/// Decoded chunks by source and chunk number.
pub type ChunkCache = Cache<(u64, u64), Arc<[u8]>>;

const FLAG_COMPRESSED: u8 = 0x4;
const FLAG_SPANNED: u8 = 0x8;
const FLAG_SOLID: u8 = 0x10;

/// Entries of the chunk table per read.
const BATCH: u64 = 512;

thread_local! {
    /// Buffer for a chunk's compressed bytes: taken while in use, so that a nested source finds it empty, not borrowed.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The content of a resource.
pub struct Resource {
    /// The stored bytes of the resource.
    stored: Window,
    size: u64,
    /// `None`: stored raw.
    chunks: Option<Chunks>,
}

struct Chunks {
    compression: Compression,
    size: u64,
    count: u64,
    /// Bytes per entry of the chunk table.
    entry: u64,
    cache: Arc<ChunkCache>,
    id: u64,
}

impl Resource {
    /// Opens the resource of `file` at `place`. Decoded chunks are kept in `cache` under `id`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a solid or spanned resource; [`Error::Corrupt`] for one that is not inside the file, or
    /// that is too short for its chunk table.
    pub fn open(
        file: &Arc<dyn ByteSource>,
        header: &Header,
        place: &ResourceHeader,
        cache: Arc<ChunkCache>,
        id: u64,
    ) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt("WIM resource", Place::Byte(place.offset), problem);
        if place.flags & FLAG_SOLID != 0 {
            return Err(Error::unsupported("in a solid resource of a WIM"));
        }
        if place.flags & FLAG_SPANNED != 0 {
            return Err(Error::unsupported("spread over the parts of a split WIM"));
        }
        if place.offset.checked_add(place.stored).is_none_or(|end| end > file.size()) {
            return Err(corrupt(format!("{} bytes end beyond the file", place.stored)));
        }
        let stored = Window::new(file.clone(), place.offset, place.stored);
        if place.flags & FLAG_COMPRESSED == 0 {
            if place.size != place.stored {
                return Err(corrupt(format!("{} bytes stored as {}", place.size, place.stored)));
            }
            return Ok(Self { stored, size: place.size, chunks: None });
        }
        if header.compression == Compression::None {
            return Err(corrupt("compressed in a WIM without compression".into()));
        }
        let entry = if u32::try_from(place.size).is_ok() { 4 } else { 8 };
        let size = u64::from(header.chunk_size);
        let count = place.size.div_ceil(size);
        let chunks = Chunks { compression: header.compression, size, count, entry, cache, id };
        // The chunk table must fit into the stored length, which bounds the uncompressed length that a resource can claim.
        if chunks.table_len() > place.stored {
            return Err(corrupt(format!("too short for the table of its {count} chunks")));
        }
        Ok(Self { stored, size: place.size, chunks: Some(chunks) })
    }
}

impl Resource {
    /// Uncompressed bytes of a chunk; `None` for raw content.
    pub fn unit(&self) -> Option<u64> {
        self.chunks.as_ref().map(|chunks| chunks.size)
    }
}

impl Chunks {
    fn table_len(&self) -> u64 {
        // Sizes below 2^64 have at most 2^52 chunks.
        self.count.saturating_sub(1) * self.entry
    }
}

/// The locations of consecutive chunks.
struct Places {
    first: u64,
    /// Start offset of each chunk in the resource, and the end of the last one.
    bounds: Vec<u64>,
}

impl Places {
    fn get(&self, chunk: u64) -> Option<Range<u64>> {
        let at = usize::try_from(chunk.checked_sub(self.first)?).ok()?;
        Some(*self.bounds.get(at)?..*self.bounds.get(at + 1)?)
    }
}

impl Resource {
    /// Reads the locations of the chunks from `first` up to `last` from the chunk table.
    fn places(&self, chunks: &Chunks, first: u64, last: u64) -> Result<Places> {
        let end = (last + 1).min(first + BATCH).min(chunks.count);
        let data = chunks.table_len();
        let mut bounds = Vec::new();
        if first == 0 {
            bounds.push(data);
        }
        // Entry n - 1 is the offset of chunk n.
        let (from, to) = (first.max(1) - 1, end.min(chunks.count - 1));
        let len = usize::try_from((to - from) * chunks.entry).expect("at most BATCH entries");
        let mut table = vec![0; len];
        self.stored.read_exact_at(from * chunks.entry, &mut table)?;
        let offsets = table.chunks_exact(usize::try_from(chunks.entry).expect("4 or 8"));
        bounds.extend(offsets.map(|entry| {
            let mut wide = [0; 8];
            wide[..entry.len()].copy_from_slice(entry);
            u64::from_le_bytes(wide).saturating_add(data)
        }));
        if end == chunks.count {
            bounds.push(self.stored.size());
        }
        if bounds.last().is_some_and(|end| *end > self.stored.size()) || !bounds.is_sorted() {
            return Err(self.corrupt(first, "the chunk table leads out of the resource"));
        }
        Ok(Places { first, bounds })
    }

    /// Decodes the chunk at `place` into `out`, which has its uncompressed length.
    fn decode(&self, chunks: &Chunks, chunk: u64, place: Range<u64>, out: &mut [u8]) -> Result<()> {
        let len = usize::try_from(place.end - place.start).ok().filter(|len| *len <= out.len());
        let Some(len) = len else { return Err(self.corrupt(chunk, "longer than its content")) };
        if len == out.len() {
            return self.stored.read_exact_at(place.start, out);
        }
        let mut scratch = SCRATCH.take();
        scratch.resize(len, 0);
        let read = self.stored.read_exact_at(place.start, &mut scratch);
        let decoded = read.and_then(|()| decompress(chunks.compression, &scratch, out));
        SCRATCH.set(scratch);
        decoded.map_err(|error| match error {
            Error::Corrupt(inner) => self.corrupt(chunk, &inner.to_string()),
            error => error,
        })
    }

    fn read_chunks(&self, chunks: &Chunks, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let mut places: Option<Places> = None;
        while !buf.is_empty() {
            let (chunk, within) = (offset / chunks.size, offset % chunks.size);
            let start = offset - within;
            let len = usize::try_from(chunks.size.min(self.size - start)).expect("at most 2 MiB");
            let skip = usize::try_from(within).expect("below 2 MiB");
            let take = (len - skip).min(buf.len());
            let last = (offset + buf.len() as u64 - 1) / chunks.size;
            let (now, rest) = buf.split_at_mut(take);
            let cached = if take < len { chunks.cache.get(&(chunks.id, chunk)) } else { None };
            if let Some(content) = cached.filter(|content| content.len() == len) {
                now.copy_from_slice(&content[skip..skip + take]);
            } else {
                let place = match places.as_ref().and_then(|places| places.get(chunk)) {
                    Some(place) => place,
                    None => {
                        let read = places.insert(self.places(chunks, chunk, last)?);
                        read.get(chunk).ok_or_else(|| self.corrupt(chunk, "not in the chunk table"))?
                    }
                };
                if take == len {
                    self.decode(chunks, chunk, place, now)?;
                } else {
                    let mut content: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
                    let out = Arc::get_mut(&mut content).expect("not shared yet");
                    self.decode(chunks, chunk, place, out)?;
                    now.copy_from_slice(&content[skip..skip + take]);
                    chunks.cache.put((chunks.id, chunk), content, len);
                }
            }
            offset += take as u64;
            buf = rest;
        }
        Ok(())
    }

    fn corrupt(&self, chunk: u64, problem: &str) -> Error {
        Error::corrupt("WIM resource", Place::Byte(self.stored.start()), format!("chunk {chunk}: {problem}"))
    }
}

impl Wrapper for Resource {
    fn below(&self) -> &dyn ByteSource {
        &self.stored
    }

    fn start_below(&self) -> Option<u64> {
        if self.chunks.is_none() { Some(0) } else { None }
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        match &self.chunks {
            None => self.stored.read_exact_at(offset, buf),
            Some(chunks) => self.read_chunks(chunks, offset, buf),
        }
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        Ok(Extent::data(self.size, offset))
    }
}

fn decompress(compression: Compression, input: &[u8], out: &mut [u8]) -> Result<()> {
    match compression {
        Compression::Xpress => xpress::decode(input, out),
        Compression::Lzx => lzx::decode(input, out),
        Compression::None => Err(Error::invalid("nothing to decode")),
    }
}
