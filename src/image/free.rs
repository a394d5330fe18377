//! What the filesystems of a disk call free, as ranges of the disk.

use std::{
    convert::Infallible,
    ops::{ControlFlow, Range},
};

use super::Image;
use crate::{
    fs::probe::Probe,
    partition::{Partition, Scheme},
    volume::Origin,
};

/// Bytes at both ends of a disk with a partition table that are kept in any case: the tables lie there.
const TABLES: u64 = 1 << 20;

impl Image {
    /// The ranges of the disk that its filesystems call free, sorted and without overlaps; and what was not asked, with the
    /// reason: volumes without a readable filesystem, those that were not cleanly unmounted, and those that share sectors with
    /// another. Memory: at most 64 bytes for each stored byte of an allocation map.
    pub fn free_ranges(&self) -> (Vec<Range<u64>>, Vec<String>) {
        let (mut free, mut kept) = (Vec::new(), Vec::new());
        let partitions = &self.table().partitions;
        for (volume, probe) in self.volumes() {
            let Probe::Readable(fs) = probe else {
                kept.push(format!("{}: no readable filesystem", volume.name));
                continue;
            };
            // Newer metadata may be in a journal, or were never written: what its map calls free may be in use.
            if let Some(reason) = fs.volume().unclean() {
                kept.push(format!("{}: {reason}", volume.name));
                continue;
            }
            if shares_sectors(partitions, volume.origin) {
                kept.push(format!("{}: it shares sectors with another partition", volume.name));
                continue;
            }
            let mut stretches = volume.stretches();
            let mut of_volume = Vec::new();
            let asked = fs.space().free_ranges(&mut |range| {
                let added: Result<(), Infallible> = stretches.each(range, &mut |part, stretch| {
                    of_volume.extend(stretch.part_on_disk(&part));
                    Ok(())
                });
                added.unwrap_or_else(|never| match never {});
                ControlFlow::Continue(())
            });
            match asked {
                Err(error) => kept.push(format!("{}: {error}", volume.name)),
                Ok(()) => free.append(&mut of_volume),
            }
        }
        let size = self.disk().layers().first().map_or(0, |top| top.virtual_size());
        let edge = if self.table().scheme == Scheme::None { 0 } else { TABLES };
        let inside = edge..size.saturating_sub(edge);
        free.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in free {
            let range = range.start.max(inside.start)..range.end.min(inside.end);
            match merged.last_mut() {
                _ if range.is_empty() => {}
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        (merged, kept)
    }
}

/// True for a partition that overlaps another one, which may use what this one calls free.
fn shares_sectors(partitions: &[Partition], origin: Origin) -> bool {
    let Origin::Partition(number) = origin else { return false };
    let range = |partition: &Partition| partition.start..partition.start.saturating_add(partition.size);
    let own = partitions.iter().find(|partition| partition.number == number).map(range);
    let others = partitions.iter().filter(|partition| partition.number != number).map(range);
    own.is_some_and(|own| others.into_iter().any(|other| own.start < other.end && other.start < own.end))
}
