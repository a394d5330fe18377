//! Where a volume's bytes lie on its disk. What counts bytes of the disk asks here, and never adds a start to an offset: a
//! volume may lie in several stretches, in any order, or hold bytes that are stored nowhere.

use std::ops::Range;

use super::Volume;

/// Where a stretch of a volume lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// On the disk, without a gap.
    Disk {
        /// First byte on the disk.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Not on the disk.
    Nowhere {
        /// How many bytes.
        len: u64,
    },
}

/// What a source of a volume's bytes says of their place.
pub trait Placement: Send + Sync {
    /// Where the bytes from `offset` on lie, and for how long: as long as is known without reading; it may be longer than the
    /// volume. Reads nothing.
    fn place(&self, offset: u64) -> Placed;
}

/// Without a gap from this byte of the disk on.
pub(super) struct From(pub(super) u64);

impl Placement for From {
    fn place(&self, offset: u64) -> Placed {
        match self.0.checked_add(offset) {
            Some(offset) => Placed::Disk { offset, len: u64::MAX - offset },
            None => Placed::Nowhere { len: u64::MAX },
        }
    }
}

/// A part of a volume that lies together, or is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Bytes of the volume.
    pub range: Range<u64>,
    /// The place of the first one on the disk.
    pub disk: Option<u64>,
}

impl Stretch {
    /// Its bytes of the disk.
    pub fn on_disk(&self) -> Option<Range<u64>> {
        self.part_on_disk(&self.range)
    }

    /// The bytes of the disk that a part of it has.
    pub fn part_on_disk(&self, part: &Range<u64>) -> Option<Range<u64>> {
        let start = self.disk?.saturating_add(part.start.saturating_sub(self.range.start));
        Some(start..start.saturating_add(part.end.saturating_sub(part.start)))
    }

    fn goes_on_in(&self, next: &Self) -> bool {
        match (self.on_disk(), next.disk) {
            (Some(own), Some(next)) => own.end == next,
            (own, next) => own.is_none() && next.is_none(),
        }
    }
}

/// The stretches of a volume, for ranges of the volume in ascending order. Each place is asked for once.
pub struct Stretches<'a> {
    volume: &'a Volume,
    current: Stretch,
    next: Stretch,
}

impl<'a> Stretches<'a> {
    pub(super) fn new(volume: &'a Volume) -> Self {
        let none = Stretch { range: 0..0, disk: None };
        let mut stretches = Self { volume, next: none.clone(), current: none };
        stretches.next = stretches.ask(0);
        stretches
    }

    /// The longest stretch around `offset`. Behind the end of the volume there is one that is nowhere.
    pub fn at(&mut self, offset: u64) -> &Stretch {
        if offset < self.current.range.start {
            *self = Self::new(self.volume);
        }
        while offset >= self.current.range.end && self.current.range.end < u64::MAX {
            self.advance();
        }
        &self.current
    }

    /// Calls `sink` with each part of `range`: its bytes of the volume, and the stretch that they lie in.
    #[allow(clippy::type_complexity, reason = "a callback that may fail")]
    pub fn each<E>(
        &mut self,
        range: Range<u64>,
        sink: &mut dyn FnMut(Range<u64>, &Stretch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = range.start;
        while start < range.end {
            let stretch = self.at(start);
            let end = stretch.range.end.min(range.end);
            sink(start..end, stretch)?;
            start = end;
        }
        Ok(())
    }

    fn advance(&mut self) {
        self.current = self.next.clone();
        loop {
            self.next = self.ask(self.current.range.end);
            if self.current.range.end == u64::MAX || !self.current.goes_on_in(&self.next) {
                return;
            }
            self.current.range.end = self.next.range.end;
        }
    }

    fn ask(&self, start: u64) -> Stretch {
        let (disk, len) = match self.volume.place(start) {
            Placed::Disk { offset, len } => (Some(offset), len),
            Placed::Nowhere { len: 0 } => (None, u64::MAX),
            Placed::Nowhere { len } => (None, len),
        };
        Stretch { range: start..start.saturating_add(len), disk }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use super::*;
    use crate::{
        bytes::{MemorySource, Window},
        volume::{Origin, Piece, tests::Scattered},
    };

    fn parts(volume: &Volume, range: Range<u64>) -> Vec<(Range<u64>, Option<u64>)> {
        let mut parts = Vec::new();
        let mut stretches = volume.stretches();
        let listed = stretches.each(range, &mut |part, stretch| {
            parts.push((part, stretch.disk));
            Ok::<_, Infallible>(())
        });
        listed.unwrap();
        parts
    }

    #[test]
    fn a_partition_lies_in_one_stretch_and_ends_with_its_disk() {
        let bytes = Window::new(Arc::new(MemorySource(vec![0; 100])), 40, 80);
        let piece = Piece { id: None, name: "p1".into(), origin: Origin::Partition(1), bytes };
        let volume = Volume::from(piece);
        assert_eq!(volume.place(0), Placed::Disk { offset: 40, len: 60 });
        assert_eq!(volume.place(59), Placed::Disk { offset: 99, len: 1 });
        for offset in [60, u64::MAX] {
            assert_eq!(volume.place(offset), Placed::Nowhere { len: 0 });
        }
        assert_eq!(parts(&volume, 10..80), [(10..60, Some(40)), (60..80, None)]);
        assert_eq!(volume.stretches().at(u64::MAX).disk, None);
    }

    #[test]
    fn scattered_volumes_are_walked_in_their_own_order() {
        let volume =
            Scattered::volume(vec![(Some(50), 10), (Some(60), 5), (Some(0), 10), (None, 3), (None, 4)]);
        assert_eq!(volume.place(12), Placed::Disk { offset: 62, len: 3 });
        // What lies together is one stretch, however often it is asked for.
        let expected = [(5..15, Some(50)), (15..25, Some(0)), (25..40, None)];
        assert_eq!(parts(&volume, 5..40), expected);
        let mut stretches = volume.stretches();
        assert_eq!(stretches.at(24).range, 15..25);
        assert_eq!(stretches.at(3).range, 0..15);
    }
}
