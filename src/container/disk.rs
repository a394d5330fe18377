//! A chain of layers as one disk. The layers say where bytes lie; all reading is done here: one read below per
//! stretch that is contiguous in a file, straight into the caller's buffer, without allocation.

use std::sync::Arc;

use super::{Kind, Layer, Place};
use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, InFile, check_range},
    error,
};

/// Stretches of one kind that [`Disk::extent_at`] joins: more only saves calls.
const MAX_JOINED_EXTENTS: usize = 64;

/// Stretches that one hint names: beyond that many, the host has enough to do.
const MAX_HINTS: usize = 64;

/// A virtual disk: the image on top and its parents below.
pub struct Disk {
    layers: Vec<Arc<dyn Layer>>,
    size: u64,
}

/// A stretch of the disk: in which layer's file and where, or nowhere (zeros).
#[derive(Clone, Copy)]
struct Stretch {
    place: Option<(usize, u64)>,
    len: u64,
}

impl Disk {
    /// The layers, top first. Never empty.
    pub(crate) fn new(layers: Vec<Arc<dyn Layer>>) -> Self {
        let size = layers.first().map_or(0, |top| top.virtual_size());
        Self { layers, size }
    }

    /// The layers, top first: each image and the parent that it builds on.
    pub fn layers(&self) -> &[Arc<dyn Layer>] {
        &self.layers
    }

    /// Asks each layer from the top until one has the byte at `offset`.
    fn find(&self, offset: u64, want: u64) -> Result<Stretch> {
        let mut len = want;
        for (index, layer) in self.layers.iter().enumerate() {
            if offset >= layer.virtual_size() {
                // A parent may be smaller than its child: beyond its end are zeros.
                break;
            }
            let segment = layer.resolve(offset)?;
            len = len.min(segment.len);
            match segment.place {
                Place::File(at) => return Ok(Stretch { place: Some((index, at)), len }),
                Place::Zero => break,
                // Opened by force without its parent: what only the parent has is not known to be zeros.
                Place::Parent
                    if index + 1 == self.layers.len() && layer.info().kind == Kind::Differencing =>
                {
                    let problem = "this part is in the parent, which is missing";
                    return Err(Error::corrupt("differencing disk", error::Place::Byte(offset), problem));
                }
                Place::Parent => {}
            }
        }
        Ok(Stretch { place: None, len })
    }

    /// How the bytes are stored: as [`Self::find`], and down to the holes of a sparse image file.
    fn extent(&self, offset: u64) -> Result<Extent> {
        let Stretch { place, len } = self.find(offset, self.size - offset)?;
        let Some((layer, at)) = place else { return Ok(Extent { kind: ExtentKind::Hole, len }) };
        let below = self.layers[layer].source().extent_at(at)?;
        // A source that shrank below its table: the read there reports it.
        let len = if below.len == 0 { len } else { below.len.min(len) };
        Ok(Extent { kind: if below.len == 0 { ExtentKind::Data } else { below.kind }, len })
    }
}

impl Stretch {
    /// Appends `next` when it goes on in the same way.
    fn join(&mut self, next: Self) -> bool {
        let follows = match (self.place, next.place) {
            (None, None) => true,
            (Some((layer, at)), Some(next)) => next == (layer, at + self.len),
            _ => false,
        };
        if follows {
            self.len += next.len;
        }
        follows
    }
}

impl ByteSource for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let mut next = None;
        while !buf.is_empty() {
            let rest = buf.len() as u64;
            let mut now = match next.take() {
                Some(found) => found,
                None => self.find(offset, rest)?,
            };
            while now.len < rest {
                // An error there fails the whole read before anything is read: it fills all or fails.
                let found = self.find(offset + now.len, rest - now.len)?;
                if !now.join(found) {
                    next = Some(found);
                    break;
                }
            }
            let take = usize::try_from(now.len).map_or(buf.len(), |len| len.min(buf.len()));
            let (here, behind) = buf.split_at_mut(take);
            match now.place {
                Some((layer, at)) => self.layers[layer].source().read_exact_at(at, here)?,
                None => here.fill(0),
            }
            offset += take as u64;
            buf = behind;
        }
        Ok(())
    }

    fn will_need(&self, mut offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.size);
        for _ in 0..MAX_HINTS {
            // Read ahead only: a read there reports the error.
            let found = if offset < end { self.find(offset, end - offset).ok() } else { None };
            let Some(found) = found.filter(|found| found.len > 0) else { break };
            if let Some((layer, at)) = found.place {
                self.layers[layer].source().will_need(at, found.len);
            }
            offset += found.len;
        }
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        let rest = self.size.checked_sub(offset).filter(|rest| *rest > 0)?;
        // What cannot be found is not there; a read reports it.
        let found = self.find(offset, rest).ok()?;
        let (layer, at) = found.place?;
        self.layers[layer].source().in_file(at)?.at_most(found.len)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Ok(Extent { kind: ExtentKind::Hole, len: 0 });
        }
        let mut extent = self.extent(offset)?;
        for _ in 1..MAX_JOINED_EXTENTS {
            let end = offset + extent.len;
            // What follows may be damaged: a read there reports that.
            match (end < self.size).then(|| self.extent(end)) {
                Some(Ok(next)) if next.kind == extent.kind => extent.len += next.len,
                _ => break,
            }
        }
        Ok(extent)
    }
}

#[cfg(test)]
mod tests;
