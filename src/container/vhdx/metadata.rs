//! The metadata region (MS-VHDX 2.6): block and sector sizes, the disk's size and identity, the parent locator. Items lie
//! inside their region and do not overlap; an image with an unknown required item is refused.

use std::ops::Range;

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{
    bat::Geometry,
    format::{self, FileParameters, MAX_TABLE_ENTRIES, MIB, MetadataTableEntry, TABLE_SIZE},
    parent::ParentLocator,
};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_around_bad_sectors, read_vec},
    guid::Guid,
};

/// Legal block sizes in bytes, 2.6.2.1.
const BLOCK_SIZES: std::ops::RangeInclusive<u64> = MIB..=256 * MIB;
const SECTOR_SIZES: [u32; 2] = [512, 4096];

/// The values of the known items, validated.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) block_size: u64,
    pub(super) leave_block_allocated: bool,
    pub(super) virtual_disk_size: u64,
    pub(super) virtual_disk_id: Option<Guid>,
    pub(super) logical_sector_size: u32,
    /// 0 when the image does not state it.
    pub(super) physical_sector_size: u32,
    /// Present if and only if the disk has a parent.
    pub(super) parent: Option<ParentLocator>,
}

/// A system item; its offset is relative to the region.
#[derive(Debug)]
struct Item {
    id: Guid,
    range: Range<u32>,
}

impl Metadata {
    /// Reads the table and the known items of the region.
    pub(super) fn read(
        source: &dyn ByteSource,
        region: &Range<u64>,
        problems: &mut Vec<String>,
    ) -> Result<Self> {
        // The entries fill a few sectors; the rest of the table is unused.
        let (table, unread) =
            read_around_bad_sectors(source, region.start, TABLE_SIZE).map_err(cut_off(region.start))?;
        if !unread.is_empty() {
            problems.push("a part of the metadata table cannot be read: entries there are not used".into());
        }
        let items = Items { list: parse_table(&table, region)?, source, region };

        let (parameters, at) = items.require::<FileParameters>(format::FILE_PARAMETERS, "file parameters")?;
        let block_size = u64::from(parameters.block_size.get());
        if !BLOCK_SIZES.contains(&block_size) || !block_size.is_power_of_two() {
            return Err(damaged(at, format!("block size {block_size}")));
        }
        let flags = parameters.flags.get();

        let (sector, at) = items.require::<U32>(format::LOGICAL_SECTOR_SIZE, "logical sector size")?;
        let logical_sector_size = sector.get();
        if !SECTOR_SIZES.contains(&logical_sector_size) {
            return Err(damaged(at, format!("logical sector size {logical_sector_size}")));
        }

        let (size, at) = items.require::<U64>(format::VIRTUAL_DISK_SIZE, "virtual disk size")?;
        let virtual_disk_size = size.get();
        if virtual_disk_size == 0
            || virtual_disk_size > format::MAX_VIRTUAL_SIZE
            || !virtual_disk_size.is_multiple_of(logical_sector_size.into())
        {
            return Err(damaged(at, format!("virtual disk size {virtual_disk_size}")));
        }

        let physical =
            items.find::<U32>(format::PHYSICAL_SECTOR_SIZE).ok().flatten().map(|(size, _)| size.get());
        if !physical.is_some_and(|size| SECTOR_SIZES.contains(&size)) {
            problems.push("the physical sector size is missing or impossible".into());
        }
        let virtual_disk_id = items.find::<Guid>(format::VIRTUAL_DISK_ID).ok().flatten().map(|(id, _)| id);
        if virtual_disk_id.is_none() {
            problems.push("the virtual disk id is missing".into());
        }
        let parent = if flags & FileParameters::HAS_PARENT != 0 {
            let missing = || damaged(region.start, "a differencing disk without parent locator");
            let (bytes, at) = items.bytes(format::PARENT_LOCATOR)?.ok_or_else(missing)?;
            Some(ParentLocator::parse(&bytes, at)?)
        } else {
            None
        };
        Ok(Self {
            block_size,
            leave_block_allocated: flags & FileParameters::LEAVE_BLOCK_ALLOCATED != 0,
            virtual_disk_size,
            virtual_disk_id,
            logical_sector_size,
            physical_sector_size: physical.unwrap_or(0),
            parent,
        })
    }
}

impl Metadata {
    /// The sizes that determine the block table's layout.
    pub(super) fn geometry(&self) -> Geometry {
        Geometry {
            virtual_size: self.virtual_disk_size,
            block_size: self.block_size,
            logical_sector_size: self.logical_sector_size,
            has_parent: self.parent.is_some(),
        }
    }
}

fn damaged(offset: u64, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt("VHDX metadata", Place::Byte(offset), problem)
}

/// Reads a structure that may lie past the end of a truncated file.
fn read_stored(source: &dyn ByteSource, offset: u64, len: usize) -> Result<Vec<u8>> {
    read_vec(source, offset, len).map_err(cut_off(offset))
}

fn cut_off(offset: u64) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Invalid(_) => damaged(offset, "lies beyond the end of the file: truncated"),
        other => other,
    }
}

struct Items<'a> {
    list: Vec<Item>,
    source: &'a dyn ByteSource,
    region: &'a Range<u64>,
}

impl Items<'_> {
    /// The item's bytes (at most 1 MiB, which `parse_table` checks) and their place in the file.
    fn bytes(&self, id: Guid) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(item) = self.list.iter().find(|item| item.id == id) else { return Ok(None) };
        let at = self.region.start.saturating_add(item.range.start.into());
        let len = usize::try_from(item.range.end - item.range.start).unwrap_or(usize::MAX);
        Ok(Some((read_stored(self.source, at, len)?, at)))
    }

    fn find<T: FromBytes + KnownLayout + Immutable + Unaligned>(&self, id: Guid) -> Result<Option<(T, u64)>> {
        let Some((bytes, at)) = self.bytes(id)? else { return Ok(None) };
        let (value, _) =
            T::read_from_prefix(&bytes).map_err(|_| damaged(at, format!("item {id} is cut short")))?;
        Ok(Some((value, at)))
    }

    fn require<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &self,
        id: Guid,
        name: &str,
    ) -> Result<(T, u64)> {
        self.find(id)?.ok_or_else(|| damaged(self.region.start, format!("no {name}")))
    }
}

/// The system items of a table; validates the place of every entry.
fn parse_table(bytes: &[u8], region: &Range<u64>) -> Result<Vec<Item>> {
    let damaged =
        |problem: &'static str| Error::corrupt("VHDX metadata table", Place::Byte(region.start), problem);
    let bytes = bytes.get(..TABLE_SIZE).ok_or_else(|| damaged("cut short"))?;
    let (header, entries) =
        format::MetadataTableHeader::ref_from_prefix(bytes).map_err(|_| damaged("cut short"))?;
    if header.signature != *format::METADATA_SIGNATURE {
        return Err(damaged("no signature"));
    }
    let count = usize::from(header.entry_count.get());
    if count > MAX_TABLE_ENTRIES {
        return Err(damaged("too many entries"));
    }
    let (entries, _) = <[MetadataTableEntry]>::ref_from_prefix_with_elems(entries, count)
        .map_err(|_| damaged("too many entries"))?;

    let table_size = u32::try_from(TABLE_SIZE).expect("a constant of 64 KiB");
    let mut items = Vec::new();
    let mut ranges = Vec::new();
    for entry in entries {
        let (offset, length, flags) = (entry.offset.get(), entry.length.get(), entry.flags.get());
        let end = offset.checked_add(length).ok_or_else(|| damaged("an item ends beyond 2^32"))?;
        if length != 0 {
            if offset < table_size
                || u64::from(end) > region.end - region.start
                || length > format::MAX_METADATA_ITEM
            {
                return Err(damaged("an item lies outside its region"));
            }
            ranges.push(offset..end);
        }
        let known = flags & MetadataTableEntry::IS_USER == 0 && is_known(entry.item_id);
        if !known && flags & MetadataTableEntry::IS_REQUIRED != 0 {
            let id = entry.item_id;
            return Err(Error::unsupported(format!(
                "VHDX with the required metadata item {id}, which is unknown"
            )));
        }
        if known {
            if items.iter().any(|item: &Item| item.id == entry.item_id) {
                return Err(damaged("an item is listed twice"));
            }
            items.push(Item { id: entry.item_id, range: offset..end });
        }
    }
    ranges.sort_by_key(|range| range.start);
    if ranges.windows(2).any(|pair| pair[1].start < pair[0].end) {
        return Err(damaged("items overlap"));
    }
    Ok(items)
}

fn is_known(id: Guid) -> bool {
    [
        format::FILE_PARAMETERS,
        format::VIRTUAL_DISK_SIZE,
        format::VIRTUAL_DISK_ID,
        format::LOGICAL_SECTOR_SIZE,
        format::PHYSICAL_SECTOR_SIZE,
        format::PARENT_LOCATOR,
    ]
    .contains(&id)
}
