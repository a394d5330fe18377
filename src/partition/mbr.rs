//! Master boot record and extended boot records: four entries at byte 446 and the signature 0x55AA; logical
//! partitions in a chain of such sectors, numbered from 5 as Linux does.
//!
//! Crate `mbrman` decodes each sector. Its own walk of the chain is not used: one damaged record would fail the whole
//! table, it supports only one extended partition, and its sums of sector numbers are unchecked.

pub(super) mod check;

use std::{collections::BTreeSet, io::Cursor, sync::Arc};

use mbrman::{MBRHeader, MBRPartitionEntry as Entry};

use super::{Partition, Problem, names};
use crate::{
    bytes::{ByteSource, boot_sector, read_vec},
    identity::{DiskId, PartitionType},
};

/// Bytes of a record, whatever the sector size.
const RECORD_LEN: usize = 512;
const ENTRIES: usize = 446;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Most records followed in one extended partition, more than drive letters or Linux minors can name.
const MAX_LOGICAL: usize = 256;
const PROTECTIVE: u8 = 0xee;
const ESP: u8 = 0xef;
const LOST: &str =
    "the logical partition that it describes is lost, perhaps also those behind it; testdisk may find them";

/// A sector decoded as a boot record, not yet validated.
pub(super) struct Record {
    header: MBRHeader,
    signed: bool,
    /// True for each entry whose boot flag is neither 0x00 nor 0x80.
    odd: [bool; 4],
}

/// The partitions and problems of an MBR and its chains of extended boot records.
#[derive(Default)]
pub(super) struct Mbr {
    pub(super) partitions: Vec<Partition>,
    pub(super) problems: Vec<Problem>,
}

impl Record {
    /// Decodes the first 512 bytes of `sector`; `None` when there are fewer.
    pub(super) fn parse(sector: &[u8]) -> Option<Self> {
        let mut copy: [u8; RECORD_LEN] = sector.get(..RECORD_LEN)?.try_into().ok()?;
        // The crate rejects a sector for a missing signature or one invalid flag. Both are checked here instead.
        let signed = copy[510..] == SIGNATURE;
        copy[510..].copy_from_slice(&SIGNATURE);
        let odd = std::array::from_fn(|slot| {
            let flag = &mut copy[ENTRIES + 16 * slot];
            let odd = *flag & 0x7f != 0;
            *flag &= 0x80;
            odd
        });
        let header = MBRHeader::read_from(&mut Cursor::new(&copy)).ok()?;
        Some(Self { header, signed, odd })
    }

    fn entries(&self) -> [&Entry; 4] {
        let header = &self.header;
        [&header.partition_1, &header.partition_2, &header.partition_3, &header.partition_4]
    }

    /// Each used entry with its number and whether its flag is invalid.
    fn used(&self) -> impl Iterator<Item = (u32, &Entry, bool)> {
        let all = (1..).zip(self.entries()).zip(self.odd);
        all.filter(|((_, entry), _)| entry.is_used()).map(|((number, entry), odd)| (number, entry, odd))
    }

    /// The disk signature; `None` if zero.
    pub(super) fn disk_id(&self) -> Option<DiskId> {
        let signature = u32::from_le_bytes(self.header.disk_signature);
        (signature != 0).then_some(DiskId::Mbr(signature))
    }

    /// True when an entry announces a GUID partition table.
    pub(super) fn is_protective(&self) -> bool {
        self.signed && self.used().any(|(_, entry, _)| entry.sys == PROTECTIVE)
    }

    /// The numbers of the entries besides the protective one.
    pub(super) fn unprotective(&self) -> Vec<u32> {
        self.used().filter(|(_, entry, _)| entry.sys != PROTECTIVE).map(|(number, ..)| number).collect()
    }

    /// True for a signed record without entries: a disk that was initialized and never partitioned, or a boot sector.
    pub(super) fn is_empty(&self) -> bool {
        self.signed && self.used().next().is_none()
    }

    /// True when the sector is a partition table, not the boot sector of a filesystem or of a boot loader, which has the
    /// same signature. `filesystem`: it looks like the boot sector of a filesystem, so that only a perfect table is
    /// accepted.
    pub(super) fn is_table(&self, disk_sectors: u64, filesystem: bool) -> bool {
        let good = |entry: &Entry, odd: bool| {
            !odd && entry.starting_lba > 0
                && entry.sectors > 0
                && u64::from(entry.starting_lba) < disk_sectors
        };
        let any_good = self.used().any(|(_, entry, odd)| good(entry, odd));
        if !filesystem {
            let flags = self.odd.iter().all(|odd| !odd);
            return self.signed && self.used().next().is_some() && (any_good || flags);
        }
        let rest_empty = self.entries().iter().all(|entry| entry.is_used() || **entry == Entry::empty());
        let active = self.used().filter(|(_, entry, _)| entry.is_active()).count();
        self.signed
            && any_good
            && rest_empty
            && active <= 1
            && self.used().all(|(_, entry, odd)| good(entry, odd))
    }

    /// The partitions, logical ones included.
    pub(super) fn read(&self, disk: &Arc<dyn ByteSource>, sector_size: u32) -> Mbr {
        let mut mbr = Mbr::default();
        let mut next_logical = 5;
        for (number, entry, odd) in self.used() {
            if entry.is_extended() {
                Chain {
                    disk,
                    sector_size,
                    number,
                    base: entry.starting_lba.into(),
                    sectors: entry.sectors.into(),
                }
                .walk(&mut next_logical, &mut mbr);
                continue;
            }
            let mut partition = partition(number, entry, 0, sector_size);
            if odd {
                let meaning = "no boot loader writes that: the sector may be damaged";
                partition.problems.push(Problem::warning("its boot flag is neither 0x00 nor 0x80", meaning));
            }
            mbr.partitions.push(partition);
        }
        mbr.partitions.sort_by_key(|partition| partition.number);
        mbr
    }
}

fn partition(number: u32, entry: &Entry, base: u64, sector_size: u32) -> Partition {
    let sector_size = u64::from(sector_size);
    // At most (2^33 + 2^32) * 4096: no overflow.
    let start = (base + u64::from(entry.starting_lba)) * sector_size;
    let type_id = PartitionType::Mbr(entry.sys);
    Partition {
        number,
        start,
        size: u64::from(entry.sectors) * sector_size,
        type_name: names::type_name(type_id),
        type_id: Some(type_id),
        id: None,
        name: String::new(),
        attributes: entry.is_active().into(),
        esp: entry.sys == ESP,
        problems: Vec::new(),
    }
}

/// The extended boot records of one extended partition.
struct Chain<'a> {
    disk: &'a Arc<dyn ByteSource>,
    sector_size: u32,
    /// Number, first sector and length of the extended partition. Links are relative to its first sector.
    number: u32,
    base: u64,
    sectors: u64,
}

impl Record {
    /// Counts the structures found where the entries point, in sectors of `sector_size`: boot sectors that state this
    /// very size (counted twice, as they state it themselves) and extended boot records.
    pub(super) fn evidence(&self, disk: &Arc<dyn ByteSource>, sector_size: u32) -> u32 {
        let found = self.used().map(|(_, entry, _)| {
            let offset = u64::from(entry.starting_lba) * u64::from(sector_size);
            let sector = read_vec(disk.as_ref(), offset, RECORD_LEN).unwrap_or_default();
            if entry.is_extended() {
                let record = Record::parse(&sector).filter(|record| record.signed);
                let no_volume = !boot_sector::is_filesystem(&sector);
                u32::from(no_volume && record.is_some_and(|record| record.odd.iter().all(|odd| !odd)))
            } else {
                2 * u32::from(boot_sector::bytes_per_sector(&sector) == Some(sector_size))
            }
        });
        found.sum()
    }
}

/// The expected place of the next record.
struct Link {
    lba: u64,
    /// Sectors of the record and its partition; 0 if unknown (no link points to the first record).
    sectors: u64,
    /// True when no record states the place: it follows a damaged one.
    guessed: bool,
}

impl Chain<'_> {
    fn walk(&self, next_number: &mut u32, mbr: &mut Mbr) {
        let mut link = Link { lba: self.base, sectors: 0, guessed: false };
        let mut visited = BTreeSet::new();
        loop {
            if !visited.insert(link.lba) {
                let text = self.problem(link.lba, "the chain comes back to it: a loop");
                return mbr.problems.push(Problem::error(text, LOST));
            }
            if visited.len() > MAX_LOGICAL {
                let text = self.problem(link.lba, "too many records: the rest is not read");
                return mbr.problems.push(Problem::error(text, LOST));
            }
            let record = self.read(link.lba);
            let next = match record {
                Ok(Some(record)) => {
                    if !record.signed || record.odd[0] || record.odd[1] {
                        let text = self.problem(link.lba, "damaged, but its entries are plausible: used");
                        let meaning = "other programs may not show this partition and those behind it";
                        mbr.problems.push(Problem::warning(text, meaning));
                    }
                    for entry in self.data(&record, &link) {
                        mbr.partitions.push(partition(*next_number, entry, link.lba, self.sector_size));
                        *next_number += 1;
                    }
                    let links = || record.entries().into_iter().filter(|e| e.is_extended() && e.sectors > 0);
                    // A link to the start of the extended partition leads back to the first record.
                    links().find(|e| e.starting_lba > 0).or_else(|| links().next()).map(|next| Link {
                        lba: self.base + u64::from(next.starting_lba),
                        sectors: next.sectors.into(),
                        guessed: false,
                    })
                }
                Ok(None) | Err(_) if link.guessed => None,
                damaged => {
                    let problem = damaged.err().unwrap_or_else(|| "no boot record".into());
                    // Partitioning tools write the first record when they create the extended partition, even an empty
                    // one: its absence is damage as well.
                    mbr.problems.push(Problem::error(self.problem(link.lba, &problem), LOST));
                    // The lost partition keeps its number, so that the following ones keep theirs. They usually begin
                    // where the lost record's share of the extended partition ends.
                    *next_number += 1;
                    let lba = link.lba + link.sectors;
                    let inside = link.sectors > 0 && lba < self.base + self.sectors;
                    inside.then_some(Link { lba, sectors: 0, guessed: true })
                }
            };
            match next {
                Some(next) => link = next,
                None => return,
            }
        }
    }

    /// The logical partitions of a record. Tools use the first slot for the partition and the second for the link; some
    /// swap them, or fill all four, and Linux follows every one of them. Slots 3 and 4 often hold garbage: an entry there
    /// counts only inside the record's own share of the extended partition.
    fn data<'r>(&self, record: &'r Record, link: &Link) -> impl Iterator<Item = &'r Entry> {
        let end = self.base + self.sectors;
        let share = if link.sectors > 0 { (link.lba + link.sectors).min(end) } else { end };
        let lba = link.lba;
        (0..).zip(record.entries()).filter_map(move |(slot, e)| {
            let inside = e.starting_lba > 0
                && lba + u64::from(e.starting_lba) + u64::from(e.sectors) <= share
                && !record.odd[slot];
            (e.is_used() && !e.is_extended() && e.sectors > 0 && (slot < 2 || inside)).then_some(e)
        })
    }

    /// Reads the record at `lba`; `None` if there is none, not even a damaged one.
    fn read(&self, lba: u64) -> Result<Option<Record>, String> {
        let offset = lba * u64::from(self.sector_size);
        let sector = read_vec(self.disk.as_ref(), offset, RECORD_LEN).map_err(|error| error.to_string())?;
        let record = Record::parse(&sector).expect("512 bytes");
        let sound = record.signed && !record.odd[0] && !record.odd[1];
        Ok(Some(record).filter(|record| sound || self.is_plausible(record, lba)))
    }

    /// True when both entries of a record are valid in this extended partition and the first one is a partition.
    fn is_plausible(&self, record: &Record, lba: u64) -> bool {
        let end = self.base + self.sectors;
        let [data, next, ..] = record.entries();
        let inside = |base: u64, e: &Entry| {
            e.starting_lba > 0
                && e.sectors > 0
                && base + u64::from(e.starting_lba) + u64::from(e.sectors) <= end
        };
        let flags = record.odd.iter().filter(|odd| **odd).count() <= 1;
        let next_fits = *next == Entry::empty() || next.is_extended() && inside(self.base, next);
        flags && data.is_used() && !data.is_extended() && inside(lba, data) && next_fits
    }

    fn problem(&self, lba: u64, problem: &str) -> String {
        format!("extended partition {}, boot record in sector {lba}: {problem}", self.number)
    }
}
