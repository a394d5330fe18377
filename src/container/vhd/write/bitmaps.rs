//! Sector bitmaps of a differencing disk while it is written: bits that were set since the last flush are in memory alone.

use std::collections::BTreeMap;

use super::super::format::SECTOR;
use crate::{Result, bytes::Backing, cache::Cache};

/// A sector of a bitmap.
type Bits = [u8; 512];

/// Sectors of the disk that one of them describes.
const SPAN: u64 = 512 * 8;
/// Changed ones that are kept until they are written.
const MAX_CHANGED: usize = 8192;
/// Memory for unchanged ones.
const BUDGET: usize = 4 << 20;

/// By their place in the file.
pub(super) struct Bitmaps {
    changed: BTreeMap<u64, Bits>,
    clean: Cache<u64, std::sync::Arc<Bits>>,
}

impl Bitmaps {
    pub(super) fn new() -> Self {
        Self { changed: BTreeMap::new(), clean: Cache::new(BUDGET) }
    }

    fn load(&self, file: &dyn Backing, at: u64) -> Result<Bits> {
        if let Some(bits) = self.changed.get(&at) {
            return Ok(*bits);
        }
        let loaded = self.clean.get_or_load(at, || {
            let mut bits = [0; 512];
            file.read_exact_at(at, &mut bits)?;
            Ok::<_, crate::Error>((std::sync::Arc::new(bits), 600))
        })?;
        Ok(*loaded)
    }

    /// Whether the sector with number `within` of the block at `slot` is here, and for how many sectors that holds, at most `most`.
    pub(super) fn run(&self, file: &dyn Backing, slot: u64, within: u64, most: u64) -> Result<(bool, u64)> {
        let bits = self.load(file, slot + within / SPAN * SECTOR)?;
        let (present, len) = super::super::blocks::bit_run(&bits, within % SPAN * SECTOR);
        Ok((present, (len / SECTOR).min(most)))
    }

    /// Sets the bits of `count` sectors from `within` on, in memory.
    pub(super) fn set(&mut self, file: &dyn Backing, slot: u64, within: u64, count: u64) -> Result<()> {
        let mut at = within;
        while at < within + count {
            let place = slot + at / SPAN * SECTOR;
            let end = (within + count).min((at / SPAN + 1) * SPAN);
            let mut bits = self.load(file, place)?;
            let before = bits;
            set_bits(&mut bits, at % SPAN, end - at);
            if bits != before {
                self.changed.insert(place, bits);
            }
            at = end;
        }
        Ok(())
    }

    /// A new block: its bitmap is zeros.
    pub(super) fn forget(&mut self, slot: u64, bitmap_size: u64) {
        for at in (slot..slot + bitmap_size).step_by(512) {
            self.changed.remove(&at);
            self.clean.put(at, std::sync::Arc::new([0; 512]), 600);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.changed.len() > MAX_CHANGED
    }

    /// The changed ones, which are the caller's to write.
    pub(super) fn take_changed(&mut self) -> BTreeMap<u64, Bits> {
        let changed = std::mem::take(&mut self.changed);
        for (at, bits) in &changed {
            self.clean.put(*at, std::sync::Arc::new(*bits), 600);
        }
        changed
    }
}

/// Bit 7 of each byte is the first sector.
fn set_bits(bits: &mut Bits, from: u64, count: u64) {
    for sector in from..from + count {
        let byte = usize::try_from(sector / 8).expect("within a bitmap");
        bits[byte] |= 0x80 >> (sector % 8);
    }
}
