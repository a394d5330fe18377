//! The stored part of the table: entries in holes of the source below the volume mean free clusters, entries beyond the end
//! of a truncated volume cannot be read. Guards: both are skipped in bulk, so that the work of a scan of all entries depends
//! on the stored bytes and not on the number of clusters that the volume claims.

use super::{Fat, boot::Width};
use crate::bytes::{Extent, ExtentKind};

/// Holes are queried once in this many entries.
const HOLES: u32 = 4096;

impl Fat {
    /// Number of table entries before the end of a truncated volume, in at least one copy.
    pub(super) fn readable_entries(&self) -> u32 {
        let (table, geometry) = (self.chains.table(), &self.geometry);
        let start = (0..table.copies()).map(|copy| table.position(copy)).min().unwrap_or(0);
        let bits = self.pages.volume().size().saturating_sub(start).saturating_mul(8);
        let entries = u32::try_from(bits / geometry.width.bits()).unwrap_or(u32::MAX);
        entries.min(geometry.clusters + 2)
    }

    /// Number of entries, from that of `cluster` on, that are in a hole. Queries the source only once in [`HOLES`] entries.
    pub(super) fn hole_entries(&self, cluster: u32) -> u32 {
        let geometry = &self.geometry;
        // FAT12 has few entries, and they straddle byte boundaries.
        if geometry.width == Width::Fat12 || !cluster.is_multiple_of(HOLES) {
            return 0;
        }
        let at = u64::from(cluster) * geometry.width.bits() / 8;
        let at = self.chains.table().position(0).saturating_add(at);
        match self.pages.volume().extent_at(at) {
            Ok(Extent { kind: ExtentKind::Hole, len }) => {
                let entries = u32::try_from(len.saturating_mul(8) / geometry.width.bits());
                let entries = entries.unwrap_or(u32::MAX);
                entries - entries % HOLES
            }
            _ => 0,
        }
    }

    /// The next cluster before `end` whose entry is stored; `next` is advanced behind it.
    pub(super) fn next_stored(&self, next: &mut u32, end: u32) -> Option<u32> {
        while *next < end {
            match self.hole_entries(*next) {
                0 => {
                    *next += 1;
                    return Some(*next - 1);
                }
                hole => *next = next.saturating_add(hole),
            }
        }
        None
    }
}
