//! The volume for its run lists: a run beyond the end of the volume is damage of the file that claims it, found when it is
//! read.

use std::sync::Arc;

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, Extent, Wrapper},
};

/// Bytes `0 .. size` of the volume.
pub(in super::super) struct Clusters {
    inner: Arc<dyn ByteSource>,
    size: u64,
}

impl Clusters {
    /// The part of `inner` that is covered by clusters.
    pub(in super::super) fn new(inner: Arc<dyn ByteSource>, size: u64) -> Self {
        let size = size.min(inner.size());
        Self { inner, size }
    }
}

impl Wrapper for Clusters {
    fn below(&self) -> &dyn ByteSource {
        &*self.inner
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= self.size => self.inner.read_exact_at(offset, buf),
            _ => Err(Error::corrupt("run list", Place::Byte(offset), "leads beyond the end of the volume")),
        }
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        let extent = self.inner.extent_at(offset)?;
        Ok(Extent { len: extent.len.min(self.size.saturating_sub(offset)), ..extent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::wrapper::tests::{Below, check_hints};

    #[test]
    fn hints_are_passed_on() {
        let below = Below::new(vec![0; 8192]);
        check_hints(&below, &Clusters::new(below.clone(), 4096), Some(0));
    }
}
