//! Partition tables: the ranges, names and types of a disk's partitions, and problems of the table.
//!
//! A GUID partition table is used when the master boot record announces it, or when nothing contradicts it; otherwise the
//! master boot record is used, unless the sector belongs to a filesystem that fills the whole disk.

mod check;
mod gpt;
mod layout;
mod mbr;
mod names;
mod problem;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use check::check;
pub use problem::Problem;
use serde::Serialize;

use crate::{
    Result,
    bytes::{ByteSource, Window, boot_sector, read_vec},
    guid::Guid,
    identity::{DiskId, PartitionId, PartitionType},
};

const MIN_SECTOR_SIZE: u32 = 512;
const MAX_SECTOR_SIZE: u32 = 4096;
/// Bytes that must be zero for a disk to count as blank: as many as partitioning tools leave before the first partition.
const BLANK_LEN: u64 = 1 << 20;

/// The partition table of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The kind of table.
    pub scheme: Scheme,
    /// Bytes per sector, the unit of the table.
    pub sector_size: u32,
    /// GPT disk GUID or MBR disk signature.
    pub disk_id: Option<DiskId>,
    /// Partitions by number. For [`Scheme::None`] the whole disk is number 1.
    pub partitions: Vec<Partition>,
    /// Problems of the table, and how they were worked around.
    pub problems: Vec<Problem>,
}

/// Kinds of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// A filesystem without a table ("superfloppy"), or an empty disk.
    None,
    /// Master boot record.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The number that other tools use (`sda3` → 3; logical partitions from 5).
    pub number: u32,
    /// Byte offset on the disk.
    pub start: u64,
    /// Size in bytes, as the table states it (may exceed the disk: see `problems`).
    pub size: u64,
    /// The name of the type (`EFI system partition`, `Microsoft reserved`); its code where unknown.
    pub type_name: String,
    /// The type in the table; `None` without a table.
    pub type_id: Option<PartitionType>,
    /// GPT partition GUID; `None` otherwise.
    pub id: Option<Guid>,
    /// GPT partition name; empty otherwise.
    pub name: String,
    /// GPT attribute bits; for MBR bit 0 is set when the partition is active.
    pub attributes: u64,
    /// True for an EFI system partition.
    pub esp: bool,
    /// Problems of this partition: beyond the disk's end, overlapping, …
    pub problems: Vec<Problem>,
}

impl Table {
    /// The identifier of one of its partitions; `None` on a disk without an identifier.
    pub fn partition_id(&self, partition: &Partition) -> Option<PartitionId> {
        match self.disk_id? {
            DiskId::Mbr(disk) => Some(PartitionId::Mbr { disk, start: partition.start }),
            DiskId::Gpt(_) => Some(PartitionId::Gpt { partition: partition.id? }),
        }
    }
}

impl Partition {
    /// The partition's bytes, cut off at the end of the disk.
    pub fn window(&self, disk: &Arc<dyn ByteSource>) -> Window {
        Window::new(disk.clone(), self.start, self.size)
    }

    /// The names of the set bits of [`Self::attributes`].
    pub fn attribute_names(&self) -> Vec<&'static str> {
        names::attributes(self.type_id, self.attributes)
    }

    /// The content of partitions of this type, if it is no filesystem, or none that is readable by itself.
    pub fn type_hint(&self) -> Option<&'static str> {
        self.type_id.and_then(names::hint)
    }
}

/// Reads the partition table of `disk`. `sector_size` is the size that the container states, if it does; otherwise 512
/// and 4096 are tried. Damage does not fail the scan: see [`Table::problems`].
///
/// # Errors
/// None in practice: an unreadable first sector becomes a problem of the table.
pub fn scan(disk: &Arc<dyn ByteSource>, sector_size: Option<u32>) -> Result<Table> {
    let mut problems = Vec::new();
    let boot = read_vec(disk.as_ref(), 0, usize::try_from(disk.size()).map_or(512, |size| size.min(512)));
    let lost = boot.is_err();
    let boot = boot.unwrap_or_else(|error| {
        let text = format!("the first sector cannot be read: {error}");
        problems.push(Problem::error(text, "an MBR's partitions are lost; a GPT is found without it"));
        Vec::new()
    });
    let record = mbr::Record::parse(&boot);
    let filesystem = boot_sector::is_filesystem(&boot);
    let sectors = disk.size() / u64::from(MIN_SECTOR_SIZE);
    let record = record.filter(|record| record.is_empty() || record.is_table(sectors, filesystem));
    let said = sector_size
        .filter(|size| size.is_power_of_two() && (MIN_SECTOR_SIZE..=MAX_SECTOR_SIZE).contains(size));

    if let Some(mut table) = scan_gpt(disk, said, record.as_ref(), filesystem, lost, &mut problems) {
        if lost {
            table.problems.splice(0..0, problems);
        }
        return Ok(table);
    }
    let mut table = match record {
        Some(record) if !record.is_empty() => {
            let sector_size = mbr_sector_size(disk, &record, said);
            problems.extend(said.filter(|said| *said != sector_size).map(|_| other_sectors(sector_size)));
            let found = record.read(disk, sector_size);
            problems.extend(found.problems);
            Table {
                scheme: Scheme::Mbr,
                sector_size,
                disk_id: record.disk_id(),
                partitions: found.partitions,
                problems,
            }
        }
        // Initialized, never partitioned. Not blank if a filesystem begins after a boot sector without entries.
        Some(record) if !filesystem && is_blank(disk, 512, BLANK_LEN) => {
            let sector_size = said.unwrap_or(MIN_SECTOR_SIZE);
            Table {
                scheme: Scheme::Mbr,
                sector_size,
                disk_id: record.disk_id(),
                partitions: Vec::new(),
                problems,
            }
        }
        _ => Table {
            scheme: Scheme::None,
            sector_size: said.unwrap_or(MIN_SECTOR_SIZE),
            disk_id: None,
            partitions: vec![Partition::whole(disk.size())],
            problems,
        },
    };
    if table.scheme != Scheme::None {
        layout::check(&mut table.partitions, disk.size());
    }
    Ok(table)
}

/// The GUID partition table, if the disk has a valid one. Otherwise `problems` receives the reason. `lost`: the first
/// sector cannot be read, so it does not contradict the table.
fn scan_gpt(
    disk: &Arc<dyn ByteSource>,
    said: Option<u32>,
    record: Option<&mbr::Record>,
    filesystem: bool,
    lost: bool,
    problems: &mut Vec<Problem>,
) -> Option<Table> {
    let protective = record.is_some_and(mbr::Record::is_protective);
    let other = if protective { "" } else { rival(record, filesystem) };
    for sector_size in sector_sizes(said) {
        let mut found = match gpt::read(disk, sector_size) {
            Ok(found) => found,
            Err(missing) => {
                if other.is_empty() {
                    problems.extend(missing.problems);
                }
                continue;
            }
        };
        if found.doubtful && !protective {
            // Neither a protective MBR nor a checksum confirms it.
            continue;
        }
        if !other.is_empty() {
            if found.primary_signed {
                let text = format!("the disk has a GUID partition table that is not in use: {other}");
                problems.push(Problem::note(text, "left over from an earlier use of the disk, as it seems"));
            }
            continue;
        }
        if !protective && !lost {
            // A lone backup may be left over from an earlier use of the disk: it counts only if the space before the
            // first partition is blank.
            let first = found.partitions.iter().map(|partition| partition.start).min().unwrap_or(BLANK_LEN);
            if !found.primary_signed && !is_blank(disk, 0, first.min(BLANK_LEN)) {
                continue;
            }
            let meaning =
                "programs that know no GPT, and some BIOSes, take the disk for empty; gdisk writes it anew";
            found.problems.push(Problem::warning("the protective MBR is missing", meaning));
        }
        let hybrid = record.map(mbr::Record::unprotective).unwrap_or_default();
        if !hybrid.is_empty() {
            let text = format!("hybrid MBR: its own partitions {hybrid:?} are not used, the GPT is");
            let meaning =
                "made on purpose for two operating systems; they must agree on where partitions are";
            found.problems.push(Problem::note(text, meaning));
        }
        if said.is_some_and(|said| said != sector_size) {
            found.problems.push(other_sectors(sector_size));
        }
        let gpt::Gpt { disk_id, mut partitions, problems, .. } = found;
        layout::check(&mut partitions, disk.size());
        return Some(Table {
            scheme: Scheme::Gpt,
            sector_size,
            disk_id: Some(disk_id),
            partitions,
            problems,
        });
    }
    if protective {
        let text = "no usable GUID partition table: what the protective MBR says is shown";
        problems.push(Problem::error(
            text,
            "both copies are lost: testdisk or gpart may find the partitions again",
        ));
    }
    None
}

fn other_sectors(sector_size: u32) -> Problem {
    let text = format!("the table was written for sectors of {sector_size} bytes");
    Problem::warning(
        text,
        "copied from a disk with other sectors: Windows and Linux do not find its partitions",
    )
}

/// What occupies the disk instead of a GUID partition table without a protective MBR; empty if nothing does.
fn rival(record: Option<&mbr::Record>, filesystem: bool) -> &'static str {
    match record {
        Some(record) if !record.is_empty() => "the MBR has partitions of its own and none that protects it",
        _ if filesystem => "a filesystem begins in the first sector",
        _ => "",
    }
}

/// The candidate sector sizes of a table, the likeliest first.
fn sector_sizes(said: Option<u32>) -> impl Iterator<Item = u32> {
    let others = [MIN_SECTOR_SIZE, MAX_SECTOR_SIZE].into_iter().filter(move |size| said != Some(*size));
    said.into_iter().chain(others)
}

/// The sector size of an MBR, which does not state it: `said`, else 512, unless only the other size leads to boot sectors
/// of that size or to extended boot records. Then the image was taken from a disk with other sectors.
fn mbr_sector_size(disk: &Arc<dyn ByteSource>, record: &mbr::Record, said: Option<u32>) -> u32 {
    let expected = said.unwrap_or(MIN_SECTOR_SIZE);
    let other = if expected == MAX_SECTOR_SIZE { MIN_SECTOR_SIZE } else { MAX_SECTOR_SIZE };
    let evidence = |size| record.evidence(disk, size);
    if evidence(other) > evidence(expected) { other } else { expected }
}

/// True when the disk holds only zeros between two offsets, the later of which is at most [`BLANK_LEN`].
fn is_blank(disk: &Arc<dyn ByteSource>, start: u64, end: u64) -> bool {
    let len = end.min(disk.size()).saturating_sub(start);
    let bytes = usize::try_from(len).ok().and_then(|len| read_vec(disk.as_ref(), start, len).ok());
    bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}

impl Partition {
    /// The whole disk as one partition, for a disk without a table.
    fn whole(size: u64) -> Self {
        Self {
            number: 1,
            start: 0,
            size,
            type_name: "whole disk".into(),
            type_id: None,
            id: None,
            name: String::new(),
            attributes: 0,
            esp: false,
            problems: Vec::new(),
        }
    }
}
