//! The region table (MS-VHDX 2.2.3), stored twice: the places of BAT and metadata. No region overlaps another, the log or
//! the header section.

use std::ops::Range;

use zerocopy::FromBytes;

use super::{
    format::{self, MAX_TABLE_ENTRIES, MIB, REGION_TABLE_OFFSETS, RegionTableEntry, TABLE_SIZE},
    header::checksum,
};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_around_bad_sectors},
    guid::Guid,
};

/// Byte ranges in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Regions {
    pub(super) bat: Range<u64>,
    pub(super) metadata: Range<u64>,
}

/// A validated entry of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) guid: Guid,
    pub(super) range: Range<u64>,
    pub(super) required: bool,
}

/// The known regions, and the ranges of all that either table lists.
pub(super) struct AllRegions {
    pub(super) known: Regions,
    pub(super) ranges: Vec<Range<u64>>,
}

impl Regions {
    /// Reads the regions from the first valid table; `log` is the range that the header gives.
    pub(super) fn read(
        source: &dyn ByteSource,
        log: &Range<u64>,
        problems: &mut Vec<String>,
    ) -> Result<Self> {
        let [first, second] = REGION_TABLE_OFFSETS;
        let (regions, offset) = match (read(source, first), read(source, second)) {
            (Ok(one), Ok(two)) => {
                if one != two {
                    problems.push("the two region tables differ; the first is used".into());
                }
                (one, first)
            }
            (Ok(one), Err(error)) => {
                problems.push(format!("region table 2 is not used: {error}"));
                (one, first)
            }
            (Err(error), Ok(two)) => {
                problems.push(format!("region table 1 is not used: {error}"));
                (two, second)
            }
            (Err(error), Err(_)) => return Err(error),
        };
        Self::select(&regions, log, offset)
    }

    /// As [`Self::read`], with every range that belongs to some region, known or not.
    pub(super) fn read_all(source: &dyn ByteSource, log: &Range<u64>) -> Result<AllRegions> {
        let known = Self::read(source, log, &mut Vec::new())?;
        let tables = REGION_TABLE_OFFSETS.into_iter().filter_map(|offset| read(source, offset).ok());
        Ok(AllRegions { known, ranges: tables.flatten().map(|region| region.range).collect() })
    }

    /// Selects the known regions of a table at file offset `table`; fails if any overlaps another or the log.
    pub(super) fn select(regions: &[Region], log: &Range<u64>, table: u64) -> Result<Self> {
        let damaged = |problem: String| Error::corrupt("VHDX region table", Place::Byte(table), problem);
        let mut ranges: Vec<_> = regions.iter().map(|r| (r.range.clone(), r.guid.to_string())).collect();
        ranges.push((log.clone(), "the log".into()));
        ranges.retain(|(range, _)| !range.is_empty());
        ranges.sort_by_key(|(range, _)| range.start);
        if let Some(pair) = ranges.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
            return Err(damaged(format!("{} overlaps {}", pair[0].1, pair[1].1)));
        }
        if let Some(unknown) =
            regions.iter().find(|r| r.required && ![format::BAT, format::METADATA].contains(&r.guid))
        {
            return Err(Error::unsupported(format!(
                "VHDX with the required region {}, which is unknown",
                unknown.guid
            )));
        }
        let find = |guid, name| {
            let mut found = regions.iter().filter(|r| r.guid == guid);
            match (found.next(), found.next()) {
                (Some(region), None) => Ok(region.range.clone()),
                (Some(_), Some(_)) => Err(damaged(format!("the {name} region is listed twice"))),
                (None, _) => Err(damaged(format!("no {name} region"))),
            }
        };
        Ok(Self { bat: find(format::BAT, "BAT")?, metadata: find(format::METADATA, "metadata")? })
    }
}

fn read(source: &dyn ByteSource, offset: u64) -> Result<Vec<Region>> {
    // Nearly all of the table is zeros: bad sectors are read as zeros, which the checksum confirms.
    let (bytes, _) = read_around_bad_sectors(source, offset, TABLE_SIZE)?;
    parse(&bytes, offset)
}

/// Parses the table at file offset `offset`; validates its checksum and the alignment of its entries.
pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Vec<Region>> {
    let damaged = |problem| Error::corrupt("VHDX region table", Place::Byte(offset), problem);
    let bytes = bytes.get(..TABLE_SIZE).ok_or_else(|| damaged("cut short"))?;
    let (header, entries) =
        format::RegionTableHeader::ref_from_prefix(bytes).map_err(|_| damaged("cut short"))?;
    if header.signature != *format::REGION_SIGNATURE {
        return Err(damaged("no signature"));
    }
    if checksum(bytes) != header.checksum.get() {
        return Err(damaged("wrong checksum"));
    }
    let count = usize::try_from(header.entry_count.get()).unwrap_or(usize::MAX);
    if count > MAX_TABLE_ENTRIES {
        return Err(damaged("too many entries"));
    }
    let (entries, _) = <[RegionTableEntry]>::ref_from_prefix_with_elems(entries, count)
        .map_err(|_| damaged("too many entries"))?;
    entries
        .iter()
        .map(|entry| {
            let (start, length) = (entry.file_offset.get(), u64::from(entry.length.get()));
            let end = start.checked_add(length).ok_or_else(|| damaged("a region ends beyond 2^64"))?;
            if start < format::HEADER_SECTION || start % MIB != 0 || length % MIB != 0 {
                return Err(damaged("a region is misplaced"));
            }
            Ok(Region { guid: entry.guid, range: start..end, required: entry.required.get() & 1 != 0 })
        })
        .collect()
}
