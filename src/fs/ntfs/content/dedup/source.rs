//! The content of a deduplicated file, read chunk by chunk through its stream map: entries of 64 bytes, each with the end
//! offset of its chunk in the content, which a binary search finds. Guards: entries ascend and stay within their part of the
//! map; chunks are bounded, and verified by their hash.

use std::{cell::Cell, sync::Arc};

use super::{
    chunk::{self, MAX_CHUNK, Wanted},
    point::{MAP_ENTRY_LEN, MAP_HEADER_LEN, Point},
    store::{Kind, Store},
};
use crate::{
    Error, Result,
    bytes::{ByteSource, check_range, read_vec},
    error,
    fs::ntfs::content::compressed::UnitCache,
};

const MAP_SIGNATURE: &[u8; 4] = b"Smap";

thread_local! {
    /// Buffer for a chunk's stored bytes: taken while in use, so that a nested source finds it empty, not borrowed.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The content of a deduplicated file.
pub(in super::super) struct DedupSource {
    store: Arc<Store>,
    maps: Vec<Map>,
    size: u64,
    cache: Arc<UnitCache>,
    id: u64,
}

/// A part of the stream map.
struct Map {
    container: Arc<dyn ByteSource>,
    /// Offset of its entries.
    position: u64,
    count: u64,
    /// Start of the content range that the entries describe.
    start: u64,
    end: u64,
}

/// An entry of the stream map.
struct StreamMapEntry {
    number: u32,
    container: u32,
    offset: u32,
    generation: u32,
    /// End offset of the chunk in the file's content.
    end: u64,
    hash: [u8; 32],
    /// Stored length in bytes.
    len: u32,
}

/// The position of a chunk: map, entry, and start offset in the content.
struct Place {
    map: usize,
    index: u64,
    start: u64,
}

impl DedupSource {
    /// Locates all parts of the stream map. Decoded chunks are kept in `cache` under `id`, which must be unique there.
    pub(in super::super) fn open(
        store: Arc<Store>,
        point: &Point,
        cache: Arc<UnitCache>,
        id: u64,
    ) -> Result<Self> {
        let mut maps = Vec::with_capacity(point.parts.len());
        for part in &point.parts {
            let wanted = Wanted { number: part.chunk, offset: part.offset, len: part.len, hash: &part.hash };
            let found = store.find(Kind::Maps, part.container, None, |container| {
                Ok(chunk::find(&**container, &wanted)?.map(|found| (container.clone(), found.position)))
            })?;
            let corrupt = |problem| store.corrupt(part.container, part.chunk, problem);
            let (container, position) = found.ok_or_else(|| corrupt("the stream map is not there"))?;
            if !read_vec(&*container, position, MAP_SIGNATURE.len())?.starts_with(MAP_SIGNATURE) {
                return Err(corrupt("no stream map"));
            }
            maps.push(Map {
                container,
                position: position + u64::from(MAP_HEADER_LEN),
                count: u64::from((part.len - MAP_HEADER_LEN) / MAP_ENTRY_LEN),
                start: part.start,
                end: part.end,
            });
        }
        Ok(Self { store, maps, size: point.size(), cache, id })
    }

    /// Finds the chunk that contains the byte at `offset` of the content.
    fn find(&self, offset: u64) -> Result<Place> {
        let at = self.maps.partition_point(|map| map.end <= offset);
        let map = &self.maps[at];
        let (mut low, mut high) = (0, map.count);
        while low < high {
            let middle = low.midpoint(high);
            if map.entry(middle)?.end <= offset { low = middle + 1 } else { high = middle }
        }
        let start = if low == 0 { map.start } else { map.entry(low - 1)?.end };
        Ok(Place { map: at, index: low, start })
    }

    /// Reads the entry at a position, and returns it with the length of its content.
    fn entry(&self, place: &Place) -> Result<(StreamMapEntry, usize)> {
        let map = &self.maps[place.map];
        if place.index >= map.count {
            return Err(Error::corrupt(
                "deduplication stream map",
                error::Place::Byte(map.position),
                "ends before the content",
            ));
        }
        let entry = map.entry(place.index)?;
        let len = entry.end.checked_sub(place.start).filter(|len| {
            (1..=MAX_CHUNK).contains(len) && u64::from(entry.len) <= *len && entry.end <= map.end
        });
        let len = len.and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or_else(|| {
            let problem = format!("ends at {:#x} of the content, after {:#x}", entry.end, place.start);
            self.store.corrupt(entry.container, entry.number, problem)
        })?;
        Ok((entry, len))
    }

    /// Fills `out` with the verified content of a chunk.
    fn load(&self, entry: &StreamMapEntry, out: &mut [u8]) -> Result<()> {
        let corrupt = |problem: &str| self.store.corrupt(entry.container, entry.number, problem);
        let wanted = Wanted { number: entry.number, offset: entry.offset, len: entry.len, hash: &entry.hash };
        let (kind, generation) = (Kind::Content, Some(entry.generation));
        let found = self.store.find(kind, entry.container, generation, |container| {
            Ok(chunk::find(&**container, &wanted)?.map(|found| (container.clone(), found)))
        })?;
        let (container, found) = found.ok_or_else(|| match self.store.has_maps(entry.container) {
            true => Error::unsupported("kept by data deduplication: a stream map of stream maps"),
            false => corrupt("not there"),
        })?;
        let mut scratch = SCRATCH.take();
        scratch.resize(entry.len as usize, 0);
        let read = container.read_exact_at(found.position, &mut scratch);
        let loaded = read.and_then(|()| {
            chunk::decode(&scratch, found.compression, &entry.hash, out).map_err(|why| corrupt(&why))
        });
        SCRATCH.set(scratch);
        loaded
    }
}

impl Map {
    fn entry(&self, index: u64) -> Result<StreamMapEntry> {
        let mut bytes = [0; MAP_ENTRY_LEN as usize];
        self.container.read_exact_at(self.position + index * u64::from(MAP_ENTRY_LEN), &mut bytes)?;
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("64 bytes"));
        Ok(StreamMapEntry {
            number: u32_at(0),
            container: u32_at(4),
            offset: u32_at(8),
            generation: u32_at(12),
            end: u64::from_le_bytes(*bytes[16..].first_chunk().expect("64 bytes")),
            hash: *bytes[24..].first_chunk().expect("64 bytes"),
            len: u32_at(56),
        })
    }
}

impl ByteSource for DedupSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        if buf.is_empty() {
            return Ok(());
        }
        let mut place = self.find(offset)?;
        loop {
            let (entry, len) = self.entry(&place)?;
            let skip = usize::try_from(offset - place.start).ok().filter(|skip| *skip < len);
            let skip = skip.ok_or_else(|| {
                self.store.corrupt(entry.container, entry.number, "its stream map is out of order")
            })?;
            let take = (len - skip).min(buf.len());
            let (now, rest) = buf.split_at_mut(take);
            if take == len {
                self.load(&entry, now)?;
            } else {
                let content = self.cache.get_or_load((self.id, place.start), || {
                    let mut content: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
                    self.load(&entry, Arc::get_mut(&mut content).expect("not shared yet"))?;
                    Ok::<_, Error>((content, len))
                })?;
                let part = content.get(skip..skip + take);
                now.copy_from_slice(part.ok_or_else(|| Error::invalid("another chunk in the cache"))?);
            }
            if rest.is_empty() {
                return Ok(());
            }
            (offset, buf) = (offset + take as u64, rest);
            place = if entry.end == self.maps[place.map].end {
                // The parts are contiguous.
                Place { map: place.map + 1, index: 0, start: entry.end }
            } else {
                Place { index: place.index + 1, start: entry.end, ..place }
            };
        }
    }
}
