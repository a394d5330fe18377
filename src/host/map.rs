//! Where a file occupies space on its host: ascending runs, everything between them holes. Bounded: a file in more
//! pieces than [`MAX_RUNS`] counts as a hole from there on, which promises too little rather than too much.

use std::ops::Range;

use crate::bytes::{ByteSource, ExtentKind, FileSource};

/// 72 MiB at most; a disk of 24 GiB of which every other 4 KiB was written.
const MAX_RUNS: usize = 3 << 20;

/// How the host holds a stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// For this file alone: overwriting needs nothing new.
    Own,
    /// Together with another file (a reflink, a snapshot): overwriting needs new space.
    Shared,
}

/// The space that a file occupies, reserved but unwritten space included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostMap {
    runs: Vec<(Range<u64>, Held)>,
    /// The host does not distinguish reserved space from holes: what it calls a hole may be either.
    vague: bool,
    /// There were more runs.
    cut: bool,
    /// Space is given to this file in this unit; 0 where the volume's counts.
    unit: u64,
}

impl HostMap {
    /// From the stretches that occupy space, ascending; those that touch are joined.
    pub fn new(stretches: impl IntoIterator<Item = (Range<u64>, Held)>) -> Self {
        let mut map = Self::default();
        for (range, held) in stretches {
            if !map.push(range, held) {
                break;
            }
        }
        map
    }

    /// By `SEEK_HOLE`, which takes reserved space for holes.
    pub fn sought(file: &FileSource) -> Self {
        let mut offset = 0;
        let extents = std::iter::from_fn(|| {
            let extent = file.extent_at(offset).ok().filter(|extent| extent.len > 0)?;
            let range = offset..offset.checked_add(extent.len)?;
            offset = range.end;
            Some((range, extent.kind))
        });
        let data = extents.filter(|(_, kind)| *kind == ExtentKind::Data);
        Self { vague: true, ..Self::new(data.map(|(range, _)| (range, Held::Own))) }
    }

    /// The host reports how much the file occupies, but not where: any of it may be a hole.
    pub fn unknown() -> Self {
        Self { vague: true, ..Self::default() }
    }

    /// False when there is no room for more.
    fn push(&mut self, range: Range<u64>, held: Held) -> bool {
        // The host's answers come one after the other: a file that changes meanwhile may overlap itself.
        let start = range.start.max(self.runs.last().map_or(0, |(last, _)| last.end));
        if range.end <= start {
            return true;
        }
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some((last, kind)) if last.end == start && *kind == held => last.end = range.end,
            _ if full => {
                self.cut = true;
                return false;
            }
            _ => self.runs.push((start..range.end, held)),
        }
        true
    }

    /// How the byte at `position` is held, `None` in a hole, and for how many bytes that goes on.
    pub fn at(&self, position: u64) -> (Option<Held>, u64) {
        let next = self.runs.partition_point(|(run, _)| run.end <= position);
        match self.runs.get(next) {
            None => (None, u64::MAX - position),
            Some((run, _)) if position < run.start => (None, run.start - position),
            Some((run, held)) => (Some(*held), run.end - position),
        }
    }

    /// Bytes of `range` that occupy space.
    pub fn occupied(&self, range: Range<u64>) -> u64 {
        let first = self.runs.partition_point(|(run, _)| run.end <= range.start);
        let inside = self.runs[first..].iter().take_while(|(run, _)| run.start < range.end);
        inside.map(|(run, _)| run.end.min(range.end) - run.start.max(range.start)).sum()
    }

    /// Takes what all runs begin and end at for the unit in which the file is given space, up to `largest`. That is
    /// how an extent size hint of XFS shows; without one it errs to the safe side, by less than `largest` bytes.
    pub fn with_unit_of_runs(mut self, largest: u64) -> Self {
        let edges = self.runs.iter().flat_map(|(run, _)| [run.start, run.end]);
        self.unit = edges.filter(|edge| *edge > 0).fold(largest, |unit, edge| {
            let (mut a, mut b) = (unit, edge);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        });
        self
    }

    /// The unit in which the host gives space to this file, if it differs from the volume's; else 0.
    pub fn unit(&self) -> u64 {
        self.unit
    }

    /// Reserved space may look like holes.
    pub fn is_vague(&self) -> bool {
        self.vague
    }

    /// The file has more extents than were examined.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_touch_are_one_run_and_the_rest_is_holes() {
        let map = HostMap::new([
            (4..8, Held::Own),
            (8..12, Held::Own),
            (12..16, Held::Shared),
            (14..15, Held::Own),
            (20..24, Held::Own),
        ]);
        assert_eq!(map.runs.len(), 3);
        assert_eq!(map.at(0), (None, 4));
        assert_eq!(map.at(5), (Some(Held::Own), 7));
        assert_eq!(map.at(12), (Some(Held::Shared), 4));
        assert_eq!(map.at(16), (None, 4));
        assert_eq!(map.at(24).0, None);
        assert_eq!(map.occupied(0..u64::MAX), 16);
        assert_eq!(map.occupied(6..21), 11);
        assert_eq!(map.occupied(16..20), 0);
        assert_eq!((map.unit(), map.with_unit_of_runs(64).unit()), (0, 4));
    }

    #[test]
    fn a_file_in_too_many_pieces_is_a_hole_from_there_on() {
        let map = HostMap::new((0..MAX_RUNS as u64 + 9).map(|n| (n * 2..n * 2 + 1, Held::Own)));
        assert!(map.is_cut());
        assert_eq!(map.occupied(0..u64::MAX), MAX_RUNS as u64);
    }
}
