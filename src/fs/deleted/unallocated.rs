//! The unallocated clusters of a volume: the only ones that a deleted file may read. Guards: no byte of another file is ever
//! returned as a deleted file's.

use std::sync::Arc;

use super::FreeClusters;
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// A volume at its own offsets, of which only unallocated clusters can be read; any other read fails.
pub(crate) struct Unallocated {
    volume: Arc<dyn ByteSource>,
    free: Arc<FreeClusters>,
    cluster_size: u64,
}

impl Unallocated {
    /// Cluster 0 begins at byte 0 of `volume`.
    pub(crate) fn new(volume: Arc<dyn ByteSource>, free: Arc<FreeClusters>, cluster_size: u64) -> Self {
        Self { volume, free, cluster_size }
    }
}

impl Wrapper for Unallocated {
    fn below(&self) -> &dyn ByteSource {
        &*self.volume
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.volume.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        let clusters = offset / self.cluster_size..end.div_ceil(self.cluster_size);
        if !buf.is_empty() && !self.free.all(clusters)? {
            return Err(Error::corrupt(
                "deleted file",
                Place::Byte(offset),
                "another file has its clusters there now",
            ));
        }
        self.volume.read_exact_at(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.volume.extent_at(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{
        MemorySource,
        wrapper::tests::{Below, check_hints},
    };

    #[test]
    fn only_free_clusters_are_read() {
        let volume = Arc::new(MemorySource((0..64).collect()));
        // Clusters of 8 bytes; 2 and 7 are in use.
        let free = FreeClusters::new(Arc::new(MemorySource(vec![0b1000_0100])), 8);
        let source = Unallocated::new(volume, Arc::new(free), 8);
        let mut buf = [0; 10];
        source.read_exact_at(5, &mut buf).unwrap();
        assert_eq!(buf, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        for (offset, len) in [(15, 2), (16, 1), (23, 1), (10, 10), (55, 2), (63, 1), (u64::MAX, 2)] {
            assert!(source.read_exact_at(offset, &mut vec![0; len]).is_err(), "{len} at {offset}");
        }
        source.read_exact_at(24, &mut [0; 10]).unwrap();
        source.read_exact_at(16, &mut []).unwrap();
    }

    #[test]
    fn hints_are_passed_on() {
        let below = Below::new(vec![0; 4096]);
        let free = FreeClusters::new(Arc::new(MemorySource(vec![0; 64])), 512);
        check_hints(&below, &Unallocated::new(below.clone(), Arc::new(free), 8), Some(0));
    }
}
