//! Opening a dynamic or differencing VHD for writing: everything that a write would rely on is verified before the first one.

use std::{collections::BTreeSet, ops::Range};

use super::{
    super::{
        bat::MAX_ENTRIES,
        footer::{Footer, LocatedFooter},
        format::{BAT_UNUSED, FOOTER_SIZE, HEADER_SIZE, SECTOR},
        header::Header,
    },
    space::Space,
};
use crate::{
    Error, Place, Result,
    bytes::{Backing, read_vec},
    container::Kind,
};

const TABLE: &str = "VHD block allocation table";
/// Bytes of the table that are read at once.
const PIECE: usize = 64 << 10;

/// What was found.
pub(super) struct Opened {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) table_at: u64,
    /// Sector numbers, one for each block.
    pub(super) table: Vec<u32>,
    pub(super) space: Space,
    /// The end of the structures before the blocks.
    pub(super) least: u64,
}

/// The bytes of the footer that was found.
fn footer_bytes(file: &dyn Backing, footer: &Footer, data_end: u64) -> Result<([u8; FOOTER_SIZE], bool)> {
    for at in [data_end, 0] {
        let mut bytes = [0; FOOTER_SIZE];
        if at.saturating_add(FOOTER_SIZE as u64) > file.size() {
            continue;
        }
        file.read_exact_at(at, &mut bytes)?;
        if Footer::parse(&bytes, at).is_ok_and(|found| found == *footer) {
            return Ok((bytes, at == data_end));
        }
    }
    // One of 511 bytes, as old versions of Virtual PC wrote it.
    let problem = "it has 511 bytes: such an image is only read";
    Err(Error::corrupt("VHD footer", Place::Byte(data_end), problem))
}

/// Reads and verifies the structures of a disk whose footer was found.
pub(super) fn open(file: &dyn Backing, mut found: LocatedFooter) -> Result<Opened> {
    let data_end = found.data_end;
    let (bytes, at_end) = footer_bytes(file, &found.footer, data_end)?;
    let header_at = found.footer.data_offset;
    let corrupt = |problem: String| Err(Error::corrupt(TABLE, Place::Byte(header_at), problem));
    let header_bytes = read_vec(file, header_at, HEADER_SIZE)?;
    let header = Header::parse(&header_bytes, header_at)?;
    if !header.checksum_matches {
        let problem = "its checksum is wrong: such an image is only read";
        return Err(Error::corrupt("VHD dynamic disk header", Place::Byte(header_at), problem));
    }
    let size =
        super::super::virtual_size(&mut found, u64::from(header.max_table_entries) * header.block_size);
    let blocks = size.div_ceil(header.block_size);
    if blocks > header.max_table_entries.into() || blocks > MAX_ENTRIES {
        return corrupt(format!("has {} entries, the disk {blocks} blocks", header.max_table_entries));
    }
    let table_at = header.table_offset;
    if !table_at.is_multiple_of(SECTOR) || !size.is_multiple_of(SECTOR) {
        return corrupt("does not begin at a sector, or the disk does not end at one".to_owned());
    }
    let copy = 0..FOOTER_SIZE as u64;
    let header_range = header_at..header_at.saturating_add(HEADER_SIZE as u64);
    let stated = u64::from(header.max_table_entries) * 4;
    let table_range =
        table_at..table_at.saturating_add(stated).checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
    let structures = [copy, header_range, table_range];
    for (index, one) in structures.iter().enumerate() {
        if one.end > data_end || structures[..index].iter().any(|other| overlap(one, other)) {
            return corrupt(
                "it, the header and the footer's copy overlap, or lie beyond the end of the file".to_owned(),
            );
        }
    }
    let least = structures.iter().map(|range| range.end).max().unwrap_or(0);
    let locators = header.parent_locators.iter().map(|entry| {
        let at = entry.platform_data_offset.get();
        at..at.saturating_add(entry.platform_data_length.get().max(entry.platform_data_space.get()).into())
    });
    let locators: Vec<_> = locators.filter(|range| !range.is_empty() && range.end <= data_end).collect();
    let table = read_table(file, table_at, usize::try_from(blocks).expect("at most MAX_ENTRIES"))?;
    let (bitmap, block) = (header.bitmap_size(), header.block_size);
    let fixed: Vec<_> = structures.iter().chain(&locators).cloned().collect();
    let end = verify(&table, bitmap + block, data_end, &fixed, table_at)?;
    let least = locators.iter().map(|range| range.end).fold(least, u64::max);
    let space = Space {
        bitmap,
        block,
        footer: bytes,
        footer_at: if at_end { data_end } else { file.size().next_multiple_of(SECTOR) },
        end: end.max(least),
        zeros_from: file.size(),
        free: BTreeSet::new(),
        freed: Vec::new(),
    };
    Ok(Opened { kind: found.footer.kind, size, table_at, table, space, least })
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

fn read_table(file: &dyn Backing, at: u64, blocks: usize) -> Result<Vec<u32>> {
    // The table lies inside the file, so it is no larger than what is stored.
    let mut table = Vec::with_capacity(blocks);
    let mut bytes = vec![0; PIECE];
    while table.len() < blocks {
        let len = ((blocks - table.len()) * 4).min(PIECE);
        file.read_exact_at(at + table.len() as u64 * 4, &mut bytes[..len])?;
        table.extend(bytes[..len].as_chunks::<4>().0.iter().map(|raw| u32::from_be_bytes(*raw)));
    }
    Ok(table)
}

/// Refuses a table whose blocks overlap each other or a structure, or lie beyond the end. Returns the end of the last block.
fn verify(
    table: &[u32],
    length: u64,
    data_end: u64,
    structures: &[Range<u64>],
    table_at: u64,
) -> Result<u64> {
    let mut placed: Vec<u32> = table.iter().copied().filter(|sector| *sector != BAT_UNUSED).collect();
    placed.sort_unstable();
    let mut end = 0;
    for sector in placed {
        let start = u64::from(sector) * SECTOR;
        let block = start..start + length;
        let problem = if start < end {
            "two blocks overlap"
        } else if block.end > data_end {
            "a block lies beyond the end of the file"
        } else if structures.iter().any(|range| overlap(range, &block)) {
            "a block lies over the disk's own structures"
        } else {
            end = block.end;
            continue;
        };
        let entry = table.iter().position(|entry| *entry == sector).unwrap_or(0);
        return Err(Error::corrupt(
            format!("{TABLE} entry {entry}"),
            Place::Byte(table_at + entry as u64 * 4),
            format!("{problem}: such an image is only read; `check` lists what is wrong with it"),
        ));
    }
    Ok(end)
}
