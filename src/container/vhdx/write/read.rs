//! What the guest reads of a disk that is being written.

use super::{Writer, table::Block};
use crate::{
    Result,
    bytes::{Extent, ExtentKind},
};

/// Where a stretch of the disk is.
enum Source {
    Zero,
    Parent,
    File(u64),
}

impl Writer {
    /// Where the bytes from `offset` on are, and for how many, at most `want`, that holds.
    fn find(&self, offset: u64, want: u64) -> Result<(Source, u64)> {
        let size = self.geometry.block_size;
        let (number, within) = (offset / size, offset % size);
        let len = want.min(size - within);
        match self.block(number)? {
            Block::Zero => Ok((Source::Zero, len)),
            Block::Parent => Ok((Source::Parent, len)),
            Block::Full(at) => Ok((Source::File(at + within), len)),
            Block::Partial(at) => {
                let sector = u64::from(self.geometry.logical_sector_size);
                let end = (within + len).div_ceil(sector);
                let (present, sectors) = self.presence(number, within / sector, end)?;
                let len = len.min(sectors * sector - within % sector);
                Ok((if present { Source::File(at + within) } else { Source::Parent }, len))
            }
        }
    }

    pub(super) fn read_disk(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let (source, len) = self.find(offset, buf.len() as u64)?;
            let (here, rest) = buf.split_at_mut(usize::try_from(len).expect("at most the buffer"));
            match source {
                Source::Zero => here.fill(0),
                Source::File(at) => self.read_file(at, here)?,
                Source::Parent => self.read_parent(offset, here)?,
            }
            (offset, buf) = (offset + len, rest);
        }
        Ok(())
    }

    /// Bytes of the file, and of its pages in memory.
    pub(super) fn read_file(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        // The last block may end behind the file until it is written.
        let stored =
            usize::try_from(self.file.size().saturating_sub(at)).map_or(buf.len(), |len| len.min(buf.len()));
        if stored > 0 {
            self.file.read_exact_at(at, &mut buf[..stored])?;
        }
        buf[stored..].fill(0);
        self.pages.apply(at, buf);
        Ok(())
    }

    /// Beyond the end of a smaller parent are zeros.
    pub(super) fn read_parent(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let parent = self.parent.as_ref().expect("only a disk with a parent has blocks of the parent");
        let has =
            usize::try_from(parent.size().saturating_sub(offset)).map_or(buf.len(), |len| len.min(buf.len()));
        if has > 0 {
            parent.read_exact_at(offset, &mut buf[..has])?;
        }
        buf[has..].fill(0);
        Ok(())
    }

    pub(super) fn extent_of(&self, offset: u64) -> Result<Extent> {
        let (source, len) = self.find(offset, self.geometry.virtual_size - offset)?;
        Ok(match source {
            Source::Zero => Extent { kind: ExtentKind::Hole, len },
            // What is in memory alone may lie over a hole of the file.
            Source::File(_) => Extent { kind: ExtentKind::Data, len },
            Source::Parent => {
                let parent =
                    self.parent.as_ref().expect("only a disk with a parent has blocks of the parent");
                let extent = parent.extent_at(offset)?;
                match extent.len {
                    0 => Extent { kind: ExtentKind::Hole, len },
                    below => Extent { kind: extent.kind, len: below.min(len) },
                }
            }
        })
    }
}
