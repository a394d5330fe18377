//! Run lists: the mapping from a file's bytes to its volume, decoded once at open. A read is a binary search, then one read
//! of the volume per contiguous run.

use std::sync::Arc;

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, ExtentKind, InFile, check_range},
};

/// The runs of a file, ascending and gapless from byte 0. In bytes, so that it works with every cluster size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunList {
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Byte offset in the file just after this run.
    end: u64,
    /// Byte offset in the volume of the run's first byte; `None` for a hole.
    position: Option<u64>,
}

impl RunList {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `len` bytes at `position` of the volume, or a hole. Merges contiguous runs.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file's length or the position overflows; the caller names the structure.
    pub fn push(&mut self, len: u64, position: Option<u64>) -> Result<()> {
        let start = self.len();
        let overflow = || Error::invalid("run list overflows 64 bits");
        let end = start.checked_add(len).ok_or_else(overflow)?;
        position.map_or(Some(0), |p| p.checked_add(len)).ok_or_else(overflow)?;
        if len == 0 {
            return Ok(());
        }
        let previous = self.runs.len().checked_sub(2).map_or(0, |i| self.runs[i].end);
        match self.runs.last_mut() {
            Some(last) if last.position.map(|p| p + (last.end - previous)) == position => last.end = end,
            _ => self.runs.push(Run { end, position }),
        }
        Ok(())
    }

    /// Length in bytes, allocated slack included.
    pub fn len(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// True if there are no runs.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of runs.
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// The volume position of the byte at `offset`, and the number of contiguous bytes from there; `None` at or past the
    /// end.
    pub fn find(&self, offset: u64) -> Option<(Option<u64>, u64)> {
        let index = self.runs.partition_point(|run| run.end <= offset);
        let run = self.runs.get(index)?;
        let start = index.checked_sub(1).map_or(0, |i| self.runs[i].end);
        Some((run.position.map(|p| p + (offset - start)), run.end - offset))
    }

    /// Each run: offset in the file, position in the volume, length.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Option<u64>, u64)> + '_ {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|run| run.end));
        starts.zip(&self.runs).map(|(start, run)| (start, run.position, run.end - start))
    }

    /// Bytes allocated on the volume: everything but holes.
    pub fn allocated(&self) -> u64 {
        self.iter().filter(|(_, position, _)| position.is_some()).map(|(_, _, len)| len).sum()
    }

    /// The volume position of the first run that is no hole.
    pub fn position(&self) -> Option<u64> {
        self.runs.iter().find_map(|run| run.position)
    }

    /// Memory that the list takes, for cache budgets.
    pub fn memory(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }
}

/// Maximum number of runs in one hint: more would only load the host.
const MAX_HINTS: usize = 64;

/// A file's content through its run list.
#[derive(Clone)]
pub struct RunSource {
    volume: Arc<dyn ByteSource>,
    runs: Arc<RunList>,
    size: u64,
    valid: u64,
}

impl RunSource {
    /// `size` bytes of content; those from `valid` on read as zeros whatever the clusters contain (NTFS: the initialized
    /// size). A size beyond the runs is damage: the part within the runs is readable, and any read beyond them is an error,
    /// even of bytes past `valid`.
    pub fn new(volume: Arc<dyn ByteSource>, runs: Arc<RunList>, size: u64, valid: u64) -> Self {
        Self { volume, runs, size, valid: valid.min(size) }
    }

    /// The volume that contains the runs.
    pub fn volume(&self) -> &Arc<dyn ByteSource> {
        &self.volume
    }

    /// The run list.
    pub fn runs(&self) -> &Arc<RunList> {
        &self.runs
    }
}

impl ByteSource for RunSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let held = self.runs.len();
        let missing = |at| {
            Error::corrupt(
                "run list",
                Place::Byte(at),
                format!("ends before the file's size {:#x}", self.size),
            )
        };
        if !buf.is_empty() && offset.saturating_add(buf.len() as u64) > held {
            return Err(missing(held));
        }
        let stored = usize::try_from(self.valid.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let (mut buf, beyond) = buf.split_at_mut(stored);
        beyond.fill(0);
        while !buf.is_empty() {
            let (position, len) = self.runs.find(offset).ok_or_else(|| missing(offset))?;
            let take = usize::try_from(len).map_or(buf.len(), |len| len.min(buf.len()));
            let (now, rest) = buf.split_at_mut(take);
            match position {
                Some(position) => self.volume.read_exact_at(position, now)?,
                None => now.fill(0),
            }
            offset += take as u64;
            buf = rest;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.runs.memory()
    }

    fn will_need(&self, mut offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.valid);
        for _ in 0..MAX_HINTS {
            let found = self.runs.find(offset).filter(|_| offset < end);
            let Some((position, len)) = found else { break };
            let len = len.min(end - offset);
            if let Some(position) = position {
                self.volume.will_need(position, len);
            }
            offset += len;
        }
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (held, rest) = (self.runs.len(), self.size.saturating_sub(offset));
        // Bytes beyond the runs are reported as data, so that a reader reads them and gets the error.
        if rest > 0 && offset >= held {
            return Ok(Extent { kind: ExtentKind::Data, len: rest });
        }
        if offset >= self.valid {
            return Ok(Extent { kind: ExtentKind::Hole, len: rest.min(held.saturating_sub(offset)) });
        }
        let rest = self.valid - offset;
        match self.runs.find(offset) {
            None => Ok(Extent { kind: ExtentKind::Data, len: rest }),
            Some((None, len)) => Ok(Extent { kind: ExtentKind::Hole, len: len.min(rest) }),
            Some((Some(position), len)) => {
                let len = len.min(rest);
                // Clusters may map to a hole of a thin image: zeros that need not be read.
                let below = self.volume.extent_at(position).ok().filter(|below| below.len > 0);
                let below = below.unwrap_or(Extent { kind: ExtentKind::Data, len });
                Ok(Extent { len: below.len.min(len), ..below })
            }
        }
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        let rest = self.valid.checked_sub(offset)?;
        let (position, len) = self.runs.find(offset)?;
        self.volume.in_file(position?)?.at_most(len.min(rest))
    }

    fn position(&self) -> Option<u64> {
        self.runs.position()
    }

    fn missing_from(&self) -> Option<u64> {
        Some(self.runs.len()).filter(|held| *held < self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    #[test]
    fn contiguous_runs_are_joined_and_found() {
        let mut runs = RunList::new();
        for (len, position) in [(4, Some(10)), (4, Some(14)), (8, None), (8, None), (4, Some(0))] {
            runs.push(len, position).unwrap();
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(0, Some(10), 8), (8, None, 16), (24, Some(0), 4)]);
        assert_eq!(runs.find(7), Some((Some(17), 1)));
        assert_eq!(runs.find(8), Some((None, 16)));
        assert_eq!(runs.find(28), None);
        assert_eq!(runs.allocated(), 12);
        assert!(runs.push(u64::MAX, None).is_err());
    }

    #[test]
    fn uninitialized_tail_reads_as_zeros_and_missing_runs_fail() {
        let volume = Arc::new(MemorySource(vec![7; 32]));
        let mut runs = RunList::new();
        runs.push(16, Some(0)).unwrap();
        let runs = Arc::new(runs);
        let mut buf = [1; 12];
        RunSource::new(volume.clone(), runs.clone(), 12, 5).read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0]);
        let short = RunSource::new(volume, runs, 20, 20);
        assert_eq!(short.missing_from(), Some(16));
        // Also where it would be zeros; and reported as one extent, however long.
        let short_of_zeros = RunSource::new(short.volume.clone(), short.runs.clone(), 1 << 61, 8);
        assert!(short_of_zeros.read_exact_at(4, &mut buf).is_ok());
        assert!(short_of_zeros.read_exact_at(5, &mut buf).is_err());
        assert_eq!(short_of_zeros.extent_at(8).unwrap(), Extent { kind: ExtentKind::Hole, len: 8 });
        let missing = Extent { kind: ExtentKind::Data, len: (1 << 61) - 16 };
        assert_eq!(short_of_zeros.extent_at(16).unwrap(), missing);
        assert!(short.read_exact_at(8, &mut buf).is_err());
        assert!(short.read_exact_at(4, &mut buf).is_ok());
    }
}
