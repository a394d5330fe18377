//! What lies between partitions and filesystems: the volumes of a disk, what each is called, and where its bytes lie.
//!
//! A partition is a volume, and so is a disk without a table. A format that makes volumes of others (by decrypting one, by
//! joining several) adds its own to these; nothing above cares which of them a volume is.

mod place;

use std::sync::Arc;

pub use place::{Placed, Placement, Stretch, Stretches};

use crate::{
    bytes::{ByteSource, Window},
    identity::PartitionId,
};

/// Bytes that hold a filesystem, or nothing known.
#[derive(Clone)]
pub struct Volume {
    /// What identifies it on other machines; `None` for one that has no identity.
    pub id: Option<PartitionId>,
    /// What it is called everywhere: its directory in the mount, its raw view, reports. Unique on its disk.
    pub name: String,
    /// Its content.
    pub bytes: Arc<dyn ByteSource>,
    /// What it is made of.
    pub origin: Origin,
    placement: Arc<dyn Placement>,
}

/// What a volume is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The partition with this number.
    Partition(u32),
    /// A disk without a partition table.
    WholeDisk,
}

/// A stretch of the disk that is a volume by itself.
pub struct Piece {
    /// What identifies it, if the disk has an identity.
    pub id: Option<PartitionId>,
    /// As [`Volume::name`].
    pub name: String,
    /// Partition or whole disk.
    pub origin: Origin,
    /// The bytes, as a window of the disk.
    pub bytes: Window,
}

/// All volumes that these pieces of a disk make up: first each piece itself, in the same order.
pub fn expand(pieces: Vec<Piece>) -> Vec<Volume> {
    pieces.into_iter().map(Volume::from).collect()
}

impl From<Piece> for Volume {
    fn from(piece: Piece) -> Self {
        let placement = Arc::new(place::From(piece.bytes.start()));
        Self { id: piece.id, name: piece.name, bytes: Arc::new(piece.bytes), origin: piece.origin, placement }
    }
}

impl Volume {
    /// Where the bytes from `offset` on lie on the disk, and for how long; never longer than the volume, and of length 0
    /// only at its end and behind it.
    pub fn place(&self, offset: u64) -> Placed {
        let rest = self.bytes.size().saturating_sub(offset);
        if rest == 0 {
            return Placed::Nowhere { len: 0 };
        }
        match self.placement.place(offset) {
            Placed::Disk { offset, len } if len > 0 => Placed::Disk { offset, len: len.min(rest) },
            Placed::Nowhere { len } if len > 0 => Placed::Nowhere { len: len.min(rest) },
            _ => Placed::Nowhere { len: rest },
        }
    }

    /// The stretches in which it lies, for a walk in ascending order.
    pub fn stretches(&self) -> Stretches<'_> {
        Stretches::new(self)
    }
}

/// A volume in stretches of the disk, in any order: for tests.
#[cfg(test)]
pub(crate) struct Scattered(Vec<(Option<u64>, u64)>);

#[cfg(test)]
impl Scattered {
    /// Made of these, each with its first byte on the disk and its length; all of its bytes are zeros.
    pub(crate) fn volume(stretches: Vec<(Option<u64>, u64)>) -> Volume {
        let scattered = Arc::new(Self(stretches));
        let (bytes, placement): (Arc<dyn ByteSource>, Arc<dyn Placement>) = (scattered.clone(), scattered);
        Volume { id: None, name: "p1".into(), bytes, origin: Origin::WholeDisk, placement }
    }
}

#[cfg(test)]
impl ByteSource for Scattered {
    fn size(&self) -> u64 {
        self.0.iter().map(|(_, len)| len).sum()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> crate::Result<()> {
        crate::bytes::check_range(self.size(), offset, buf.len())?;
        buf.fill(0);
        Ok(())
    }
}

#[cfg(test)]
impl Placement for Scattered {
    fn place(&self, mut offset: u64) -> Placed {
        for (start, len) in &self.0 {
            match (start, offset.checked_sub(*len)) {
                (_, Some(rest)) => offset = rest,
                (Some(start), None) => return Placed::Disk { offset: start + offset, len: len - offset },
                (None, None) => return Placed::Nowhere { len: len - offset },
            }
        }
        Placed::Nowhere { len: u64::MAX }
    }
}
