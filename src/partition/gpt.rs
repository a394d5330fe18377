//! GUID partition table (UEFI specification, 5.3). A header and its array of entries are accepted only when both
//! checksums match; damaged parts of one copy are taken from the other.
//!
//! Crate `gpt` decodes the validated structures. By itself it panics on entry sizes other than 128, reads as many entries
//! as the header states, and fails on a damaged primary array even if the backup is whole.

pub(super) mod check;

use std::{io::Cursor, sync::Arc};

use gpt::{disk::LogicalBlockSize, header::Header};

use super::{MAX_SECTOR_SIZE, Partition, Problem, names};
use crate::{
    bytes::{ByteSource, read_vec},
    check::Severity,
    guid::Guid,
    identity::{DiskId, PartitionType},
};

const SIGNATURE: &[u8] = b"EFI PART";
/// Length of the header's defined fields; `HeaderSize` may be larger, for fields that no revision has defined yet.
const HEADER_LEN: usize = 92;
/// Most entries of a table. Disks have 128, seldom more; a header that states more than this is treated as damaged.
const MAX_ENTRIES: u32 = 1024;
/// Length of an entry's defined fields; `SizeOfPartitionEntry` is this times a power of two.
const ENTRY_LEN: usize = 128;
/// Longest entry, 32 times the defined fields; a header that states more is treated as damaged. With `MAX_ENTRIES` an
/// array takes 4 MiB at most.
const MAX_ENTRY_LEN: u32 = 4096;
/// The crate is given an image of a disk with this sector size, whatever the real one is.
const CRATE_SECTOR: LogicalBlockSize = LogicalBlockSize::Lb512;

/// The GPT of a disk.
pub(super) struct Gpt {
    pub(super) disk_id: DiskId,
    pub(super) partitions: Vec<Partition>,
    pub(super) problems: Vec<Problem>,
    /// True when the primary header has its signature, so the backup is not just a leftover at the end of the disk.
    pub(super) primary_signed: bool,
    /// True when no checksum confirms the partitions: another table of the disk takes precedence.
    pub(super) doubtful: bool,
}

/// Why a disk has no GPT: no trace of one, or one beyond repair.
pub(super) struct Missing {
    /// Empty when no header has the signature.
    pub(super) problems: Vec<Problem>,
}

/// One of the two copies: a header, and its array if the header's checksum matches.
struct Copy {
    name: &'static str,
    lba: u64,
    signed: bool,
    /// The LBA of the other copy, from a header that has the signature, damaged or not.
    alternate: Option<u64>,
    header: Result<Header, String>,
    array: Result<Vec<u8>, String>,
}

/// Reads the table of `disk`, which counts in sectors of `sector_size` bytes.
pub(super) fn read(disk: &Arc<dyn ByteSource>, sector_size: u32) -> Result<Gpt, Missing> {
    let sectors = disk.size() / u64::from(sector_size);
    let Some(last) = sectors.checked_sub(1).filter(|last| *last >= 2) else {
        return Err(Missing { problems: Vec::new() });
    };
    let primary = Copy::read(disk, sector_size, 1, "primary");
    let backup = find_backup(disk, sector_size, &primary, last);
    let primary_signed = primary.signed;

    let mut problems: Vec<_> = [&primary, &backup].into_iter().filter_map(Copy::problem).collect();
    let Some((header, array, source)) = choose(disk, sector_size, &primary, &backup) else {
        if let Some((partitions, disk_id)) = doubtful(disk, sector_size, &[&primary, &backup]) {
            problems.push(Problem::error(
                "no copy of the GUID partition table has the checksum that it states: shown as it stands",
                "entries may be wrong; compare with what the volumes say; Windows and Linux ignore such a table, gdisk writes it anew",
            ));
            return Ok(Gpt { disk_id, partitions, problems, primary_signed, doubtful: true });
        }
        if !primary.signed && !backup.signed {
            problems.clear();
        }
        for problem in &mut problems {
            problem.severity = Severity::Error;
            problem.meaning =
                "no copy of the table is whole: testdisk or gpart may find the partitions again";
        }
        return Err(Missing { problems });
    };
    problems.extend(source.map(|source| Problem::note(source, "it says the same as what was lost")));
    problems.extend(disagreement(&primary, &backup, last));
    let partitions = partitions(header, &array, sector_size);
    let disk_id = DiskId::Gpt(Guid(header.disk_guid.to_bytes_le()));
    Ok(Gpt { disk_id, partitions, problems, primary_signed, doubtful: false })
}

/// Finds the backup: at the primary's alternate LBA (not the end of a disk that was enlarged since), or in the disk's
/// last sector. The backup is validated by its own checksum, so even a damaged primary header may point to it.
fn find_backup(disk: &Arc<dyn ByteSource>, sector_size: u32, primary: &Copy, last: u64) -> Copy {
    let stated = primary.alternate.filter(|lba| *lba > 1 && *lba != last);
    let stated = stated.map(|lba| Copy::read(disk, sector_size, lba, "backup"));
    match stated {
        Some(stated) if stated.header.is_ok() => stated,
        stated => {
            let at_end = Copy::read(disk, sector_size, last, "backup");
            let stated = stated.filter(|_| primary.header.is_ok() && at_end.header.is_err());
            stated.unwrap_or(at_end)
        }
    }
}

/// Chooses a header and the array that it confirms, with a problem when these are not the primary header and its array.
fn choose<'a>(
    disk: &Arc<dyn ByteSource>,
    sector_size: u32,
    primary: &'a Copy,
    backup: &'a Copy,
) -> Option<(&'a Header, Vec<u8>, Option<&'static str>)> {
    if let (Ok(header), Ok(array)) = (&primary.header, &primary.array) {
        return Some((header, array.clone(), None));
    }
    if let (Ok(header), Ok(array)) = (&backup.header, &backup.array) {
        return Some((header, array.clone(), Some("the backup GUID partition table is used")));
    }
    // With one header left, the other copy's array may be whole: both copies have the same array checksum.
    if let Ok(header) = &primary.header {
        let sectors = array_len(header).div_ceil(u64::from(sector_size));
        let beside_backup = backup.lba.checked_sub(sectors)?;
        let array = read_array(disk, sector_size, header, beside_backup).ok()?;
        return Some((header, array, Some("the primary header is used with the backup's partition array")));
    }
    let header = backup.header.as_ref().ok()?;
    let array = read_array(disk, sector_size, header, 2).ok()?;
    Some((header, array, Some("the backup header is used with the primary's partition array")))
}

/// The partitions and the disk's identifier of the first copy that is plausible although no checksum matches: it has a
/// signature in its place and an array on the disk, which holds only empty entries and partitions that lie on the disk
/// without overlapping.
fn doubtful(
    disk: &Arc<dyn ByteSource>,
    sector_size: u32,
    copies: &[&Copy],
) -> Option<(Vec<Partition>, DiskId)> {
    copies.iter().find_map(|copy| {
        let sector = read_sectors(disk, sector_size, copy.lba, sector_size.into()).ok()?;
        let header = decode_header(&sector, copy.lba).ok()?;
        let array = read_sectors(disk, sector_size, header.part_start, array_len(&header)).ok()?;
        let mut partitions = partitions(&header, &array, sector_size);
        let mut ends: Vec<_> = partitions.iter().map(|p| (p.start, p.start.saturating_add(p.size))).collect();
        ends.sort_unstable();
        let on_disk = ends.iter().all(|(start, end)| *start > 0 && start < end && *end <= disk.size());
        let apart = ends.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        let plausible = !partitions.is_empty() && on_disk && apart;
        for partition in &mut partitions {
            let meaning = "no checksum vouches for it: what its volume says counts more";
            partition.problems.push(Problem::warning("its place is not certain", meaning));
        }
        plausible.then(|| (partitions, DiskId::Gpt(Guid(header.disk_guid.to_bytes_le()))))
    })
}

/// The inconsistency between two valid copies, if any.
fn disagreement(primary: &Copy, backup: &Copy, last: u64) -> Option<Problem> {
    let (Ok(first), Ok(second)) = (&primary.header, &backup.header) else { return None };
    if first.crc32_parts != second.crc32_parts || first.disk_guid != second.disk_guid {
        let text = "the primary and the backup GUID partition table differ: the primary is used";
        let meaning = "one of them is old; programs that fall back on the backup see other partitions";
        return Some(Problem::warning(text, meaning));
    }
    (backup.lba != last).then(|| {
        let text = format!(
            "the backup GUID partition table is in sector {}, not in the last one ({last}): \
             the disk was enlarged and its new space is not part of the table yet",
            backup.lba
        );
        Problem::warning(
            text,
            "nothing is lost; `sgdisk -e` or Windows' disk management moves the backup to the end",
        )
    })
}

impl Copy {
    fn read(disk: &Arc<dyn ByteSource>, sector_size: u32, lba: u64, name: &'static str) -> Self {
        let sector = read_sectors(disk, sector_size, lba, u64::from(sector_size));
        let signed = sector.as_ref().is_ok_and(|sector| sector.starts_with(SIGNATURE));
        let alternate = sector.as_ref().ok().filter(|_| signed).and_then(|sector| sector.get(32..40));
        let alternate = alternate.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let header = sector.and_then(|sector| parse_header(&sector, lba));
        let array = match &header {
            Ok(header) => read_array(disk, sector_size, header, header.part_start),
            Err(_) => Err(String::new()),
        };
        Self { name, lba, signed, alternate, header, array }
    }

    fn problem(&self) -> Option<Problem> {
        let text = match (&self.header, &self.array) {
            (Err(problem), _) => Some(format!("{} GPT header in sector {}: {problem}", self.name, self.lba)),
            (_, Err(problem)) => Some(format!("{} GPT partition array: {problem}", self.name)),
            _ => None,
        };
        let meaning = "the other copy is used as far as it is whole; gdisk writes both anew";
        text.map(|text| Problem::warning(text, meaning))
    }
}

/// Validates the header in one sector and decodes its fields by the crate.
pub(super) fn parse_header(sector: &[u8], lba: u64) -> Result<Header, String> {
    let covered = covered(sector)?;
    let stated = covered[16..20].try_into().map_or(0, u32::from_le_bytes);
    if header_crc(covered) != stated {
        return Err("wrong checksum".into());
    }
    decode_header(sector, lba)
}

/// The bytes that the header's checksum covers.
fn covered(sector: &[u8]) -> Result<&[u8], String> {
    if !sector.starts_with(SIGNATURE) {
        return Err("no signature".into());
    }
    let size = sector.get(12..16).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    let covered = usize::try_from(size).ok().and_then(|size| sector.get(..size));
    covered.filter(|b| b.len() >= HEADER_LEN).ok_or_else(|| format!("impossible header size {size}"))
}

/// Decodes a header without comparing its checksum; every other field is validated.
fn decode_header(sector: &[u8], lba: u64) -> Result<Header, String> {
    let covered = covered(sector)?;
    // The crate reads LBA 1 and always sums 92 bytes, even where HeaderSize is larger.
    let mut image = vec![0; CRATE_SECTOR.as_usize() + HEADER_LEN];
    let copy = &mut image[CRATE_SECTOR.as_usize()..];
    copy.copy_from_slice(&covered[..HEADER_LEN]);
    let crc = header_crc(copy);
    copy[16..20].copy_from_slice(&crc.to_le_bytes());
    let header = gpt::header::read_header_from_arbitrary_device(&mut Cursor::new(image), CRATE_SECTOR)
        .map_err(|error| error.to_string())?;

    if header.current_lba != lba {
        return Err(format!("it belongs in sector {}", header.current_lba));
    }
    if header.num_parts > MAX_ENTRIES {
        return Err(format!("{} entries are more than {MAX_ENTRIES}", header.num_parts));
    }
    let entry_sizes = 128..=MAX_ENTRY_LEN;
    if !entry_sizes.contains(&header.part_size) || !header.part_size.is_power_of_two() {
        return Err(format!("impossible entry size {}", header.part_size));
    }
    Ok(header)
}

fn header_crc(header: &[u8]) -> u32 {
    crc32(&[&header[..16], &[0; 4], &header[20..]])
}

fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// Length in bytes of the array that a validated header describes: at most 4 MiB.
fn array_len(header: &Header) -> u64 {
    u64::from(header.num_parts) * u64::from(header.part_size)
}

/// Reads the array at `lba` and compares it with the header's checksum.
fn read_array(
    disk: &Arc<dyn ByteSource>,
    sector_size: u32,
    header: &Header,
    lba: u64,
) -> Result<Vec<u8>, String> {
    let array = read_sectors(disk, sector_size, lba, array_len(header))?;
    if crc32(&[&array]) == header.crc32_parts { Ok(array) } else { Err("wrong checksum".into()) }
}

/// Reads `len` bytes from `lba` on. The caller bounds `len`: a sector or a validated array.
fn read_sectors(disk: &Arc<dyn ByteSource>, sector_size: u32, lba: u64, len: u64) -> Result<Vec<u8>, String> {
    debug_assert!(sector_size <= MAX_SECTOR_SIZE);
    let offset = lba.checked_mul(u64::from(sector_size)).ok_or("lies beyond the disk's end")?;
    let fits = offset.checked_add(len).is_some_and(|end| end <= disk.size());
    let len = usize::try_from(len).ok().filter(|_| fits).ok_or("lies beyond the disk's end")?;
    read_vec(disk.as_ref(), offset, len).map_err(|error| error.to_string())
}

/// The used entries of a validated array, decoded by the crate.
fn partitions(header: &Header, array: &[u8], sector_size: u32) -> Vec<Partition> {
    // The crate supports only entries of 128 bytes. Larger ones begin with the same fields and are passed without the
    // rest.
    let entry_len = usize::try_from(header.part_size).expect("validated: at most 4096");
    let packed: Vec<u8> =
        array.chunks_exact(entry_len).flat_map(|entry| &entry[..ENTRY_LEN]).copied().collect();
    let described =
        Header { part_start: 0, part_size: 128, crc32_parts: crc32(&[&packed]), ..header.clone() };
    let entries = gpt::partition::file_read_partitions(&mut Cursor::new(packed), &described, CRATE_SECTOR)
        .expect("the array has the length and the checksum that the header says");
    let usable = header.first_usable..=header.last_usable;
    let used = entries.into_iter().filter(|(_, entry)| entry.is_used());
    used.map(|(number, entry)| partition(number, &entry, sector_size, &usable)).collect()
}

fn partition(
    number: u32,
    entry: &gpt::partition::Partition,
    sector_size: u32,
    usable: &std::ops::RangeInclusive<u64>,
) -> Partition {
    let mut problems = Vec::new();
    let sectors = match entry.last_lba.checked_sub(entry.first_lba) {
        Some(distance) => distance.saturating_add(1),
        None => {
            let meaning = "the entry is damaged: where the partition was is not known";
            problems.push(Problem::error("ends before it begins", meaning));
            0
        }
    };
    if sectors > 0 && !(usable.contains(&entry.first_lba) && usable.contains(&entry.last_lba)) {
        let text = format!(
            "not within the sectors that the table keeps for partitions ({} to {})",
            usable.start(),
            usable.end()
        );
        problems
            .push(Problem::warning(text, "it is shown as it is; other programs may refuse it or the table"));
    }
    let type_guid = Guid(entry.part_type_guid.guid.to_bytes_le());
    let type_id = PartitionType::Gpt(type_guid);
    Partition {
        number,
        // Saturated values lie beyond every disk, which the caller reports.
        start: entry.first_lba.saturating_mul(sector_size.into()),
        size: sectors.saturating_mul(sector_size.into()),
        type_name: names::type_name(type_id),
        esp: type_guid == names::ESP,
        type_id: Some(type_id),
        id: Some(Guid(entry.part_guid.to_bytes_le())),
        name: entry.name.clone(),
        attributes: entry.flags,
        problems,
    }
}
