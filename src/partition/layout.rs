//! Checks the ranges of partitions: empty, not on the disk, overlapping.

use super::{Partition, Problem};

const CUT_OFF: &str = "the disk was cut down, or the image cut off: what lay beyond is lost";

/// Adds its problems to each partition.
pub(super) fn check(partitions: &mut [Partition], disk_size: u64) {
    for partition in &mut *partitions {
        let end = end(partition);
        let Partition { start, size, problems, .. } = partition;
        if *size == 0 {
            problems.push(Problem::warning("empty", "nothing can be in it"));
        } else if *start >= disk_size {
            problems.push(Problem::error("begins beyond the disk's end", CUT_OFF));
        } else if end > disk_size {
            let text = format!("ends {} bytes beyond the disk's end: cut off there", end - disk_size);
            problems.push(Problem::error(text, CUT_OFF));
        }
    }
    let mut by_start: Vec<_> = (0..partitions.len()).filter(|index| partitions[*index].size > 0).collect();
    by_start.sort_by_key(|index| partitions[*index].start);
    // The partition before this one that ends last: comparing with it finds every partition that overlaps another.
    let mut farthest: Option<usize> = None;
    for index in by_start {
        if let Some(before) = farthest.filter(|before| end(&partitions[*before]) > partitions[index].start) {
            for (one, other) in [(index, before), (before, index)] {
                let problem = format!("overlaps partition {}", partitions[other].number);
                let meaning = "where both lie, one has overwritten the other";
                partitions[one].problems.push(Problem::error(problem, meaning));
            }
        }
        if farthest.is_none_or(|before| end(&partitions[index]) > end(&partitions[before])) {
            farthest = Some(index);
        }
    }
}

/// The end of a partition in bytes; saturated, which is beyond every disk.
fn end(partition: &Partition) -> u64 {
    partition.start.saturating_add(partition.size)
}
