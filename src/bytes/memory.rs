//! Bytes in memory: generated files, resident attributes, tests.

use super::{ByteSource, check_range};
use crate::Result;

/// An owned buffer as a source.
#[derive(Debug, Clone, Default)]
pub struct MemorySource(pub Vec<u8>);

impl ByteSource for MemorySource {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        let start = usize::try_from(offset).expect("checked: within the buffer");
        buf.copy_from_slice(&self.0[start..start + buf.len()]);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}
