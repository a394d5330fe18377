//! A VHDX: two headers, two region tables, the log's empty region, metadata, the block table with entries for sector bitmaps
//! (MS-VHDX 2.2 to 2.6).

use std::collections::BTreeMap;

use super::{Kind, Layer, SECTOR, table};
use crate::testing::{Pieces, Seal, fields::Fields};

const MIB: u64 = 1 << 20;
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const TABLE_AT: u64 = 3 * MIB;
/// Sectors that one block of sector bitmaps describes.
const CHUNK: u64 = 1 << 23;

type Guid = [u8; 16];
const REGION_TABLE: Guid = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const REGION_METADATA: Guid = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const FILE_PARAMETERS: Guid = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const VIRTUAL_SIZE: Guid = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const DISK_ID: Guid = guid(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746);
const LOGICAL_SECTOR: Guid = guid(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f);
const PHYSICAL_SECTOR: Guid = guid(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556);
const PARENT_LOCATOR: Guid = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
const LOCATOR_TYPE: Guid = guid(0xb04a_efb7, 0xd19e, 0x4a81, 0xb789_25b8_e944_5913);

const ZERO: u64 = 2;
const PRESENT: u64 = 6;
const PARTIAL: u64 = 7;

pub(super) fn write(layer: &Layer) -> Pieces {
    let mut pieces = Pieces::new(0);
    let identifier = Fields::default().bytes(b"vhdxfile").text("generated").to(512);
    pieces.structure(0, identifier.done(), Seal::None);
    for (at, sequence) in [(64 << 10, 7), (128 << 10, 8)] {
        let header = Fields::default()
            .bytes(b"head")
            .long(0)
            .quad(sequence)
            .bytes(&[0xf1; 16])
            .bytes(&layer.identity())
            .bytes(&[0; 16])
            .word(0)
            .word(1)
            .long(1 << 20)
            .quad(LOG_AT)
            .to(4096);
        pieces.structure(at, header.done(), Seal::Castagnoli);
    }
    let ratio = CHUNK * SECTOR / layer.block_size;
    let entries = match layer.kind {
        Kind::Differencing => layer.count().div_ceil(ratio) * (ratio + 1),
        Kind::Fixed | Kind::Dynamic => layer.count() + (layer.count() - 1) / ratio,
    };
    let table_len = (entries * 8).next_multiple_of(MIB);
    for at in [192 << 10, 256 << 10] {
        let region = |fields: Fields, id: Guid, at: u64, len: u64| {
            fields.bytes(&id).quad(at).long(usize::try_from(len).expect("small")).long(1)
        };
        let fields = Fields::default().bytes(b"regi").long(0).long(2).long(0);
        let fields = region(fields, REGION_TABLE, TABLE_AT, table_len);
        let fields = region(fields, REGION_METADATA, METADATA_AT, MIB);
        pieces.structure(at, fields.to(64 << 10).done(), Seal::Castagnoli);
    }
    metadata(layer, &mut pieces);
    let end = blocks(layer, &mut pieces, ratio, entries, TABLE_AT + table_len);
    // A file ends with its last block, whatever of it is stored.
    pieces.extend(end);
    pieces
}

fn metadata(layer: &Layer, pieces: &mut Pieces) {
    let flags = match layer.kind {
        Kind::Fixed => 1,
        Kind::Dynamic => 0,
        Kind::Differencing => 2,
    };
    let block_size = usize::try_from(layer.block_size).expect("256 MiB at most");
    let mut items: Vec<(Guid, usize, Vec<u8>)> = vec![
        (FILE_PARAMETERS, 4, Fields::default().long(block_size).long(flags).done()),
        (VIRTUAL_SIZE, 6, layer.size.to_le_bytes().to_vec()),
        (DISK_ID, 6, vec![0x1d; 16]),
        (LOGICAL_SECTOR, 6, Fields::default().long(512).done()),
        (PHYSICAL_SECTOR, 6, Fields::default().long(4096).done()),
    ];
    if layer.kind == Kind::Differencing {
        items.push((PARENT_LOCATOR, 4, locator(layer)));
    }
    let mut fields = Fields::default().bytes(b"metadata").word(0).word(items.len()).to(32);
    let mut at = 64 << 10;
    for (id, flags, bytes) in items {
        fields = fields.bytes(&id).long(at).long(bytes.len()).long(flags).long(0);
        pieces.structure(METADATA_AT + at as u64, bytes.clone(), Seal::None);
        at += bytes.len();
    }
    pieces.structure(METADATA_AT, fields.done(), Seal::None);
}

fn locator(layer: &Layer) -> Vec<u8> {
    let id = format!("{:02x}", layer.number - 1);
    let part = |bytes: usize| id.repeat(bytes);
    let id = format!("{{{}-{}-{}-{}-{}}}", part(4), part(2), part(2), part(2), part(6));
    let pairs = [("parent_linkage", id.as_str()), ("relative_path", ".\\parent.vhdx")];
    let mut fields = Fields::default().bytes(&LOCATOR_TYPE).word(0).word(pairs.len());
    let (mut at, mut texts) = (20 + 12 * pairs.len(), Fields::default());
    for (key, value) in pairs {
        let (key_len, value_len) = (key.len() * 2, value.len() * 2);
        fields = fields.long(at).long(at + key_len).word(key_len).word(value_len);
        at += key_len + value_len;
        texts = texts.text(key).text(value);
    }
    fields.bytes(&texts.0).done()
}

/// Writes the table, the blocks and their bitmaps; returns the end of the file.
fn blocks(layer: &Layer, pieces: &mut Pieces, ratio: u64, entries: u64, first: u64) -> u64 {
    let mut entries = vec![0; usize::try_from(entries * 8).expect("few")];
    let mut set = |index: u64, entry: u64| {
        let at = usize::try_from(index * 8).expect("few");
        entries[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    };
    let mut bitmaps: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let placed = match layer.kind {
        Kind::Fixed => {
            // Every block has its place, though most hold nothing.
            let places = (0..layer.count()).map(|number| (number, first + number * layer.block_size));
            places.clone().for_each(|(number, at)| set(number + number / ratio, at | PRESENT));
            let stored = |(number, at)| Some((number, layer.blocks.get(&number)?, at));
            places.filter_map(stored).collect()
        }
        _ => layer.placed(first, layer.block_size),
    };
    for (number, block, at) in &placed {
        for (offset, bytes) in &block.parts {
            pieces.content(at + offset, bytes);
        }
        let is_partial = layer.kind == Kind::Differencing && !block.is_whole;
        set(number + number / ratio, at | if is_partial { PARTIAL } else { PRESENT });
        if is_partial {
            let bitmap = bitmaps.entry(number / ratio).or_insert_with(|| vec![0; 1 << 20]);
            for sector in block.sectors() {
                let bit = number % ratio * (layer.block_size / SECTOR) + sector;
                bitmap[usize::try_from(bit / 8).expect("a bitmap")] |= 1 << (bit % 8);
            }
        }
    }
    if layer.kind == Kind::Dynamic {
        // Some that hold nothing are zeros by their entry.
        let absent = (0..layer.count()).filter(|number| !layer.blocks.contains_key(number));
        absent.step_by(3).take(50).for_each(|number| set(number + number / ratio, ZERO));
    }
    let blocks = match layer.kind {
        Kind::Fixed => layer.count(),
        _ => placed.len() as u64,
    };
    let mut end = first + blocks * layer.block_size;
    for (chunk, bitmap) in bitmaps {
        set(chunk * (ratio + 1) + ratio, end | PRESENT);
        table(pieces, end, &bitmap);
        end += MIB;
    }
    table(pieces, TABLE_AT, &entries);
    end
}

const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), rest.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}
