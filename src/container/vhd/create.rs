//! The structures of a new image. Payloads begin at multiples of 4096, so that a guest's sectors are whole ones of the host's
//! disk; the sector bitmap is directly in front of each.
//!
//! **Creator.** The footer names Windows: Virtual PC, and qemu for creators that it does not know, take a disk's size from its
//! geometry, which can state only multiples of a cylinder. For a disk of Windows everybody takes Current Size.

use std::ops::Range;

use zerocopy::{
    FromZeros, IntoBytes,
    big_endian::{U16, U32, U64},
};

use super::format::{
    self, BAT_UNUSED, DISK_TYPE_DIFFERENCING, DISK_TYPE_DYNAMIC, DISK_TYPE_FIXED, DynamicHeader,
    FOOTER_CHECKSUM_AT, FOOTER_COOKIE, FOOTER_SIZE, Footer, HEADER_CHECKSUM_AT, HEADER_COOKIE, HEADER_SIZE,
    SECTOR,
};
use crate::{
    container::{
        Kind,
        plan::{Blocks, NewParent, Plan},
    },
    guid::Guid,
};

/// Alignment of payloads in the file.
const ALIGNMENT: u64 = 4096;
const HEADER_AT: u64 = FOOTER_SIZE as u64;
const TABLE_AT: u64 = HEADER_AT + HEADER_SIZE as u64;
/// "Creator Version" of Windows 10.
const CREATOR_VERSION: [U16; 2] = [U16::new(10), U16::new(0)];

/// A new dynamic or differencing VHD.
pub(in crate::container) struct NewVhd {
    plan: Plan,
    /// The sector bitmap of a block all of whose sectors are there.
    bitmap: Vec<u8>,
    table: Range<u64>,
    /// The parent locators with their places, behind the table.
    locators: Vec<(u64, [u8; 4], Vec<u8>)>,
    end: u64,
}

impl NewVhd {
    pub(in crate::container) fn new(plan: &Plan) -> Self {
        let blocks = plan.virtual_size.div_ceil(plan.block_size);
        let bitmap = (plan.block_size / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        let table = TABLE_AT..TABLE_AT + (blocks * 4).next_multiple_of(SECTOR);
        let mut end = table.end;
        let mut locators = Vec::new();
        let paths = plan
            .parent
            .iter()
            .flat_map(|parent| [(b"W2ru", &parent.relative_path), (b"W2ku", &parent.absolute_path)]);
        for (code, path) in paths {
            let Some(path) = path else { continue };
            let text: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let next = (end + text.len() as u64).next_multiple_of(SECTOR);
            locators.push((end, *code, text));
            end = next;
        }
        let bitmap = vec![0xff; usize::try_from(bitmap).expect("64 KiB at most")];
        Self { plan: plan.clone(), bitmap, table, locators, end }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = DynamicHeader::new_zeroed();
        header.cookie = HEADER_COOKIE;
        header.data_offset = U64::new(u64::MAX);
        header.table_offset = U64::new(TABLE_AT);
        header.header_version = U32::new(0x1_0000);
        let blocks = self.plan.virtual_size.div_ceil(self.plan.block_size);
        header.max_table_entries = U32::new(u32::try_from(blocks).expect("2040 GiB in blocks of 64 KiB"));
        header.block_size = U32::new(u32::try_from(self.plan.block_size).expect("256 MiB at most"));
        if let Some(parent) = &self.plan.parent {
            header.parent_unique_id = network_order(parent.identity);
            header.parent_time_stamp = U32::new(parent.time);
            let name = parent.name().encode_utf16().flat_map(u16::to_be_bytes);
            // The last unit stays a terminator.
            header.parent_unicode_name[..510].iter_mut().zip(name).for_each(|(to, byte)| *to = byte);
        }
        for (entry, (at, code, text)) in header.parent_locators.iter_mut().zip(&self.locators) {
            let len = u32::try_from(text.len()).expect("paths are bounded by the host");
            entry.platform_code = *code;
            // In bytes, as Windows writes it.
            entry.platform_data_space = U32::new(len.next_multiple_of(512));
            entry.platform_data_length = U32::new(len);
            entry.platform_data_offset = U64::new(*at);
        }
        sealed(header.as_bytes(), HEADER_CHECKSUM_AT)
    }
}

impl NewParent {
    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        let path = self.relative_path.as_ref().or(self.absolute_path.as_ref()).map_or("", String::as_str);
        path.rsplit('\\').next().unwrap_or(path)
    }
}

/// The footer of a fixed image.
pub(in crate::container) fn fixed_footer(plan: &Plan) -> Vec<u8> {
    footer(plan)
}

fn footer(plan: &Plan) -> Vec<u8> {
    let mut footer = Footer::new_zeroed();
    footer.cookie = FOOTER_COOKIE;
    // "Reserved", always set.
    footer.features = U32::new(2);
    footer.file_format_version = U32::new(0x1_0000);
    let (disk_type, data_offset) = match plan.kind {
        Kind::Fixed => (DISK_TYPE_FIXED, u64::MAX),
        Kind::Dynamic => (DISK_TYPE_DYNAMIC, HEADER_AT),
        Kind::Differencing => (DISK_TYPE_DIFFERENCING, HEADER_AT),
    };
    footer.data_offset = U64::new(data_offset);
    footer.time_stamp = U32::new(plan.time);
    footer.creator_application = *b"win ";
    footer.creator_version = CREATOR_VERSION;
    footer.creator_host_os = *b"Wi2k";
    footer.original_size = U64::new(plan.virtual_size);
    footer.current_size = U64::new(plan.virtual_size);
    let (cylinders, heads, sectors) = geometry(plan.virtual_size / SECTOR);
    footer.cylinders = U16::new(cylinders);
    footer.heads = heads;
    footer.sectors_per_track = sectors;
    footer.disk_type = U32::new(disk_type);
    footer.unique_id = network_order(plan.disk_id);
    sealed(footer.as_bytes(), FOOTER_CHECKSUM_AT)
}

/// Cylinders, heads and sectors per track of a disk with so many sectors ("Appendix: CHS Calculation"); they hold at most as
/// many.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    const MOST: u64 = 65_535 * 16 * 255;
    let sectors = sectors.min(MOST);
    let (heads, per_track) = if sectors >= 65_535 * 16 * 63 {
        (16, 255)
    } else {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        if sectors / 17 < heads * 1024 && heads <= 16 {
            (heads, 17)
        } else if sectors / 31 < 16 * 1024 {
            (16, 31)
        } else {
            (16, 63)
        }
    };
    let cylinders = sectors / per_track / heads;
    let byte = |value: u64| u8::try_from(value).expect("at most 255");
    (u16::try_from(cylinders).expect("at most 65,535"), byte(heads), byte(per_track))
}

/// The structure with its checksum.
fn sealed(bytes: &[u8], checksum_at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let sum = format::checksum(&bytes, checksum_at);
    bytes[checksum_at..checksum_at + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A GUID as this format stores it.
pub(super) fn network_order(guid: Guid) -> [u8; 16] {
    let mut bytes = guid.0;
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

impl Blocks for NewVhd {
    fn block_size(&self) -> u64 {
        self.plan.block_size
    }

    fn stride(&self) -> u64 {
        self.plan.block_size + (self.bitmap.len() as u64).next_multiple_of(ALIGNMENT)
    }

    fn first(&self) -> u64 {
        (self.end + self.bitmap.len() as u64).next_multiple_of(ALIGNMENT)
    }

    fn end_without_blocks(&self) -> u64 {
        self.end
    }

    fn head(&self) -> &[u8] {
        &self.bitmap
    }

    fn entry(&self, block: u64, at: u64) -> (u64, Vec<u8>) {
        let sector = (at - self.bitmap.len() as u64) / SECTOR;
        let sector = u32::try_from(sector).expect("2 TiB of file hold 2040 GiB of blocks");
        (self.table.start + block * 4, sector.to_be_bytes().to_vec())
    }

    fn table(&self) -> (Range<u64>, u8) {
        let [fill, ..] = BAT_UNUSED.to_be_bytes();
        (self.table.clone(), fill)
    }

    fn structures(&self, end: u64) -> Vec<(u64, Vec<u8>)> {
        let footer = footer(&self.plan);
        let mut structures = vec![(HEADER_AT, self.header())];
        structures.extend(self.locators.iter().map(|(at, _, text)| (*at, text.clone())));
        structures.push((end, footer.clone()));
        structures.push((0, footer));
        structures
    }

    fn file_size(&self, end: u64) -> u64 {
        end + FOOTER_SIZE as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_is_that_of_the_specification() {
        // Computed by qemu-img for disks of these sizes.
        for (sectors, expected) in [
            (4 * 17 * 1000, (1000, 4, 17)),
            (20_480, (301, 4, 17)),
            (2_097_152, (2080, 16, 63)),
            (65_535 * 16 * 255 + 7, (65_535, 16, 255)),
        ] {
            assert_eq!(geometry(sectors), expected, "{sectors}");
        }
        assert_eq!(geometry(1), (0, 4, 17));
    }
}
