//! What the guest sees of a disk that is written: its blocks, with the bits of bitmaps that are not published yet, and the parent below.

use super::{Part, SECTOR, VhdWriter};
use crate::{
    Result,
    bytes::{Extent, ExtentKind},
};

impl VhdWriter {
    /// What the guest sees.
    pub(super) fn read_disk(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        for part in self.parts(offset, buf.len() as u64) {
            let slot = self.slot(part.block);
            for (present, stretch) in self.stretches(slot, part)? {
                let (here, rest) = buf.split_at_mut(usize::try_from(stretch.len).expect("within a buffer"));
                match slot.filter(|_| present) {
                    Some(slot) => self.file.read_exact_at(slot + self.space.bitmap + stretch.within, here)?,
                    None => self.read_below(part.block as u64 * self.space.block + stretch.within, here)?,
                }
                buf = rest;
            }
        }
        Ok(())
    }

    pub(super) fn extent_of(&self, offset: u64) -> Result<Extent> {
        let rest = self.size - offset;
        let within = offset % self.space.block;
        let block = usize::try_from(offset / self.space.block).expect("below the number of entries");
        let part = Part { block, within, len: (self.space.block - within).min(rest) };
        let slot = self.slot(block);
        let (present, stretch) = self.stretches(slot, part)?[0];
        let below = match (slot.filter(|_| present), &self.parent) {
            (Some(slot), _) => self.file.extent_at(slot + self.space.bitmap + within)?,
            (None, Some(parent)) if offset < parent.size() => parent.extent_at(offset)?,
            (None, _) => Extent { kind: ExtentKind::Hole, len: stretch.len },
        };
        Ok(Extent { len: below.len.min(stretch.len), ..below })
    }

    /// Stretches of a part: whether they are in the block at `slot`.
    pub(super) fn stretches(&self, slot: Option<u64>, part: Part) -> Result<Vec<(bool, Part)>> {
        let (Some(slot), Some(bitmaps)) = (slot, &self.bitmaps) else {
            return Ok(vec![(slot.is_some(), part)]);
        };
        let mut stretches: Vec<(bool, Part)> = Vec::new();
        let (mut at, end) = (part.within, part.within + part.len);
        while at < end {
            // Reads may begin and end inside a sector.
            let first = at / SECTOR;
            let (present, sectors) = bitmaps.run(&*self.file, slot, first, end.div_ceil(SECTOR) - first)?;
            let len = ((first + sectors) * SECTOR).min(end) - at;
            match stretches.last_mut() {
                Some((same, last)) if *same == present => last.len += len,
                _ => stretches.push((present, Part { within: at, len, ..part })),
            }
            at += len;
        }
        Ok(stretches)
    }

    /// True when the guest sees zeros here already, without a block.
    pub(super) fn is_zero_below(&self, part: Part) -> Result<bool> {
        let Some(parent) = &self.parent else { return Ok(true) };
        let mut at = part.block as u64 * self.space.block + part.within;
        let end = (at + part.len).min(parent.size());
        while at < end {
            let extent = parent.extent_at(at)?;
            if extent.kind == ExtentKind::Data {
                return Ok(false);
            }
            at += extent.len.max(1);
        }
        Ok(true)
    }

    fn read_below(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let stored = self.parent.as_ref().map_or(0, |parent| parent.size().saturating_sub(offset));
        let stored = usize::try_from(stored).map_or(buf.len(), |stored| stored.min(buf.len()));
        let (here, behind) = buf.split_at_mut(stored);
        behind.fill(0);
        match &self.parent {
            Some(parent) if !here.is_empty() => parent.read_exact_at(offset, here),
            _ => Ok(()),
        }
    }
}
