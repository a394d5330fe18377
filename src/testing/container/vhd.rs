//! A VHD: a footer with its copy in front, the dynamic header, the block table, and blocks behind their sector bitmaps.

use super::{Kind, Layer, SECTOR, table};
use crate::testing::{Pieces, Seal};

const HEADER_AT: u64 = 512;
const TABLE_AT: u64 = 1536;

pub(super) fn write(layer: &Layer) -> Pieces {
    let mut pieces = Pieces::new(0);
    let footer = footer(layer);
    let end = match layer.kind {
        Kind::Fixed => {
            for (number, block) in &layer.blocks {
                for (at, bytes) in &block.parts {
                    pieces.content(number * layer.block_size + at, bytes);
                }
            }
            layer.size
        }
        Kind::Dynamic | Kind::Differencing => {
            pieces.structure(0, footer.clone(), Seal::Complement(64));
            blocks(layer, &mut pieces)
        }
    };
    pieces.structure(end, footer, Seal::Complement(64));
    pieces
}

/// Writes everything but the footers; returns the end of the last block.
fn blocks(layer: &Layer, pieces: &mut Pieces) -> u64 {
    let count = layer.count();
    let entries = usize::try_from(count.next_multiple_of(128)).expect("few");
    let mut entries = vec![0xff; entries * 4];
    let bitmap_len = (layer.block_size / SECTOR / 8).next_multiple_of(SECTOR);
    let mut locators_end = TABLE_AT + entries.len() as u64;
    let mut header = header(layer, u32::try_from(count).expect("few"));
    if layer.kind == Kind::Differencing {
        let path: Vec<u8> = ".\\parent.vhd".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let len = u32::try_from(path.len()).expect("short");
        header[576..580].copy_from_slice(b"W2ru");
        header[580..584].copy_from_slice(&512_u32.to_be_bytes());
        header[584..588].copy_from_slice(&len.to_be_bytes());
        header[592..600].copy_from_slice(&locators_end.to_be_bytes());
        pieces.structure(locators_end, path, Seal::None);
        locators_end += 512;
    }
    pieces.structure(HEADER_AT, header, Seal::Complement(36));
    let stride = bitmap_len + layer.block_size;
    let placed = layer.placed(locators_end, stride);
    for (number, block, at) in &placed {
        let place = usize::try_from(number * 4).expect("few");
        let sector = u32::try_from(at / SECTOR).expect("small files");
        entries[place..place + 4].copy_from_slice(&sector.to_be_bytes());
        let mut bitmap = vec![0; usize::try_from(bitmap_len).expect("small")];
        match layer.kind == Kind::Dynamic || block.is_whole {
            true => bitmap[..usize::try_from(layer.block_size / SECTOR / 8).expect("small")].fill(0xff),
            false => {
                for sector in block.sectors() {
                    bitmap[usize::try_from(sector / 8).expect("small")] |= 0x80 >> (sector % 8);
                }
            }
        }
        table(pieces, *at, &bitmap);
        for (offset, bytes) in &block.parts {
            pieces.content(at + bitmap_len + offset, bytes);
        }
    }
    for (index, page) in entries.chunks(512).enumerate() {
        pieces.structure(TABLE_AT + index as u64 * 512, page.to_vec(), Seal::None);
    }
    locators_end + placed.len() as u64 * stride
}

fn header(layer: &Layer, count: u32) -> Vec<u8> {
    let mut header = b"cxsparse".to_vec();
    header.extend([0xff; 8]);
    header.extend(TABLE_AT.to_be_bytes());
    header.extend(0x1_0000_u32.to_be_bytes());
    header.extend(count.to_be_bytes());
    header.extend(u32::try_from(layer.block_size).expect("256 MiB at most").to_be_bytes());
    header.resize(40, 0);
    if layer.kind == Kind::Differencing {
        header.extend(layer.parent());
        header.resize(64, 0);
        header.extend("parent.vhd".encode_utf16().flat_map(u16::to_be_bytes));
    }
    header.resize(1024, 0);
    header
}

fn footer(layer: &Layer) -> Vec<u8> {
    let (kind, data_offset) = match layer.kind {
        Kind::Fixed => (2_u32, u64::MAX),
        Kind::Dynamic => (3, HEADER_AT),
        Kind::Differencing => (4, HEADER_AT),
    };
    let mut footer = b"conectix".to_vec();
    footer.extend(2_u32.to_be_bytes());
    footer.extend(0x1_0000_u32.to_be_bytes());
    footer.extend(data_offset.to_be_bytes());
    footer.extend([0; 4]);
    footer.extend(b"win \x00\x0a\x00\x00Wi2k");
    footer.extend(layer.size.to_be_bytes());
    footer.extend(layer.size.to_be_bytes());
    // 1000 cylinders of 4 heads and 17 sectors: not what the size is taken from.
    footer.extend([0x03, 0xe8, 4, 17]);
    footer.extend(kind.to_be_bytes());
    footer.extend([0; 4]);
    footer.extend(layer.identity());
    footer.resize(512, 0);
    footer
}
