//! Divides a range of the disk into cells of equal size and counts how the bytes of each are stored and used. Only sums
//! are kept, so memory depends on the picture's width, not on the disk.

use std::ops::Range;

use crate::capacity::Stored;

/// Most cells: more than any screen has columns, and few enough to need little memory.
pub const MAX_CELLS: usize = 1 << 14;

/// How the bytes of a cell are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// In the image file and on the host.
    Backed,
    /// In the image file, but a hole on the host.
    Hole,
    /// In a parent image.
    Parent,
    /// Marked as zeros by the child image.
    Zero,
    /// Not stored; the host can still back it.
    Absent,
    /// Not stored, and past the line: the host is full before it.
    OutOfReach,
    /// The block table is damaged.
    Damaged,
}

impl Class {
    /// All classes, in the order in which they are drawn and explained.
    pub const ALL: [Self; 7] =
        [Self::Backed, Self::Hole, Self::Parent, Self::Zero, Self::Absent, Self::OutOfReach, Self::Damaged];

    /// The class of a surveyed range; `reachable`: before the line past which the host cannot back blocks.
    pub fn of(stored: Stored, reachable: bool) -> Self {
        match (stored, reachable) {
            (Stored::Backed, _) => Self::Backed,
            (Stored::Damaged, _) => Self::Damaged,
            // A parent's data can be read, whether or not it can be overwritten.
            (Stored::Parent, _) => Self::Parent,
            (Stored::Hole, true) => Self::Hole,
            (Stored::Zero, true) => Self::Zero,
            (Stored::Absent, true) => Self::Absent,
            (Stored::Hole | Stored::Zero | Stored::Absent, false) => Self::OutOfReach,
        }
    }
}

/// Bytes of each kind in one cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    stored: [u64; Class::ALL.len()],
    /// In use by the filesystem.
    pub used: u64,
    /// Free in the filesystem. Bytes that are neither used nor free belong to no readable filesystem.
    pub free: u64,
}

impl Cell {
    /// Bytes stored in the way of `class`.
    pub fn stored(&self, class: Class) -> u64 {
        self.stored[class as usize]
    }

    /// All bytes counted as stored in some way: the cell's size after a complete survey.
    pub fn size(&self) -> u64 {
        self.stored.iter().sum()
    }
}

/// A property of a range, counted in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// How the bytes are stored.
    Stored(Class),
    /// In use by a filesystem.
    Used,
    /// Free to a filesystem.
    Free,
}

/// A range of the disk, divided into cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    range: Range<u64>,
    cells: Vec<Cell>,
    /// The cell that received the last bytes: ranges arrive in ascending order, mostly many per cell.
    last: usize,
}

impl Cells {
    /// Divides `range` into `count` cells, between 1 and [`MAX_CELLS`], none smaller than a byte.
    pub fn new(range: Range<u64>, count: usize) -> Self {
        let bytes = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let count = count.min(MAX_CELLS).min(bytes).max(1);
        Self { range, cells: vec![Cell::default(); count], last: 0 }
    }

    /// The range of the disk.
    pub fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// The cells in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The index of the cell that contains `offset`, if `offset` is in the range.
    pub fn position(&self, offset: u64) -> Option<usize> {
        self.range.contains(&offset).then(|| self.index(offset))
    }

    /// Counts the bytes of `range`; those outside the cells are ignored.
    pub fn add(&mut self, range: &Range<u64>, bytes: Bytes) {
        let (mut start, end) = (range.start.max(self.range.start), range.end.min(self.range.end));
        if start >= end {
            return;
        }
        let mut at = self.last;
        if !(self.start_of(at)..self.start_of(at + 1)).contains(&start) {
            at = self.index(start);
        }
        while start < end {
            let stop = self.start_of(at + 1).min(end);
            let cell = &mut self.cells[at];
            let sum = match bytes {
                Bytes::Stored(class) => &mut cell.stored[class as usize],
                Bytes::Used => &mut cell.used,
                Bytes::Free => &mut cell.free,
            };
            // Overlapping volumes count twice, and a hostile table may have many of them.
            *sum = sum.saturating_add(stop - start);
            self.last = at;
            start = stop;
            at += 1;
        }
    }

    /// The offset at which cell `index` begins; the end of the range for the index past the last cell.
    fn start_of(&self, index: usize) -> u64 {
        let (len, count) = (u128::from(self.range.end - self.range.start), self.cells.len() as u128);
        let within = len * (index as u128) / count;
        self.range.start + u64::try_from(within).expect("at most the stretch's length")
    }

    /// The index of the cell that contains `offset`, which must be in the range.
    fn index(&self, offset: u64) -> usize {
        let (len, count) = (u128::from(self.range.end - self.range.start), self.cells.len() as u128);
        let guess = u128::from(offset - self.range.start) * count / len;
        let guess = usize::try_from(guess).expect("below the number of cells");
        // Cells begin at rounded offsets: the guess may be one too low.
        if guess + 1 < self.cells.len() && self.start_of(guess + 1) <= offset { guess + 1 } else { guess }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_exactly_one_cell() {
        for (start, len, count) in [(0, 1000, 7), (13, 1001, 10), (5, 3, 10), (0, 64, 64), (9, 17, 16)] {
            let mut cells = Cells::new(start..start + len, count);
            for offset in start..start + len {
                let before = cells.clone();
                cells.add(&(offset..offset + 1), Bytes::Used);
                let changed = (0..cells.cells().len()).filter(|at| cells.cells()[*at] != before.cells()[*at]);
                let changed: Vec<_> = changed.collect();
                assert_eq!(changed.len(), 1, "{offset}");
                assert!((cells.start_of(changed[0])..cells.start_of(changed[0] + 1)).contains(&offset));
            }
            assert_eq!(cells.cells().iter().map(|cell| cell.used).sum::<u64>(), len);
        }
    }

    #[test]
    fn long_stretches_are_the_same_as_their_bytes_in_any_order() {
        let (mut whole, mut bytes) = (Cells::new(100..1100, 33), Cells::new(100..1100, 33));
        for range in [700..705, 0..350, 349..2000, 120..121] {
            whole.add(&range, Bytes::Stored(Class::Parent));
            range.for_each(|at| bytes.add(&(at..at + 1), Bytes::Stored(Class::Parent)));
        }
        assert_eq!(whole.cells(), bytes.cells());
    }

    #[test]
    fn the_largest_disk_and_the_widest_picture_do_not_overflow() {
        let mut cells = Cells::new(0..u64::MAX, usize::MAX);
        assert_eq!(cells.cells().len(), MAX_CELLS);
        cells.add(&(0..u64::MAX), Bytes::Stored(Class::Absent));
        cells.add(&(u64::MAX - 1..u64::MAX), Bytes::Free);
        assert_eq!(cells.cells().iter().map(Cell::size).sum::<u64>(), u64::MAX);
        assert_eq!(cells.cells()[MAX_CELLS - 1].free, 1);
        assert_eq!(Cells::new(5..5, 3).cells().len(), 1);
    }
}
