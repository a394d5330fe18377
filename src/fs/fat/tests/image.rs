//! A builder for small FAT volumes.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::super::{
    Fat,
    boot::{Geometry, Width},
    format::{ShortEntry, attr},
    open,
};
use crate::bytes::MemorySource;

pub(super) const WIDTHS: [Width; 3] = [Width::Fat12, Width::Fat16, Width::Fat32];

pub(super) const SECTOR: usize = 512;

/// A volume being built: one sector per cluster, two tables.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) width: Width,
    pub(super) fat: usize,
    pub(super) fat_len: usize,
    pub(super) root: usize,
    pub(super) data: usize,
    pub(super) clusters: u32,
}

impl Image {
    pub(super) fn new(width: Width) -> Self {
        // FAT16 starts at 4085 clusters; FAT32 may have any number.
        let (reserved, fat_sectors, root_entries, total) = match width {
            Width::Fat12 => (1, 2, 64, 400),
            Width::Fat16 => (1, 20, 64, 5000),
            Width::Fat32 => (32, 4, 0, 500),
        };
        let mut image = Self {
            bytes: vec![0; total * SECTOR],
            width,
            fat: reserved * SECTOR,
            fat_len: fat_sectors * SECTOR,
            root: (reserved + 2 * fat_sectors) * SECTOR,
            data: (reserved + 2 * fat_sectors) * SECTOR + root_entries * 32,
            clusters: 0,
        };
        let mut put = |at: usize, bytes: &[u8]| image.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        let word = |n: usize| u16::try_from(n).unwrap().to_le_bytes();
        put(0, b"\xeb\x3c\x90MSDOS5.0");
        put(11, &word(SECTOR));
        put(13, &[1]);
        put(14, &word(reserved));
        put(16, &[2]);
        put(17, &word(root_entries));
        put(19, &word(total));
        put(21, &[0xf8]);
        let extended = if width == Width::Fat32 {
            put(36, &word(fat_sectors));
            put(44, &[2]);
            put(48, &[1, 0, 6, 0]);
            64
        } else {
            put(22, &word(fat_sectors));
            36
        };
        put(extended + 2, b"\x29\xcd\xab\x34\x12NO NAME    ");
        put(510, &[0x55, 0xaa]);
        let boot: Vec<u8> = image.bytes[..SECTOR].to_vec();
        if width == Width::Fat32 {
            image.bytes[6 * SECTOR..7 * SECTOR].copy_from_slice(&boot);
        }
        image.clusters = Geometry::parse(&boot).unwrap().clusters;
        image.set(0, image.end() & !0xff | 0xf8);
        image.set(1, image.end());
        if width == Width::Fat32 {
            image.set(2, image.end());
        }
        image
    }

    pub(super) fn end(&self) -> u32 {
        match self.width {
            Width::Fat12 => 0xfff,
            Width::Fat16 => 0xffff,
            Width::Fat32 => 0x0fff_ffff,
        }
    }

    pub(super) fn set_in(&mut self, copy: usize, cluster: u32, value: u32) {
        let base = self.fat + copy * self.fat_len;
        let cluster = cluster as usize;
        match self.width {
            Width::Fat12 => {
                let at = base + cluster * 3 / 2;
                let pair = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
                let value = u16::try_from(value).unwrap();
                let pair = if cluster.is_multiple_of(2) {
                    pair & 0xf000 | value
                } else {
                    pair & 0x000f | value << 4
                };
                self.bytes[at..at + 2].copy_from_slice(&pair.to_le_bytes());
            }
            Width::Fat16 => {
                let value = u16::try_from(value).unwrap();
                self.bytes[base + cluster * 2..][..2].copy_from_slice(&value.to_le_bytes());
            }
            Width::Fat32 => self.bytes[base + cluster * 4..][..4].copy_from_slice(&value.to_le_bytes()),
        }
    }

    pub(super) fn set(&mut self, cluster: u32, value: u32) {
        (0..2).for_each(|copy| self.set_in(copy, cluster, value));
    }

    pub(super) fn chain(&mut self, clusters: &[u32]) {
        clusters.windows(2).for_each(|pair| self.set(pair[0], pair[1]));
        self.set(*clusters.last().unwrap(), self.end());
    }

    pub(super) fn cluster(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * SECTOR
    }

    pub(super) fn fill(&mut self, cluster: u32, byte: u8) {
        let at = self.cluster(cluster);
        self.bytes[at..at + SECTOR].fill(byte);
    }

    pub(super) fn slot(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + 32].copy_from_slice(bytes);
    }

    /// An entry in the root directory; the root of FAT32 is cluster 2.
    pub(super) fn entry(&mut self, index: usize, name: &[u8; 11], attr: u8, first: u32, size: u32) {
        self.slot(self.root + index * 32, entry(name, attr, first, size).as_bytes());
    }

    pub(super) fn open(&self) -> Fat {
        open(Arc::new(MemorySource(self.bytes.clone()))).unwrap()
    }
}

pub(super) fn entry(name: &[u8; 11], attr: u8, first: u32, size: u32) -> ShortEntry {
    let (low, high) = (first & 0xffff, first >> 16);
    ShortEntry {
        name: *name,
        attr,
        nt_res: 0,
        crt_time_tenth: 0,
        crt_time: 0.into(),
        crt_date: 0.into(),
        lst_acc_date: 0.into(),
        fst_clus_hi: u16::try_from(high).unwrap().into(),
        wrt_time: 0.into(),
        wrt_date: (1 << 5 | 1).into(),
        fst_clus_lo: u16::try_from(low).unwrap().into(),
        file_size: size.into(),
    }
}

/// The slots of a long name in disk order, last piece first.
pub(super) fn long_slots(name: &str, short: &[u8; 11]) -> Vec<[u8; 32]> {
    let checksum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().next_multiple_of(13), 0xffff);
    }
    let pieces = units.chunks(13).enumerate().map(|(index, piece)| {
        let mut slot = [0; 32];
        let last = if (index + 1) * 13 == units.len() { 0x40 } else { 0 };
        slot[0] = u8::try_from(index + 1).unwrap() | last;
        slot[11] = attr::LONG_NAME;
        slot[13] = checksum;
        let places = (1..11).chain(14..26).chain(28..32).step_by(2);
        places.zip(piece).for_each(|(at, unit)| slot[at..at + 2].copy_from_slice(&unit.to_le_bytes()));
        slot
    });
    let mut slots: Vec<_> = pieces.collect();
    slots.reverse();
    slots
}
