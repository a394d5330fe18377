//! Compressed `$DATA`: the content is divided into compression units (16 clusters in practice). A unit without a hole is
//! stored raw; one that is all hole is zeros; one whose clusters end in a hole has LZNT1 data in the clusters before it.

use std::{cell::Cell, ops::Range, sync::Arc};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, ExtentKind, check_range},
    cache::Cache,
    codec::lznt1,
    fs::runs::RunList,
};

thread_local! {
    /// Buffer for a unit's compressed bytes: taken while in use, so that a nested source finds it empty, not borrowed.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Decompressed units by file and unit number.
pub(in super::super) type UnitCache = Cache<(u64, u64), Arc<[u8]>>;

/// The content of a compressed attribute.
pub(in super::super) struct CompressedSource {
    volume: Arc<dyn ByteSource>,
    runs: Arc<RunList>,
    size: u64,
    valid: u64,
    unit: u64,
    cache: Arc<UnitCache>,
    id: u64,
}

/// How consecutive units are stored.
enum Stored {
    Hole,
    /// Raw, contiguous or not.
    Raw,
    /// LZNT1 in this many bytes from the unit's start.
    Compressed(u64),
}

impl CompressedSource {
    /// `size` bytes of content in units of `unit` bytes; bytes from `valid` (the initialized size) on read as zeros. `id`
    /// identifies the attribute in `cache`. The caller bounds `unit`, which is allocated in memory.
    pub(in super::super) fn new(
        volume: Arc<dyn ByteSource>,
        runs: Arc<RunList>,
        size: u64,
        valid: u64,
        unit: u32,
        cache: Arc<UnitCache>,
        id: u64,
    ) -> Self {
        Self { volume, runs, size, valid: valid.min(size), unit: unit.max(1).into(), cache, id }
    }

    /// How the unit at `start` is stored, and the length of the whole units from there on that are stored in the same way.
    fn stored_at(&self, start: u64) -> Result<(Stored, u64)> {
        let whole = |len: u64| (len - len % self.unit).max(self.unit);
        let end = start.saturating_add(self.unit);
        let Some((position, len)) = self.runs.find(start) else {
            return Err(self.corrupt(start, "the run list ends before the size of the file"));
        };
        // The usual case: one run covers the unit, and perhaps many more.
        if len >= self.unit {
            return Ok((if position.is_some() { Stored::Raw } else { Stored::Hole }, whole(len)));
        }
        let mut allocated = if position.is_some() { len } else { 0 };
        let (mut at, mut hole) = (start + len, position.is_none());
        // A run is at least a cluster long: a unit has at most as many runs as clusters.
        while at < end {
            let Some((position, len)) = self.runs.find(at) else { break };
            let len = len.min(end - at);
            match position {
                Some(_) if hole => {
                    return Err(self.corrupt(start, "a compression unit with data after a hole"));
                }
                Some(_) => allocated += len,
                None => hole = true,
            }
            at += len;
        }
        // If the runs end inside the last unit, no hole marks compression: the unit is raw if its clusters hold all bytes.
        let needed = self.size.min(end) - start;
        let stored = match allocated {
            0 => Stored::Hole,
            _ if !hole && allocated >= needed => Stored::Raw,
            _ => Stored::Compressed(allocated),
        };
        Ok((stored, self.unit))
    }

    /// Reads allocated runs; a hole among them is damage.
    fn read_raw(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let Some((Some(position), len)) = self.runs.find(offset) else {
                return Err(self.corrupt(offset, "a hole inside stored data"));
            };
            let take = usize::try_from(len).map_or(buf.len(), |len| len.min(buf.len()));
            let (now, rest) = buf.split_at_mut(take);
            self.volume.read_exact_at(position, now)?;
            offset += take as u64;
            buf = rest;
        }
        Ok(())
    }

    /// Decompresses the unit at `start` into `out`, which has the length of a unit.
    fn decompress(&self, start: u64, allocated: u64, out: &mut [u8]) -> Result<()> {
        let mut scratch = SCRATCH.take();
        scratch.resize(usize::try_from(allocated).expect("less than a unit"), 0);
        let decoded = self
            .read_raw(start, &mut scratch)
            .and_then(|()| lznt1::decompress(&scratch, out))
            .map_err(|error| match error {
                Error::Corrupt(inner) => self.corrupt(start, &inner.to_string()),
                error => error,
            });
        SCRATCH.set(scratch);
        decoded
    }

    /// The decompressed unit at `start`, cached for further small reads.
    fn cached_unit(&self, start: u64, allocated: u64) -> Result<Arc<[u8]>> {
        self.cache.get_or_load((self.id, start / self.unit), || {
            let len = usize::try_from(self.unit).expect("was 32 bits");
            let mut unit: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            self.decompress(start, allocated, Arc::get_mut(&mut unit).expect("not shared yet"))?;
            Ok((unit, len))
        })
    }

    /// Reads from `range.start` up to `range.end`, within units that are stored in the same way; returns the number of
    /// bytes.
    fn read_stretch(&self, range: Range<u64>, buf: &mut [u8]) -> Result<usize> {
        let start = range.start - range.start % self.unit;
        let (stored, len) = self.stored_at(start)?;
        let end = start.saturating_add(len).min(range.end);
        let take = usize::try_from(end - range.start).expect("not more than the buffer");
        let buf = &mut buf[..take];
        match stored {
            Stored::Hole => buf.fill(0),
            Stored::Raw => self.read_raw(range.start, buf)?,
            Stored::Compressed(allocated) if take as u64 == self.unit => {
                self.decompress(start, allocated, buf)?
            }
            Stored::Compressed(allocated) => {
                let unit = self.cached_unit(start, allocated)?;
                let skip = usize::try_from(range.start - start).expect("less than a unit");
                buf.copy_from_slice(&unit[skip..skip + take]);
            }
        }
        Ok(take)
    }

    fn corrupt(&self, offset: u64, problem: &str) -> Error {
        Error::corrupt(
            "compressed file",
            Place::Byte(offset),
            format!("{problem} (unit {})", offset / self.unit),
        )
    }
}

impl ByteSource for CompressedSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let missing = self.missing_from().filter(|held| offset.saturating_add(buf.len() as u64) > *held);
        if let Some(held) = missing {
            return Err(self.corrupt(held, "the run list ends before the size of the file"));
        }
        let stored = usize::try_from(self.valid.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let (mut buf, beyond) = buf.split_at_mut(stored);
        beyond.fill(0);
        while !buf.is_empty() {
            let taken = self.read_stretch(offset..offset + buf.len() as u64, buf)?;
            offset += taken as u64;
            buf = &mut buf[taken..];
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.runs.memory()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (held, rest) = (self.missing_from().unwrap_or(self.size), self.size.saturating_sub(offset));
        if rest > 0 && offset >= held {
            return Ok(Extent { kind: ExtentKind::Data, len: rest });
        }
        if offset >= self.valid {
            return Ok(Extent { kind: ExtentKind::Hole, len: held.saturating_sub(offset) });
        }
        let start = offset - offset % self.unit;
        // A damaged unit is reported as data, so that a reader reads it and gets the error.
        let (stored, len) = self.stored_at(start).unwrap_or((Stored::Raw, self.unit));
        let kind = if matches!(stored, Stored::Hole) { ExtentKind::Hole } else { ExtentKind::Data };
        Ok(Extent { kind, len: (len - (offset - start)).min(self.valid - offset) })
    }

    fn position(&self) -> Option<u64> {
        self.runs.position()
    }

    fn missing_from(&self) -> Option<u64> {
        // The last unit may be allocated in part.
        let held = self.runs.len().checked_next_multiple_of(self.unit)?;
        Some(held).filter(|held| *held < self.size)
    }
}

#[cfg(test)]
mod tests;
