//! The structures of a new image. Their places are those of the images that Windows makes: the log at 1 MiB, the metadata behind
//! it (at 2 MiB, as the log has 1 MiB), then the block table, then the blocks.

use std::ops::Range;

use zerocopy::{
    FromZeros, IntoBytes,
    little_endian::{U16, U32, U64},
};

use super::{
    format::{
        self, BAT, BatEntry, FileParameters, FileTypeIdentifier, HEADER_OFFSETS, HEADER_SIZE, Header,
        LOGICAL_SECTOR_SIZE, METADATA, MIB, MetadataTableEntry, MetadataTableHeader, PARENT_LOCATOR,
        PHYSICAL_SECTOR_SIZE, ParentLocatorEntry, ParentLocatorHeader, RAW_LOCATOR_TYPE,
        REGION_TABLE_OFFSETS, RegionTableEntry, RegionTableHeader, TABLE_SIZE, VHDX_LOCATOR_TYPE,
        VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE, payload_state,
    },
    header::checksum,
};
use crate::container::{
    Kind,
    fingerprint::RawParent,
    plan::{Blocks, NewParent, Plan},
};

const LOG_AT: u64 = MIB;
const METADATA_LENGTH: u64 = MIB;
/// MS-VHDX 2.5: sectors that one sector bitmap block describes.
const SECTORS_PER_CHUNK: u64 = 1 << 23;

/// A new VHDX.
pub(in crate::container) struct NewVhdx {
    plan: Plan,
    /// Payload blocks between two entries for sector bitmaps.
    chunk_ratio: u64,
    bat_length: u64,
}

impl NewVhdx {
    pub(in crate::container) fn new(plan: &Plan) -> Self {
        let chunk_ratio = SECTORS_PER_CHUNK * u64::from(plan.logical_sector_size) / plan.block_size;
        let blocks = plan.virtual_size.div_ceil(plan.block_size);
        // MS-VHDX 2.5.1: only with a parent does the last chunk have an entry for its bitmap.
        let entries = match plan.kind {
            Kind::Differencing => blocks.div_ceil(chunk_ratio) * (chunk_ratio + 1),
            Kind::Fixed | Kind::Dynamic => blocks + (blocks - 1) / chunk_ratio,
        };
        let bat_length = (entries * size_of::<BatEntry>() as u64).next_multiple_of(MIB);
        Self { plan: plan.clone(), chunk_ratio, bat_length }
    }

    fn metadata_at(&self) -> u64 {
        LOG_AT + self.plan.log_length
    }

    fn bat_at(&self) -> u64 {
        self.metadata_at() + METADATA_LENGTH
    }

    fn metadata(&self) -> Vec<u8> {
        let plan = &self.plan;
        let flags = match plan.kind {
            Kind::Fixed => FileParameters::LEAVE_BLOCK_ALLOCATED,
            Kind::Dynamic => 0,
            Kind::Differencing => FileParameters::HAS_PARENT,
        };
        let block_size = u32::try_from(plan.block_size).expect("at most 256 MiB");
        let parameters = FileParameters { block_size: U32::new(block_size), flags: U32::new(flags) };
        let disk = MetadataTableEntry::IS_VIRTUAL_DISK | MetadataTableEntry::IS_REQUIRED;
        let mut items = vec![
            (format::FILE_PARAMETERS, MetadataTableEntry::IS_REQUIRED, parameters.as_bytes().to_vec()),
            (VIRTUAL_DISK_SIZE, disk, plan.virtual_size.to_le_bytes().to_vec()),
            (VIRTUAL_DISK_ID, disk, plan.disk_id.0.to_vec()),
            (LOGICAL_SECTOR_SIZE, disk, plan.logical_sector_size.to_le_bytes().to_vec()),
            (PHYSICAL_SECTOR_SIZE, disk, plan.physical_sector_size.to_le_bytes().to_vec()),
        ];
        if let Some(parent) = &plan.parent {
            let locator = locator(parent, plan.raw_parent.as_ref());
            items.push((PARENT_LOCATOR, MetadataTableEntry::IS_REQUIRED, locator));
        }
        let mut header = MetadataTableHeader::new_zeroed();
        header.signature = *format::METADATA_SIGNATURE;
        header.entry_count = U16::new(u16::try_from(items.len()).expect("six at most"));
        let mut table = header.as_bytes().to_vec();
        let mut content = Vec::new();
        for (id, flags, bytes) in items {
            let mut entry = MetadataTableEntry::new_zeroed();
            entry.item_id = id;
            entry.offset = length(TABLE_SIZE + content.len());
            entry.length = length(bytes.len());
            entry.flags = U32::new(flags);
            table.extend_from_slice(entry.as_bytes());
            content.extend_from_slice(&bytes);
        }
        table.resize(TABLE_SIZE, 0);
        table.append(&mut content);
        table
    }

    fn region_table(&self) -> Vec<u8> {
        let mut header = RegionTableHeader::new_zeroed();
        header.signature = *format::REGION_SIGNATURE;
        header.entry_count = U32::new(2);
        let mut bytes = header.as_bytes().to_vec();
        for (guid, at, len) in
            [(BAT, self.bat_at(), self.bat_length), (METADATA, self.metadata_at(), METADATA_LENGTH)]
        {
            let length = U32::new(u32::try_from(len).expect("512 MiB for the largest disk"));
            let entry = RegionTableEntry { guid, file_offset: U64::new(at), length, required: U32::new(1) };
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes.resize(TABLE_SIZE, 0);
        sealed(bytes)
    }

    fn header(&self, sequence_number: u64) -> Vec<u8> {
        let mut header = Header::new_zeroed();
        header.signature = *format::HEADER_SIGNATURE;
        header.sequence_number = U64::new(sequence_number);
        // A file that nobody has written since: any value that no other file has.
        header.file_write_guid = self.plan.data_id;
        header.data_write_guid = self.plan.data_id;
        header.version = U16::new(1);
        header.log_offset = U64::new(LOG_AT);
        header.log_length = U32::new(u32::try_from(self.plan.log_length).expect("256 MiB at most"));
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(HEADER_SIZE, 0);
        sealed(bytes)
    }
}

/// The structure with its checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn length(len: usize) -> U32 {
    U32::new(u32::try_from(len).expect("within the metadata region"))
}

/// The parent locator (2.6.2.6): texts in UTF-16 without a terminator.
pub(in crate::container) fn locator(parent: &NewParent, raw: Option<&RawParent>) -> Vec<u8> {
    let linkage = raw.is_none().then(|| format!("{{{}}}", parent.identity));
    let size = raw.map(|raw| raw.fingerprint.size.to_string());
    let hash = raw.map(|raw| raw.fingerprint.text());
    let time = raw.map(|raw| raw.time.to_string());
    let absolute = if raw.is_some() { "absolute_path" } else { "absolute_win32_path" };
    let pairs = [
        ("parent_linkage", linkage.as_ref()),
        ("parent_size", size.as_ref()),
        ("parent_hash", hash.as_ref()),
        ("parent_time", time.as_ref()),
        ("relative_path", parent.relative_path.as_ref()),
        (absolute, parent.absolute_path.as_ref()),
    ];
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let count = U16::new(u16::try_from(pairs.len()).expect("six at most"));
    let locator_type = if raw.is_some() { RAW_LOCATOR_TYPE } else { VHDX_LOCATOR_TYPE };
    let header = ParentLocatorHeader { locator_type, reserved: U16::ZERO, key_value_count: count };
    let mut bytes = header.as_bytes().to_vec();
    let mut at = bytes.len() + pairs.len() * size_of::<ParentLocatorEntry>();
    let mut texts = Vec::new();
    for (key, value) in pairs {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let (key, value) = (utf16(key), utf16(value));
        let short = |len: usize| U16::new(u16::try_from(len).expect("paths are bounded by the host"));
        let entry = ParentLocatorEntry {
            key_offset: length(at),
            value_offset: length(at + key.len()),
            key_length: short(key.len()),
            value_length: short(value.len()),
        };
        bytes.extend_from_slice(entry.as_bytes());
        at += key.len() + value.len();
        texts.extend_from_slice(&key);
        texts.extend_from_slice(&value);
    }
    bytes.append(&mut texts);
    bytes
}

impl Blocks for NewVhdx {
    fn block_size(&self) -> u64 {
        self.plan.block_size
    }

    fn stride(&self) -> u64 {
        self.plan.block_size
    }

    fn first(&self) -> u64 {
        self.end_without_blocks()
    }

    fn end_without_blocks(&self) -> u64 {
        self.bat_at() + self.bat_length
    }

    fn head(&self) -> &[u8] {
        &[]
    }

    fn entry(&self, block: u64, at: u64) -> (u64, Vec<u8>) {
        let index = block + block / self.chunk_ratio;
        let entry = BatEntry::new(payload_state::FULLY_PRESENT, at);
        (self.bat_at() + index * size_of::<BatEntry>() as u64, entry.as_bytes().to_vec())
    }

    fn table(&self) -> (Range<u64>, u8) {
        (self.bat_at()..self.bat_at() + self.bat_length, 0)
    }

    fn structures(&self, _end: u64) -> Vec<(u64, Vec<u8>)> {
        let mut identifier = FileTypeIdentifier::new_zeroed();
        identifier.signature = *format::FILE_SIGNATURE;
        let creator = concat!("vhdmount ", env!("CARGO_PKG_VERSION"));
        identifier.creator.iter_mut().zip(creator.encode_utf16()).for_each(|(to, unit)| to.set(unit));
        let [first, second] = HEADER_OFFSETS;
        let [table, copy] = REGION_TABLE_OFFSETS;
        let regions = self.region_table();
        vec![
            (self.metadata_at(), self.metadata()),
            (copy, regions.clone()),
            (table, regions),
            (second, self.header(2)),
            (first, self.header(1)),
            (0, identifier.as_bytes().to_vec()),
        ]
    }

    fn file_size(&self, end: u64) -> u64 {
        end
    }
}
