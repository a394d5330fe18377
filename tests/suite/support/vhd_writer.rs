//! Writes VHDs that no public tool makes: differencing disks, partial sector bitmaps, odd block sizes, short footers.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

/// The allocated blocks of a dynamic or differencing disk: a bitmap (one bool per sector) and the payload.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) present: Vec<bool>,
    pub(crate) data: Vec<u8>,
}

/// A VHD to be written. A test changes the fields that it is about and keeps the others.
#[derive(Clone)]
pub(crate) struct VhdWriter {
    /// 2 fixed, 3 dynamic, 4 differencing.
    pub(crate) disk_type: u32,
    pub(crate) size: u64,
    pub(crate) block_size: u32,
    /// Cylinders, heads, sectors.
    pub(crate) geometry: (u16, u8, u8),
    pub(crate) creator: [u8; 4],
    pub(crate) unique_id: [u8; 16],
    pub(crate) parent_id: [u8; 16],
    pub(crate) parent_name: String,
    /// Platform code and its bytes.
    pub(crate) locators: Vec<([u8; 4], Vec<u8>)>,
    /// One per block of the disk.
    pub(crate) blocks: Vec<Option<Block>>,
    /// 512 or 511.
    pub(crate) footer_len: usize,
    /// The content of a fixed disk.
    pub(crate) fixed: Vec<u8>,
    /// Writes the blocks from the last to the first.
    pub(crate) reversed: bool,
}

impl VhdWriter {
    pub(crate) fn new(disk_type: u32, size: u64, block_size: u32) -> Self {
        let blocks = if disk_type == 2 { 0 } else { size.div_ceil(block_size.into()) };
        Self {
            disk_type,
            size,
            block_size,
            geometry: (0, 0, 0),
            creator: *b"win ",
            unique_id: [0x11; 16],
            parent_id: [0; 16],
            parent_name: String::new(),
            locators: Vec::new(),
            blocks: (0..blocks).map(|_| None).collect(),
            footer_len: 512,
            fixed: Vec::new(),
            reversed: false,
        }
    }

    /// A differencing child of `parent`, which is in the same folder under `name`.
    pub(crate) fn child_of(parent: &Self, name: &str, unique_id: [u8; 16]) -> Self {
        let mut child = Self::new(4, parent.size, parent.block_size);
        child.unique_id = unique_id;
        child.parent_id = parent.unique_id;
        child.parent_name = name.to_owned();
        child.locators = vec![
            (*b"W2ru", utf16le(&format!(".\\{name}"))),
            (*b"W2ku", utf16le(&format!("C:\\Virtual Disks\\{name}"))),
        ];
        child
    }

    /// Writes sectors, as a guest would: allocates their blocks and sets their bits.
    pub(crate) fn write(&mut self, sector: u64, data: &[u8]) {
        let block_len = self.block_size as usize;
        for (index, piece) in data.chunks(512).enumerate() {
            let at = usize::try_from(sector).unwrap() * 512 + index * 512;
            let block = self.blocks[at / block_len].get_or_insert_with(|| Block {
                present: vec![false; block_len / 512],
                data: vec![0; block_len],
            });
            let within = at % block_len;
            block.present[within / 512] = true;
            block.data[within..within + piece.len()].copy_from_slice(piece);
        }
    }

    /// The content that a reader must return, over the content of the parent (zeros for a dynamic disk).
    pub(crate) fn content(&self, parent: &[u8]) -> Vec<u8> {
        let mut content = parent.to_vec();
        content.resize(usize::try_from(self.size).unwrap(), 0);
        for (index, block) in self.blocks.iter().enumerate() {
            let Some(block) = block else { continue };
            for (sector, present) in block.present.iter().enumerate() {
                let at = index * self.block_size as usize + sector * 512;
                if (*present || self.disk_type == 3) && at < content.len() {
                    let end = content.len().min(at + 512);
                    content[at..end].copy_from_slice(&block.data[sector * 512..][..end - at]);
                }
            }
        }
        content
    }

    /// The bytes of the file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let footer = self.footer();
        if self.disk_type == 2 {
            let mut file = self.fixed.clone();
            file.resize(usize::try_from(self.size).unwrap(), 0);
            file.extend_from_slice(&footer[..self.footer_len]);
            return file;
        }
        let table_at = 1536;
        let mut file = footer.clone();
        file.resize(table_at, 0);
        file.resize((table_at + self.blocks.len() * 4).next_multiple_of(512), 0xff);
        let mut locators = Vec::new();
        for (code, bytes) in &self.locators {
            locators.push((*code, bytes.len(), file.len()));
            file.extend_from_slice(bytes);
            file.resize(file.len().next_multiple_of(512), 0);
        }
        let mut order: Vec<usize> = (0..self.blocks.len()).collect();
        if self.reversed {
            order.reverse();
        }
        for index in order {
            let Some(block) = &self.blocks[index] else { continue };
            let sector = u32::try_from(file.len() / 512).unwrap();
            file[table_at + index * 4..][..4].copy_from_slice(&sector.to_be_bytes());
            let mut bitmap = vec![0; (block.present.len().div_ceil(8)).next_multiple_of(512)];
            for (bit, _) in block.present.iter().enumerate().filter(|(_, present)| **present) {
                bitmap[bit / 8] |= 0x80 >> (bit % 8);
            }
            file.extend_from_slice(&bitmap);
            file.extend_from_slice(&block.data);
        }
        let header = self.header(table_at as u64, &locators);
        file[512..1536].copy_from_slice(&header);
        file.extend_from_slice(&footer[..self.footer_len]);
        file
    }

    fn footer(&self) -> Vec<u8> {
        let mut f = Vec::new();
        f.extend_from_slice(b"conectix");
        f.extend_from_slice(&2_u32.to_be_bytes());
        f.extend_from_slice(&0x0001_0000_u32.to_be_bytes());
        f.extend_from_slice(&if self.disk_type == 2 { u64::MAX } else { 512 }.to_be_bytes());
        f.extend_from_slice(&0x1a00_0000_u32.to_be_bytes());
        f.extend_from_slice(&self.creator);
        f.extend_from_slice(&0x0006_0001_u32.to_be_bytes());
        f.extend_from_slice(b"Wi2k");
        f.extend_from_slice(&self.size.to_be_bytes());
        f.extend_from_slice(&self.size.to_be_bytes());
        f.extend_from_slice(&self.geometry.0.to_be_bytes());
        f.extend_from_slice(&[self.geometry.1, self.geometry.2]);
        f.extend_from_slice(&self.disk_type.to_be_bytes());
        f.extend_from_slice(&[0; 4]);
        f.extend_from_slice(&self.unique_id);
        f.resize(512, 0);
        seal(&mut f, 64);
        f
    }

    fn header(&self, table_at: u64, locators: &[([u8; 4], usize, usize)]) -> Vec<u8> {
        let mut h = Vec::new();
        h.extend_from_slice(b"cxsparse");
        h.extend_from_slice(&u64::MAX.to_be_bytes());
        h.extend_from_slice(&table_at.to_be_bytes());
        h.extend_from_slice(&0x0001_0000_u32.to_be_bytes());
        h.extend_from_slice(&u32::try_from(self.blocks.len()).unwrap().to_be_bytes());
        h.extend_from_slice(&self.block_size.to_be_bytes());
        h.extend_from_slice(&[0; 4]);
        h.extend_from_slice(&self.parent_id);
        h.extend_from_slice(&[0; 8]);
        h.extend(self.parent_name.encode_utf16().flat_map(u16::to_be_bytes));
        h.resize(64 + 512, 0);
        for (code, len, offset) in locators {
            h.extend_from_slice(code);
            h.extend_from_slice(&u32::try_from(len.next_multiple_of(512)).unwrap().to_be_bytes());
            h.extend_from_slice(&u32::try_from(*len).unwrap().to_be_bytes());
            h.extend_from_slice(&[0; 4]);
            h.extend_from_slice(&u64::try_from(*offset).unwrap().to_be_bytes());
        }
        h.resize(1024, 0);
        seal(&mut h, 36);
        h
    }
}

pub(crate) fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Stores the one's complement of the sum of all bytes at `at`.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// Bytes that differ from sector to sector and from seed to seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}
