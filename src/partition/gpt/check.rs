//! Checks the parts of a GPT that do not affect where its partitions are: the places of its copies and arrays, the usable
//! sectors, unused entries.

use std::sync::Arc;

use super::{Copy, array_len, find_backup};
use crate::{
    bytes::ByteSource,
    check::{Finding, FindingSink},
    partition::Table,
};

/// Checks both copies of the table.
pub(in crate::partition) fn check(disk: &Arc<dyn ByteSource>, table: &Table, report: &mut dyn FindingSink) {
    let sectors = disk.size() / u64::from(table.sector_size);
    let Some(last) = sectors.checked_sub(1).filter(|last| *last >= 2) else { return };
    let primary = Copy::read(disk, table.sector_size, 1, "primary");
    let backup = find_backup(disk, table.sector_size, &primary, last);
    for (copy, other) in [(&primary, &backup), (&backup, &primary)] {
        header(copy, other, table, last, report);
    }
    let array = primary.array.as_ref().or(backup.array.as_ref());
    let entry_len = primary.header.as_ref().or(backup.header.as_ref()).map_or(0, |header| header.part_size);
    if let (Ok(array), Ok(len @ 1..)) = (array, usize::try_from(entry_len)) {
        unused_entries(array, len, report);
    }
}

/// Checks the fields of a valid header.
fn header(copy: &Copy, other: &Copy, table: &Table, last: u64, report: &mut dyn FindingSink) {
    let Ok(header) = &copy.header else { return };
    let structure = format!("{} GPT header", copy.name);
    let mut warn = |problem: String, meaning: &str| {
        report.finding(Finding::warning(&*structure, problem, meaning));
    };
    if other.header.is_ok() && header.backup_lba != other.lba {
        let problem = format!(
            "names sector {} for the other copy, which is in sector {}",
            header.backup_lba, other.lba
        );
        warn(
            problem,
            "programs that need the other copy may not find it; gdisk's expert command `e` moves it",
        );
    }
    let sectors = array_len(header).div_ceil(table.sector_size.into());
    let array = header.part_start..header.part_start.saturating_add(sectors);
    let (first, end) = (header.first_usable, header.last_usable);
    if first > end || end > last {
        let problem =
            format!("keeps sectors {first} to {end} for partitions, of a disk whose last one is {last}");
        warn(problem, "programs that add partitions may go wrong; gdisk writes the table anew");
    } else if array.start <= end && first < array.end {
        let problem = format!(
            "its array in sectors {} to {} reaches into those for partitions ({first} to {end})",
            array.start,
            array.end.saturating_sub(1)
        );
        warn(problem, "a new partition there would overwrite the array");
    }
    let bytes = |sector: u64| sector.saturating_mul(table.sector_size.into());
    for partition in &table.partitions {
        let partition_end = partition.start.saturating_add(partition.size);
        if partition.size > 0 && partition.start < bytes(array.end) && bytes(array.start) < partition_end {
            let structure = format!("partition {}", partition.number);
            let problem = format!("lies over the {} GPT's array of entries", copy.name);
            let meaning =
                "writing to the partition destroys the table, and the table has destroyed what was there";
            report.finding(Finding::error(structure, problem, meaning));
        }
    }
}

/// Checks that unused entries, those without a type, are all zeros.
fn unused_entries(array: &[u8], entry_len: usize, report: &mut dyn FindingSink) {
    let is_strange = |entry: &&[u8]| entry[..16].iter().all(|b| *b == 0) && entry.iter().any(|b| *b != 0);
    let strange = array.chunks_exact(entry_len).filter(is_strange).count();
    if strange > 0 {
        let problem = format!("{strange} unused entries are not empty");
        let meaning = "the rest of deleted partitions: where they were may still be read from them";
        report.finding(Finding::note("GUID partition table", problem, meaning));
    }
}
