//! The table: clusters are handed out in order, with gaps, now and then far away or before others.

use std::collections::BTreeMap;

use crate::testing::input::Input;

pub(super) struct Table {
    width: usize,
    clusters: u32,
    next: u32,
    /// The bytes that are not zero, by position.
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Bytes of the table that are one structure.
const PAGE_LEN: usize = 512;
const PAGE: u64 = PAGE_LEN as u64;

impl Table {
    /// All free but the two marks at the start.
    pub(super) fn new(width: usize, clusters: u32) -> Self {
        let mut table = Self { width, clusters, next: 2, pages: BTreeMap::new() };
        table.set(0, table.end() & !7);
        table.set(1, table.end());
        table
    }

    fn end(&self) -> u32 {
        match self.width {
            12 => 0xfff,
            16 => 0xffff,
            _ => 0x0fff_ffff,
        }
    }

    /// The first cluster, for FAT32's root.
    pub(super) fn take_first(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// So many clusters, not yet a chain.
    pub(super) fn take(&mut self, input: &mut Input<'_>, count: usize) -> Vec<u32> {
        let kind = input.below(6);
        if kind == 5 && self.next + self.clusters / 16 < self.clusters / 2 {
            self.next += self.clusters / 16;
        }
        let step = if kind == 4 { 2 } else { 1 };
        let count = u32::try_from(count).expect("small");
        let mut taken: Vec<u32> = (0..count).map(|index| self.next + index * step).collect();
        self.next += count * step;
        assert!(self.next < self.clusters, "the volume is full");
        if kind == 3 {
            taken.reverse();
        }
        taken
    }

    pub(super) fn chain(&mut self, clusters: &[u32]) {
        clusters.windows(2).for_each(|pair| self.set(pair[0], pair[1]));
        if let Some(last) = clusters.last() {
            self.set(*last, self.end());
        }
    }

    fn set(&mut self, cluster: u32, value: u32) {
        let bit = u64::from(cluster) * self.width as u64;
        let shift = bit % 8;
        let mask = u64::from(self.end()) << shift;
        let value = u64::from(value) << shift;
        for index in 0..5 {
            let at = bit / 8 + index;
            let byte = |number: u64| number.to_le_bytes()[usize::try_from(index).expect("few")];
            if byte(mask) != 0 {
                let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE_LEN]);
                let place = &mut page[usize::try_from(at % PAGE).expect("within a page")];
                *place = *place & !byte(mask) | byte(value);
            }
        }
    }

    /// The pieces of the table that are not empty, with their positions in it.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u64, Vec<u8>)> + use<> {
        let pages: Vec<_> = self.pages.iter().map(|(page, bytes)| (page * PAGE, bytes.clone())).collect();
        pages.into_iter()
    }
}
