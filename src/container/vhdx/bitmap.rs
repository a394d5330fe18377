//! Sector bitmaps of differencing disks (MS-VHDX 2.4): one bit per logical sector, lowest bit first, set where the sector
//! is in this file.

use std::sync::Arc;

use super::{bat::Bat, format::BITMAP_BLOCK};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    cache::Pages,
};

/// Bytes read and cached at once: the bits of 32768 sectors.
const PAGE: usize = 4096;
const PAGE_SECTORS: u64 = 8 * PAGE as u64;
const PAGES_PER_BLOCK: u64 = BITMAP_BLOCK / PAGE as u64;
/// Memory for cached pages: 1024 of them, the bits of 16 GiB of virtual disk.
const CACHE_BYTES: usize = 4 << 20;

/// The bitmaps of one file.
pub(super) struct Bitmaps {
    source: Arc<dyn ByteSource>,
    sector_size: u64,
    pages: Pages<Arc<[u8]>>,
}

impl Bitmaps {
    pub(super) fn new(source: Arc<dyn ByteSource>, logical_sector_size: u32, virtual_size: u64) -> Self {
        let sector_size = u64::from(logical_sector_size);
        let pages = virtual_size.div_ceil(PAGE_SECTORS * sector_size);
        Self { source, sector_size, pages: Pages::new(pages, CACHE_BYTES) }
    }

    /// Returns whether byte `offset` of the virtual disk is in this file, and for how many bytes, at most `limit`, that
    /// holds.
    pub(super) fn lookup(&self, bat: &Bat, offset: u64, limit: u64) -> Result<(bool, u64)> {
        let sector = offset / self.sector_size;
        let number = sector / PAGE_SECTORS;
        let load = || Ok::<_, Error>((self.load(bat, number)?, PAGE));
        let from = sector % PAGE_SECTORS;
        // Bits past the sectors that the caller wants are not read.
        let wanted = (offset % self.sector_size).saturating_add(limit).div_ceil(self.sector_size);
        let to = from.saturating_add(wanted).min(PAGE_SECTORS);
        let (present, sectors) = self.pages.with(number, load, |page| run(page, from, to))?;
        Ok((present, (sectors * self.sector_size - offset % self.sector_size).min(limit)))
    }

    fn load(&self, bat: &Bat, number: u64) -> Result<Arc<[u8]>> {
        let block = bat.bitmap(number / PAGES_PER_BLOCK)?;
        let at = block.saturating_add(number % PAGES_PER_BLOCK * PAGE as u64);
        let bytes = read_vec(&*self.source, at, PAGE).map_err(|error| match error {
            Error::Invalid(_) => Error::corrupt(
                "VHDX sector bitmap",
                Place::Byte(at),
                "lies beyond the end of the file: truncated",
            ),
            other => other,
        })?;
        Ok(bytes.into())
    }
}

/// Returns the bit `from`, and how many bits from there on, before `to`, have the same value; at least 1. `to` lies
/// within `bits`.
pub(super) fn run(bits: &[u8], from: u64, to: u64) -> (bool, u64) {
    let byte = |bit: u64| bits[usize::try_from(bit / 8).expect("inside a page")];
    let present = byte(from) >> (from % 8) & 1 != 0;
    let (same, mut at) = (if present { 0xff } else { 0 }, from);
    while at < to {
        // Set bits are those that differ from the first one; bits before `at` are shifted out.
        let differs = (byte(at) ^ same) >> (at % 8);
        if differs != 0 {
            at += u64::from(differs.trailing_zeros());
            break;
        }
        at += 8 - at % 8;
    }
    (present, at.min(to) - from)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn lowest_bit_is_the_first_sector() {
        let bits = [0b0000_0110, 0xff, 0x01, 0, 0];
        assert_eq!(run(&bits, 0, 40), (false, 1));
        assert_eq!(run(&bits, 1, 40), (true, 2));
        assert_eq!(run(&bits, 2, 40), (true, 1));
        assert_eq!(run(&bits, 3, 40), (false, 5));
        assert_eq!(run(&bits, 8, 40), (true, 9));
        assert_eq!(run(&bits, 17, 40), (false, 23));
        assert_eq!(run(&bits, 17, 20), (false, 3));
    }
}
