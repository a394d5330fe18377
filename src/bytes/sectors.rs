//! Reads at any offset and length from a device that accepts whole sectors only: a disk or volume that was opened as a
//! device. Windows refuses every other request ([MS-FSA] 2.1.5.2: offset and length are multiples of the sector size), and
//! may require aligned memory, too.

use std::io;

use super::BufferPool;

/// Maximum length of one request; also the size of the bounce buffer.
const MAX_REQUEST: usize = 1 << 20;
/// Alignment of the bounce buffer: the largest sector size of any disk, and a page.
const ALIGNMENT: usize = 4096;

/// A device that is read in whole sectors.
#[derive(Clone)]
pub struct Sectors {
    size: u64,
    sector: u32,
    stated: bool,
    buffers: std::sync::Arc<BufferPool>,
}

impl Sectors {
    /// A device of `size` bytes in sectors of `sector` bytes.
    ///
    /// # Errors
    /// `InvalidData` for an impossible sector size. Valid are powers of two from 512 to 4096, or 0 where the device does not
    /// report one: such a device is read in the largest sectors.
    pub fn new(size: u64, sector: u32) -> io::Result<Self> {
        let stated = sector != 0;
        let sector = if stated { sector } else { 4096 };
        if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
            let text = format!("the device says that its sectors have {sector} bytes, which none has");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { size, sector, stated, buffers: BufferPool::new(MAX_REQUEST + ALIGNMENT) })
    }

    /// Length of the device in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes per sector, if the device reports them.
    pub fn stated_sector(&self) -> Option<u32> {
        self.stated.then_some(self.sector)
    }

    /// Fills `buf` from byte `offset` on. `read_at` gets whole sectors at aligned offsets and aligned memory, and returns
    /// how many bytes it has read; it may read less. The caller has checked the range.
    ///
    /// # Errors
    /// The errors of `read_at`; `UnexpectedEof` where it ends early.
    pub fn read(
        &self,
        offset: u64,
        buf: &mut [u8],
        read_at: &dyn Fn(u64, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let sector = u64::from(self.sector);
        let is_whole = |number: u64| number.is_multiple_of(sector);
        if is_whole(offset) && is_whole(buf.len() as u64) && buf.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            let mut at = offset;
            for piece in buf.chunks_mut(MAX_REQUEST) {
                self.fill(at, piece, read_at)?;
                at += piece.len() as u64;
            }
            return Ok(());
        }
        let mut buffer = self.buffers.take(MAX_REQUEST + ALIGNMENT);
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let aligned = &mut buffer[start..start + MAX_REQUEST];
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let skip = usize::try_from(at % sector).expect("a sector has at most 4096 bytes");
            let wanted = (skip + rest.len()).min(MAX_REQUEST);
            // Not beyond the end: a device without a reported sector size may end within a sector of the largest size.
            let whole = wanted.next_multiple_of(self.sector as usize);
            let left = self.size.saturating_sub(at - skip as u64);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(whole);
            self.fill(at - skip as u64, &mut aligned[..len], read_at)?;
            let take = len.saturating_sub(skip).min(rest.len());
            if take == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&aligned[skip..skip + take]);
            at += take as u64;
            rest = later;
        }
        Ok(())
    }

    fn fill(
        &self,
        mut at: u64,
        mut piece: &mut [u8],
        read_at: &dyn Fn(u64, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !piece.is_empty() {
            let got = read_at(at, piece)?.min(piece.len());
            // A read cannot resume within a sector; only the end of the device gives part of one.
            let whole = if got == piece.len() { got } else { got - got % self.sector as usize };
            if whole == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += whole as u64;
            piece = &mut piece[whole..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
