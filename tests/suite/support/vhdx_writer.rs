//! Writes small VHDX images for tests: every kind of disk, block state and sector size, and valid and damaged logs.
//!
//! Independent of the reader: offsets and encodings are written a second time, from the specification. Used by the unit
//! tests, the suite and the fuzz targets, so it imports nothing else.

#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const NOT_PRESENT: u64 = 0;
pub(crate) const UNDEFINED: u64 = 1;
pub(crate) const ZERO: u64 = 2;
pub(crate) const UNMAPPED: u64 = 3;
pub(crate) const LOG_GUID: [u8; 16] = [0x4c; 16];
/// File offset of the log in every image made here.
pub(crate) const LOG_OFFSET: u64 = MIB;
const PAGE: u64 = 4096;

/// The description of an image.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) virtual_size: u64,
    pub(crate) block_size: u64,
    pub(crate) logical_sector_size: u32,
    pub(crate) physical_sector_size: u32,
    /// Makes a fixed disk (LeaveBlockAllocated).
    pub(crate) leave_block_allocated: bool,
    pub(crate) parent: Option<Parent>,
    pub(crate) data_write_guid: [u8; 16],
    pub(crate) log_length: u64,
    pub(crate) blocks: BTreeMap<u64, Block>,
}

/// The parent locator of a differencing disk.
#[derive(Clone)]
pub(crate) struct Parent {
    pub(crate) linkage: [u8; 16],
    pub(crate) relative_path: String,
    pub(crate) absolute_win32_path: String,
}

/// A payload block; those without one are NOT_PRESENT.
#[derive(Clone)]
pub(crate) enum Block {
    /// A state without data.
    State(u64),
    /// The BAT entry, unchanged.
    Entry(u64),
    /// FULLY_PRESENT.
    Full(Vec<u8>),
    /// PARTIALLY_PRESENT: sectors by their number in the block; the others are filled with 0xdb (in the first and last
    /// MiB), which a reader must never return.
    Partial(BTreeMap<u64, Vec<u8>>),
}

/// A log entry to be written.
#[derive(Clone)]
pub(crate) struct LogEntry {
    /// Offset in the log; entries may wrap at its end.
    pub(crate) at: u64,
    pub(crate) tail: u64,
    pub(crate) sequence_number: u64,
    pub(crate) updates: Vec<Update>,
    pub(crate) flushed_file_offset: u64,
    pub(crate) last_file_offset: u64,
    pub(crate) log_guid: [u8; 16],
    /// Omits the last sector: the crash came while it was written.
    pub(crate) torn: bool,
}

#[derive(Clone)]
pub(crate) enum Update {
    Data(u64, Vec<u8>),
    Zeros(u64, u64),
}

/// An image in memory, sparse.
#[derive(Clone, Default)]
pub(crate) struct Image {
    /// Shared between clones until written to.
    pages: BTreeMap<u64, Arc<Vec<u8>>>,
    pub(crate) size: u64,
    pub(crate) metadata_offset: u64,
    pub(crate) bat_offset: u64,
    log_length: u64,
    data_write_guid: [u8; 16],
}

impl Recipe {
    pub(crate) fn dynamic(virtual_size: u64, block_size: u64) -> Self {
        Self {
            virtual_size,
            block_size,
            logical_sector_size: 512,
            physical_sector_size: 4096,
            leave_block_allocated: false,
            parent: None,
            data_write_guid: [0xd1; 16],
            log_length: MIB,
            blocks: BTreeMap::new(),
        }
    }

    /// A fixed disk with every block in the file, in order.
    pub(crate) fn fixed(block_size: u64, content: &[u8]) -> Self {
        let mut recipe = Self::dynamic(content.len() as u64, block_size);
        recipe.leave_block_allocated = true;
        for (number, bytes) in content.chunks(block_size as usize).enumerate() {
            recipe.blocks.insert(number as u64, Block::Full(bytes.to_vec()));
        }
        recipe
    }

    pub(crate) fn differencing(virtual_size: u64, block_size: u64, linkage: [u8; 16], parent: &str) -> Self {
        let mut recipe = Self::dynamic(virtual_size, block_size);
        recipe.parent = Some(Parent {
            linkage,
            relative_path: format!(".\\{parent}"),
            absolute_win32_path: format!("\\\\?\\C:\\disks\\{parent}"),
        });
        recipe.data_write_guid = [0xc1; 16];
        recipe
    }

    pub(crate) fn block(mut self, number: u64, block: Block) -> Self {
        self.blocks.insert(number, block);
        self
    }

    pub(crate) fn sector_size(mut self, bytes: u32) -> Self {
        self.logical_sector_size = bytes;
        self
    }

    pub(crate) fn chunk_ratio(&self) -> u64 {
        (u64::from(self.logical_sector_size) << 23) / self.block_size
    }

    pub(crate) fn build(&self) -> Image {
        let ratio = self.chunk_ratio();
        let payload_blocks = self.virtual_size.div_ceil(self.block_size);
        let chunks = payload_blocks.div_ceil(ratio);
        let bat_length = (chunks * (ratio + 1) * 8).next_multiple_of(MIB);
        let metadata_offset = LOG_OFFSET + self.log_length;
        let bat_offset = metadata_offset + MIB;
        let mut image = Image {
            size: bat_offset + bat_length,
            metadata_offset,
            bat_offset,
            log_length: self.log_length,
            data_write_guid: self.data_write_guid,
            ..Image::default()
        };
        image.write(0, b"vhdxfile");
        image.write(8, &utf16("vhdmount test writer"));
        image.write_headers([0; 16]);
        image.write_region_tables(&[(METADATA, metadata_offset, MIB, 1), (BAT, bat_offset, bat_length, 1)]);
        self.write_metadata(&mut image);

        for (number, block) in &self.blocks {
            let entry = match block {
                Block::State(state) => *state,
                Block::Entry(entry) => *entry,
                Block::Full(bytes) => image.allocate(bytes, self.block_size) | 6,
                Block::Partial(sectors) => self.write_partial(&mut image, *number, sectors) | 7,
            };
            image.write(bat_offset + (number + number / ratio) * 8, &entry.to_le_bytes());
        }
        image
    }

    fn write_partial(&self, image: &mut Image, number: u64, sectors: &BTreeMap<u64, Vec<u8>>) -> u64 {
        let (ratio, sector_size) = (self.chunk_ratio(), u64::from(self.logical_sector_size));
        let at = image.bat_offset + (number / ratio * (ratio + 1) + ratio) * 8;
        let mut bitmap = u64::from_le_bytes(image.read(at, 8).try_into().unwrap()) & !0xf_ffff;
        if bitmap == 0 {
            bitmap = image.allocate(&[], MIB);
            image.write(at, &(bitmap | 6).to_le_bytes());
        }
        let block = image.allocate(&[], self.block_size);
        // Both ends are enough for data that must not be returned: large blocks stay sparse.
        image.write(block, &vec![0xdb; MIB as usize]);
        image.write(block + self.block_size - MIB, &vec![0xdb; MIB as usize]);
        for (sector, data) in sectors {
            image.write(block + sector * sector_size, data);
            let bit = number % ratio * (self.block_size / sector_size) + sector;
            let byte = image.read(bitmap + bit / 8, 1)[0] | 1 << (bit % 8);
            image.write(bitmap + bit / 8, &[byte]);
        }
        block
    }

    pub(crate) fn write_metadata(&self, image: &mut Image) {
        let flags = u32::from(self.leave_block_allocated) | u32::from(self.parent.is_some()) << 1;
        let mut items: Vec<([u8; 16], u32, Vec<u8>)> = vec![
            (FILE_PARAMETERS, 4, [(self.block_size as u32).to_le_bytes(), flags.to_le_bytes()].concat()),
            (VIRTUAL_DISK_SIZE, 6, self.virtual_size.to_le_bytes().to_vec()),
            (VIRTUAL_DISK_ID, 6, [0x1d; 16].to_vec()),
            (LOGICAL_SECTOR_SIZE, 6, self.logical_sector_size.to_le_bytes().to_vec()),
            (PHYSICAL_SECTOR_SIZE, 6, self.physical_sector_size.to_le_bytes().to_vec()),
        ];
        if let Some(parent) = &self.parent {
            items.push((PARENT_LOCATOR, 4, parent.encode()));
        }
        image.write_metadata_items(&items);
    }
}

impl Parent {
    fn encode(&self) -> Vec<u8> {
        let pairs = [
            ("parent_linkage", guid_text(&self.linkage)),
            ("relative_path", self.relative_path.clone()),
            ("absolute_win32_path", self.absolute_win32_path.clone()),
        ];
        let mut out = guid(0xb04a_efb7, 0xd19e, 0x4a81, 0xb789_25b8_e944_5913).to_vec();
        out.extend([0, 0]);
        out.extend((pairs.len() as u16).to_le_bytes());
        let mut strings = Vec::new();
        let base = out.len() + pairs.len() * 12;
        for (key, value) in &pairs {
            let (key, value) = (utf16(key), utf16(value));
            let at = base + strings.len();
            out.extend((at as u32).to_le_bytes());
            out.extend(((at + key.len()) as u32).to_le_bytes());
            out.extend((key.len() as u16).to_le_bytes());
            out.extend((value.len() as u16).to_le_bytes());
            strings.extend(key);
            strings.extend(value);
        }
        out.extend(strings);
        out
    }
}

impl Image {
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        self.size = self.size.max(offset + bytes.len() as u64);
        let mut at = offset;
        while !bytes.is_empty() {
            let start = (at % PAGE) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE as usize - start));
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize].into());
            Arc::make_mut(page)[start..start + now.len()].copy_from_slice(now);
            (at, bytes) = (at + now.len() as u64, rest);
        }
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read_into(offset, &mut out);
        out
    }

    pub(crate) fn read_into(&self, mut at: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let start = (at % PAGE) as usize;
            let take = out.len().min(PAGE as usize - start);
            let (now, rest) = out.split_at_mut(take);
            match self.pages.get(&(at / PAGE)) {
                Some(page) => now.copy_from_slice(&page[start..start + take]),
                None => now.fill(0),
            }
            (at, out) = (at + take as u64, rest);
        }
    }

    /// Allocates a place at the end, on a MiB boundary, and writes `bytes` there.
    fn allocate(&mut self, bytes: &[u8], len: u64) -> u64 {
        let at = self.size.next_multiple_of(MIB);
        self.size = at + len;
        self.write(at, bytes);
        at
    }

    /// Writes both headers, the second newer.
    pub(crate) fn write_headers(&mut self, log_guid: [u8; 16]) {
        for (offset, sequence) in [(64 << 10, 7_u64), (128 << 10, 8)] {
            self.write_header(offset, sequence, log_guid);
        }
    }

    pub(crate) fn write_header(&mut self, offset: u64, sequence_number: u64, log_guid: [u8; 16]) {
        let mut header = vec![0; 4096];
        header[..4].copy_from_slice(b"head");
        header[8..16].copy_from_slice(&sequence_number.to_le_bytes());
        header[16..32].copy_from_slice(&[0xf1; 16]);
        header[32..48].copy_from_slice(&self.data_write_guid);
        header[48..64].copy_from_slice(&log_guid);
        header[66..68].copy_from_slice(&1_u16.to_le_bytes());
        header[68..72].copy_from_slice(&(self.log_length as u32).to_le_bytes());
        header[72..80].copy_from_slice(&LOG_OFFSET.to_le_bytes());
        seal(&mut header);
        self.write(offset, &header);
    }

    /// Writes the region tables; `regions`: GUID, offset, length and required flag of each.
    pub(crate) fn write_region_tables(&mut self, regions: &[([u8; 16], u64, u64, u32)]) {
        let mut table = vec![0; 64 << 10];
        table[..4].copy_from_slice(b"regi");
        table[8..12].copy_from_slice(&(regions.len() as u32).to_le_bytes());
        for (index, (id, offset, length, required)) in regions.iter().enumerate() {
            let entry =
                [&id[..], &offset.to_le_bytes(), &(*length as u32).to_le_bytes(), &required.to_le_bytes()]
                    .concat();
            table[16 + index * 32..][..32].copy_from_slice(&entry);
        }
        seal(&mut table);
        self.write(192 << 10, &table);
        self.write(256 << 10, &table);
    }

    /// Writes the metadata items; `items`: id, flags and bytes of each.
    pub(crate) fn write_metadata_items(&mut self, items: &[([u8; 16], u32, Vec<u8>)]) {
        let mut table = b"metadata\0\0".to_vec();
        table.extend((items.len() as u16).to_le_bytes());
        table.resize(32, 0);
        let mut at = 64 << 10;
        for (id, flags, bytes) in items {
            table.extend(id);
            for number in [at, bytes.len() as u32, *flags, 0] {
                table.extend(number.to_le_bytes());
            }
            self.write(self.metadata_offset + u64::from(at), bytes);
            at += bytes.len() as u32;
        }
        self.write(self.metadata_offset, &table);
    }

    /// A log entry whose tail is itself.
    pub(crate) fn entry(&self, at: u64, sequence_number: u64, updates: Vec<Update>) -> LogEntry {
        LogEntry {
            at,
            tail: at,
            sequence_number,
            updates,
            flushed_file_offset: self.size,
            last_file_offset: self.size,
            log_guid: LOG_GUID,
            torn: false,
        }
    }

    /// Marks the image as dirty and writes the entries into the log.
    pub(crate) fn write_log(&mut self, entries: &[LogEntry]) {
        self.write_headers(LOG_GUID);
        for entry in entries {
            let mut bytes = entry.encode();
            if entry.torn {
                bytes.truncate(bytes.len() - 4096);
            }
            for (index, sector) in bytes.chunks(4096).enumerate() {
                let at = (entry.at + index as u64 * 4096) % self.log_length;
                self.write(LOG_OFFSET + at, sector);
            }
        }
    }

    /// Moves the file's bytes at `offset` (whole sectors) into log updates and leaves `stale` bytes in their place.
    pub(crate) fn withhold(&mut self, offset: u64, sectors: u64, stale: u8) -> Vec<Update> {
        (0..sectors)
            .map(|sector| {
                let at = offset + sector * 4096;
                let update = Update::Data(at, self.read(at, 4096));
                self.write(at, &[stale; 4096]);
                update
            })
            .collect()
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.size as usize];
        for (page, bytes) in &self.pages {
            let at = (page * PAGE) as usize;
            let end = out.len().min(at + bytes.len());
            out[at..end].copy_from_slice(&bytes[..end - at]);
        }
        out
    }

    /// Writes the image to a sparse file.
    pub(crate) fn save(&self, path: &Path) {
        use std::io::{Seek, SeekFrom};
        let mut file = std::fs::File::create(path).unwrap();
        for (page, bytes) in &self.pages {
            file.seek(SeekFrom::Start(page * PAGE)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.set_len(self.size).unwrap();
    }
}

impl LogEntry {
    /// The entry's length in the log.
    pub(crate) fn length(&self) -> u64 {
        self.encode().len() as u64
    }

    fn encode(&self) -> Vec<u8> {
        let number = self.sequence_number.to_le_bytes();
        let mut out = vec![0; 64];
        let mut sectors: Vec<u8> = Vec::new();
        for update in &self.updates {
            match update {
                Update::Data(offset, bytes) => {
                    out.extend(b"desc");
                    out.extend(&bytes[4092..]);
                    out.extend(&bytes[..8]);
                    out.extend(offset.to_le_bytes());
                    sectors.extend(b"data");
                    sectors.extend(&number[4..]);
                    sectors.extend(&bytes[8..4092]);
                    sectors.extend(&number[..4]);
                }
                Update::Zeros(offset, length) => {
                    out.extend(b"zero\0\0\0\0");
                    out.extend(length.to_le_bytes());
                    out.extend(offset.to_le_bytes());
                }
            }
            out.extend(number);
        }
        out.resize(out.len().next_multiple_of(4096), 0);
        out.extend(sectors);
        let length = out.len() as u32;
        out[..4].copy_from_slice(b"loge");
        out[8..12].copy_from_slice(&length.to_le_bytes());
        out[12..16].copy_from_slice(&(self.tail as u32).to_le_bytes());
        out[16..24].copy_from_slice(&number);
        out[24..28].copy_from_slice(&(self.updates.len() as u32).to_le_bytes());
        out[32..48].copy_from_slice(&self.log_guid);
        out[48..56].copy_from_slice(&self.flushed_file_offset.to_le_bytes());
        out[56..64].copy_from_slice(&self.last_file_offset.to_le_bytes());
        seal(&mut out);
        out
    }
}

/// Sets the CRC-32C in bytes 4 to 7.
pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[4..8].fill(0);
    let crc = crc32c(bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32C (Castagnoli) a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut crc, mut bit) = (index as u32, 0);
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize])
}

/// Bytes that differ from place to place and between seeds, never zero.
pub(crate) fn pattern(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8 | 1
    };
    (0..len).map(word).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

fn guid_text(id: &[u8; 16]) -> String {
    let hex = |indices: &[usize]| indices.iter().map(|i| format!("{:02x}", id[*i])).collect::<String>();
    let groups = [&[3, 2, 1, 0][..], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]];
    format!("{{{}}}", groups.map(hex).join("-"))
}

pub(crate) const BAT: [u8; 16] = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
pub(crate) const METADATA: [u8; 16] = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const VIRTUAL_DISK_SIZE: [u8; 16] = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const VIRTUAL_DISK_ID: [u8; 16] = guid(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746);
const LOGICAL_SECTOR_SIZE: [u8; 16] = guid(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f);
const PHYSICAL_SECTOR_SIZE: [u8; 16] = guid(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556);
const PARENT_LOCATOR: [u8; 16] = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
