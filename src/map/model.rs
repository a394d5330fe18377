//! Surveys an image for its map: totals, cells, partitions, and the line past which the host cannot back blocks.
//! Independent of pixels and terminals.

use std::{
    convert::Infallible,
    ops::{ControlFlow, Range},
};

use super::{
    cells::{Bytes, Cells, Class},
    text::shown,
};
use crate::{
    Result,
    capacity::{Report, Stored},
    fs::{FileSystem, probe::Probe},
    image::{Image, VolumeState},
    partition::{Partition, Scheme},
    size::human,
    volume::Volume,
};

/// Most partitions with a strip of their own; with more, the largest ones.
const MAX_STRIPS: usize = 12;

/// A surveyed disk.
#[derive(Debug, Clone)]
pub struct Map {
    /// The image's name, safe to display.
    pub name: String,
    /// The totals at the time of the survey.
    pub report: Report,
    /// The whole disk.
    pub disk: Cells,
    /// The offset at which the host is full if the disk is filled from its beginning; `None` when it can back the whole
    /// disk.
    pub line: Option<u64>,
    /// The partitions by number.
    pub partitions: Vec<Span>,
    /// Detailed maps of partitions, in the order of the table.
    pub strips: Vec<Strip>,
}

/// A partition's name and range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// `p3`
    pub name: String,
    /// The label, or the partition's type.
    pub label: String,
    /// Its bytes, cut off at the end of the disk.
    pub range: Range<u64>,
}

/// The detailed map of a partition.
#[derive(Debug, Clone)]
pub struct Strip {
    /// `p3`
    pub name: String,
    /// Type and content, safe to display.
    pub title: String,
    /// Its bytes.
    pub cells: Cells,
}

impl Map {
    /// Surveys `image`: reads its block table once and each allocation bitmap once. `columns`: cells of the disk and of
    /// each strip.
    ///
    /// # Errors
    /// When the block table or the host cannot be read. A damaged bitmap leaves its volume blank.
    pub fn of(image: &Image, columns: usize) -> Result<Self> {
        let capacity = image.capacity();
        let report = capacity.report()?;
        let size = report.virtual_size;
        let mut map = Self {
            name: name_of(image),
            disk: Cells::new(0..size, columns),
            line: None,
            partitions: partitions(image, size),
            strips: strips(image, size, columns),
            report,
        };
        let mut reach = Reach::new(&map.report);
        capacity.survey(&mut |range, stored| {
            for (range, class) in reach.split(range, stored).into_iter().flatten() {
                map.add(&range, Bytes::Stored(class));
            }
        })?;
        map.line = reach.line;
        for (volume, content) in image.volumes() {
            if let Probe::Readable(fs) = content {
                in_use(volume, &**fs, &mut |range, bytes| map.add(range, bytes));
            }
        }
        Ok(map)
    }

    fn add(&mut self, range: &Range<u64>, bytes: Bytes) {
        self.disk.add(range, bytes);
        self.strips.iter_mut().for_each(|strip| strip.cells.add(range, bytes));
    }

    /// Bytes of the disk that the host can still back.
    pub fn growth(&self) -> u64 {
        self.report.achievable_size.saturating_sub(self.report.backed)
    }
}

/// Calls `add` with each range of the disk that a volume has in use or free. The ranges between the free ones are in use.
fn in_use(volume: &Volume, fs: &dyn FileSystem, add: &mut dyn FnMut(&Range<u64>, Bytes)) {
    let mut stretches = volume.stretches();
    let mut add = |range: Range<u64>, bytes| {
        let added: Result<(), Infallible> = stretches.each(range, &mut |part, stretch| {
            if let Some(part) = stretch.part_on_disk(&part) {
                add(&part, bytes);
            }
            Ok(())
        });
        added.unwrap_or_else(|never| match never {});
    };
    let size = volume.bytes.size();
    let mut done = 0;
    let ranges = fs.space().free_ranges(&mut |range| {
        let start = range.start.clamp(done, size);
        let end = range.end.clamp(start, size);
        add(done..start, Bytes::Used);
        add(start..end, Bytes::Free);
        done = end;
        ControlFlow::Continue(())
    });
    if ranges.is_ok() {
        add(done..fs.volume().size.clamp(done, size), Bytes::Used);
    }
}

/// Finds the line: the offset before which exactly as many bytes are unbacked as the host can still back.
struct Reach {
    left: u64,
    line: Option<u64>,
    /// False when the host can back everything: then there is no line, whatever the rounding.
    limited: bool,
}

impl Reach {
    fn new(report: &Report) -> Self {
        let left = report.achievable_size.saturating_sub(report.backed);
        Self { left, line: None, limited: report.status != crate::capacity::Status::Ok }
    }

    /// Splits a range at the line: the part before it and the part after it.
    fn split(&mut self, range: Range<u64>, stored: Stored) -> [Option<(Range<u64>, Class)>; 2] {
        let (near, far) = (Class::of(stored, true), Class::of(stored, false));
        if !self.limited || matches!(stored, Stored::Backed | Stored::Damaged) {
            return [Some((range, near)), None];
        }
        if self.line.is_some() {
            return [Some((range, far)), None];
        }
        let len = range.end - range.start;
        if len <= self.left {
            self.left -= len;
            return [Some((range, near)), None];
        }
        let line = range.start + self.left;
        self.line = Some(line);
        [Some((range.start..line, near)), Some((line..range.end, far))]
    }
}

fn name_of(image: &Image) -> String {
    let path = image.container().infos().next().map(|info| info.path.clone()).unwrap_or_default();
    let name = std::path::Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
    shown(&name.unwrap_or_else(|| "image".into()))
}

fn place(partition: &Partition, disk: u64) -> Range<u64> {
    let start = partition.start.min(disk);
    start..partition.start.saturating_add(partition.size).min(disk)
}

fn partitions(image: &Image, disk: u64) -> Vec<Span> {
    if image.table().scheme == Scheme::None {
        return Vec::new();
    }
    let spans = image.partitions().zip(image.volumes()).map(|((partition, content), (volume, _))| {
        let label = match content {
            Probe::Readable(fs) => match fs.volume() {
                info if info.label.is_empty() => info.filesystem.name().to_owned(),
                info => info.label,
            },
            Probe::Recognized { name, .. } | Probe::Damaged { name, .. } => (*name).to_owned(),
            Probe::Unformatted => "unformatted".to_owned(),
            Probe::Unknown => partition.type_name.clone(),
        };
        Span { name: volume.name.clone(), label: shown(&label), range: place(partition, disk) }
    });
    spans.collect()
}

fn strips(image: &Image, disk: u64, columns: usize) -> Vec<Strip> {
    let volumes = image.volumes().map(|(volume, _)| &volume.name);
    let mut chosen: Vec<_> = image.partitions().zip(volumes).enumerate().collect();
    // Without a table the partition is the whole disk, and would be drawn twice.
    if chosen.len() == 1 && image.table().scheme == Scheme::None {
        chosen.clear();
    }
    chosen.sort_by_key(|(_, ((partition, _), _))| std::cmp::Reverse(partition.size));
    chosen.truncate(MAX_STRIPS);
    chosen.sort_by_key(|(index, _)| *index);
    let strips = chosen.into_iter().map(|(_, ((partition, content), name))| {
        let range = place(partition, disk);
        let state = VolumeState::of_partition(partition, content);
        let title = format!("{}, {}: {}", partition.type_name, human(range.end - range.start), state);
        Strip { name: name.clone(), title: shown(&title), cells: Cells::new(range, columns) }
    });
    strips.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{capacity::tests::FreeList, volume::tests::Scattered};

    #[test]
    fn a_volume_is_drawn_where_it_lies_on_the_disk() {
        // The second half of the disk first, then bytes that are nowhere, then the first half.
        let volume = Scattered::volume(vec![(Some(50), 50), (None, 10), (Some(0), 50)]);
        let mut drawn = Vec::new();
        in_use(&volume, &FreeList(vec![5..20, 45..65, 109..120]), &mut |range, bytes| {
            drawn.push((range.clone(), matches!(bytes, Bytes::Free)));
        });
        drawn.retain(|(range, _)| !range.is_empty());
        let expected = [
            (50..55, false),
            (55..70, true),
            (70..95, false),
            (95..100, true),
            (0..5, true),
            (5..49, false),
            (49..50, true),
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn the_line_is_where_the_host_is_full() {
        let mut reach = Reach { left: 10, line: None, limited: true };
        assert_eq!(reach.split(0..5, Stored::Backed), [Some((0..5, Class::Backed)), None]);
        assert_eq!(reach.split(5..12, Stored::Absent), [Some((5..12, Class::Absent)), None]);
        assert_eq!(
            reach.split(12..20, Stored::Hole),
            [Some((12..15, Class::Hole)), Some((15..20, Class::OutOfReach))]
        );
        assert_eq!(reach.line, Some(15));
        assert_eq!(reach.split(20..30, Stored::Parent), [Some((20..30, Class::Parent)), None]);
        assert_eq!(reach.split(30..40, Stored::Absent), [Some((30..40, Class::OutOfReach)), None]);
        assert_eq!(reach.split(40..50, Stored::Backed), [Some((40..50, Class::Backed)), None]);
    }

    #[test]
    fn a_host_that_has_room_draws_no_line() {
        let mut reach = Reach { left: 0, line: None, limited: false };
        assert_eq!(reach.split(0..5, Stored::Absent), [Some((0..5, Class::Absent)), None]);
        assert_eq!(reach.line, None);
    }
}
