//! Checks the parts of a master boot record that do not affect where its partitions are.

use super::{PROTECTIVE, Record};
use crate::{
    check::{Finding, FindingSink},
    partition::Table,
};

const STRUCTURE: &str = "master boot record";

/// Checks a record that is the disk's partition table.
pub(in crate::partition) fn check(record: &Record, table: &Table, report: &mut dyn FindingSink) {
    let active = record.used().filter(|(_, entry, _)| entry.is_active()).count();
    if active > 1 {
        let problem = format!("{active} partitions are marked as active");
        let meaning = "which one the BIOS boots from is not defined; nothing else depends on it";
        report.finding(Finding::warning(STRUCTURE, problem, meaning));
    }
    let sector_size = u64::from(table.sector_size);
    let extended: Vec<_> = record
        .used()
        .filter(|(_, entry, _)| entry.is_extended())
        .map(|(number, entry, _)| {
            let start = u64::from(entry.starting_lba) * sector_size;
            (number, start..start + u64::from(entry.sectors) * sector_size)
        })
        .collect();
    if extended.len() > 1 {
        let problem = format!("{} extended partitions", extended.len());
        let meaning = "DOS and Windows know one; the logical partitions of all are shown";
        report.finding(Finding::note(STRUCTURE, problem, meaning));
    }
    for partition in table.partitions.iter().filter(|partition| partition.size > 0) {
        let structure = format!("partition {}", partition.number);
        let own = partition.start..partition.start.saturating_add(partition.size);
        let overlaps = extended.iter().find(|(_, range)| own.start < range.end && range.start < own.end);
        let inside = extended.iter().any(|(_, range)| range.start <= own.start && own.end <= range.end);
        match overlaps {
            Some((number, _)) if partition.number <= 4 => {
                let problem = format!("overlaps the extended partition {number}");
                let meaning = "where both lie, one has overwritten the other";
                report.finding(Finding::error(structure, problem, meaning));
            }
            _ if partition.number > 4 && !inside => {
                let problem = "a logical partition that is not within its extended partition";
                let meaning = "other programs may not show it, or give its space to another partition";
                report.finding(Finding::warning(structure, problem, meaning));
            }
            _ => {}
        }
    }
}

/// Checks a protective MBR, on a disk of `disk_sectors` sectors.
pub(in crate::partition) fn protective(record: &Record, disk_sectors: u64, report: &mut dyn FindingSink) {
    let Some((_, entry, _)) = record.used().find(|(_, entry, _)| entry.sys == PROTECTIVE) else { return };
    let expected = u32::try_from(disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    if !record.unprotective().is_empty() {
        // The protective entry of a hybrid MBR covers only the rest of the disk.
        return;
    }
    // Windows writes 0xffffffff whatever the size, which is accepted.
    if entry.starting_lba != 1 || !(entry.sectors == expected || entry.sectors == u32::MAX) {
        let problem = format!(
            "its protective entry covers {} sectors from sector {}, not {expected} from sector 1",
            entry.sectors, entry.starting_lba
        );
        let meaning = "nothing reads it; programs that know no GPT may take the rest of the disk for free";
        report.finding(Finding::note("protective MBR", problem, meaning));
    }
}
