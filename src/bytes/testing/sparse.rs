//! A source in memory that may be terabytes long: only the pages that were written are stored, and copies
//! share them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Result,
    bytes::{ByteSource, Extent, ExtentKind, check_range},
};

/// Bytes of a page, the unit of storage.
const PAGE_LEN: usize = 4096;
const PAGE: u64 = PAGE_LEN as u64;

/// Pages at their positions; everything else is a hole.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE_LEN]>>,
}

impl Sparse {
    /// A hole of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self { size, pages: BTreeMap::new() }
    }

    /// Replaces the bytes from `offset`; the source grows if needed.
    pub fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        self.size = self.size.max(offset + bytes.len() as u64);
        let mut at = offset;
        while !bytes.is_empty() {
            let (start, take) = within(at, bytes.len());
            let (now, rest) = bytes.split_at(take);
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Arc::new([0; PAGE_LEN]));
            Arc::make_mut(page)[start..start + take].copy_from_slice(now);
            (at, bytes) = (at + take as u64, rest);
        }
    }

    /// Adds pages that many sources have, which are not copied where the offset is a multiple of their size.
    pub fn write_shared(&mut self, offset: u64, pages: &[Arc<[u8; PAGE_LEN]>]) {
        self.size = self.size.max(offset + pages.len() as u64 * PAGE);
        for (number, page) in (0..).zip(pages) {
            match offset.is_multiple_of(PAGE) {
                true => drop(self.pages.insert(offset / PAGE + number, page.clone())),
                false => self.write(offset + number * PAGE, &**page),
            }
        }
    }

    /// Changes the size; what lies beyond it is dropped, and reads as zeros if the source grows again.
    pub fn truncate(&mut self, size: u64) {
        self.size = size;
        self.pages.split_off(&size.div_ceil(PAGE));
        let (start, _) = within(size, 0);
        if start > 0
            && let Some(page) = self.pages.get_mut(&(size / PAGE))
        {
            Arc::make_mut(page)[start..].fill(0);
        }
    }

    /// Number of bytes in memory: the measure for the work that the source may cause.
    pub fn stored(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// The stored pieces in order, each of one page.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(page, bytes)| {
            let (at, len) = (page * PAGE, (self.size - page * PAGE).min(PAGE));
            (at, &bytes[..usize::try_from(len).expect("within a page")])
        })
    }
}

/// The place of byte `at` in its page, and how many of `len` bytes lie in that page.
fn within(at: u64, len: usize) -> (usize, usize) {
    let start = usize::try_from(at % PAGE).expect("within a page");
    (start, len.min(PAGE_LEN - start))
}

impl ByteSource for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let end = offset + buf.len() as u64;
        let mut filled = 0;
        for (page, bytes) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let (from, to) = ((page * PAGE).max(offset), ((page + 1) * PAGE).min(end));
            let place = |at: u64, base: u64| usize::try_from(at - base).expect("within a buffer");
            let (start, stop) = (place(from, offset), place(to, offset));
            buf[filled..start].fill(0);
            buf[start..stop].copy_from_slice(&bytes[place(from, page * PAGE)..place(to, page * PAGE)]);
            filled = stop;
        }
        buf[filled..].fill(0);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Ok(Extent { kind: ExtentKind::Hole, len: 0 });
        }
        let first = offset / PAGE;
        let mut stored = self.pages.range(first..).map(|(page, _)| *page);
        let (kind, end) = match stored.next() {
            Some(page) if page == first => {
                let expected = first + 1..;
                let adjacent = expected.zip(stored).take_while(|(expected, page)| expected == page);
                (ExtentKind::Data, first + 1 + adjacent.count() as u64)
            }
            Some(page) => (ExtentKind::Hole, page),
            None => (ExtentKind::Hole, self.size.div_ceil(PAGE)),
        };
        Ok(Extent { kind, len: (end * PAGE).min(self.size) - offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_what_was_written_and_reads_zeros_elsewhere() {
        let mut source = Sparse::new(1 << 44);
        source.write(1 << 40, b"far away");
        source.write(PAGE - 2, b"over the edge of a page");
        assert_eq!((source.size(), source.stored()), (1 << 44, 3 * PAGE));
        let mut buf = [0xee; 12];
        source.read_exact_at((1 << 40) - 2, &mut buf).unwrap();
        assert_eq!(&buf, b"\0\0far away\0\0");
        source.read_exact_at(PAGE - 2, &mut buf).unwrap();
        assert_eq!(&buf, b"over the edg");
        assert!(source.read_exact_at((1 << 44) - 1, &mut buf).is_err());
    }

    #[test]
    fn shared_pages_are_copied_when_they_are_changed() {
        let shared = [Arc::new([7; PAGE_LEN]), Arc::new([7; PAGE_LEN])];
        let read = |source: &Sparse, at: u64| {
            let mut buf = [0xee; 4];
            source.read_exact_at(at, &mut buf).unwrap();
            buf
        };
        for at in [0, PAGE, 5] {
            let mut source = Sparse::new(0);
            source.write_shared(at, &shared);
            assert_eq!(source.size(), at + 2 * PAGE);
            source.write(at + 1, &[1]);
            assert_eq!((read(&source, at), read(&source, at + PAGE)), ([7, 1, 7, 7], [7; 4]));
        }
        assert!(shared.iter().all(|page| **page == [7; PAGE_LEN]));
    }

    #[test]
    fn extents_are_the_stored_pages() {
        let mut source = Sparse::new(100 * PAGE);
        source.write(3 * PAGE, &[1; 2 * PAGE_LEN]);
        source.write(7 * PAGE, &[1]);
        let extents = |mut at| {
            let mut found = Vec::new();
            while let Ok(Extent { kind, len: len @ 1.. }) = source.extent_at(at) {
                found.push((kind, len / PAGE));
                at += len;
            }
            found
        };
        let (data, hole) = (ExtentKind::Data, ExtentKind::Hole);
        assert_eq!(extents(0), [(hole, 3), (data, 2), (hole, 2), (data, 1), (hole, 92)]);
        assert_eq!(source.extent_at(4 * PAGE + 1).unwrap(), Extent { kind: data, len: PAGE - 1 });
    }
}
