//! What lies between partitions and filesystems: the volumes of a disk, what each is called, and where its bytes lie.
//!
//! A partition is a volume, and so is a disk without a table. A format that makes volumes of others (by decrypting one, by
//! joining several) adds its own to these; nothing above cares which of them a volume is.

mod bcache;
mod bitlocker;
mod format;
mod formats;
mod ldm;
mod luks;
mod lvm;
mod md;
mod place;
mod storage_spaces;
#[cfg(test)]
pub(crate) mod tests;
mod zfs;

use std::sync::Arc;

use format::Format;
pub use format::{Known, Look, Stage};
use formats::FORMATS;
pub use formats::recognize;
pub use place::{Placed, Placement, Stretch, Stretches};

use crate::{
    bytes::{ByteSource, Window},
    identity::PartitionId,
};

/// Volumes of one disk that are numbered: eight partitions in two layers (encrypted and decrypted), each with as many snapshots
/// as Windows keeps of a volume (512). Node numbers have room for no more.
pub const MAX_VOLUMES: usize = 8191;

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

/// All volumes that these pieces of a disk make up: first each piece itself, in the same order; then what the formats make of
/// those, and of what they made, until nothing new appears or there are [`MAX_VOLUMES`].
pub fn expand(pieces: Vec<Piece>) -> Vec<Volume> {
    expand_with(FORMATS, pieces)
}

fn expand_with(formats: &[&dyn Format], pieces: Vec<Piece>) -> Vec<Volume> {
    let mut volumes: Vec<_> = pieces.into_iter().map(Volume::from).collect();
    let mut asked = 0;
    while asked < volumes.len() && volumes.len() < MAX_VOLUMES {
        let known = volumes.len();
        for format in formats {
            let made = format.volumes(&volumes[..known], asked..known);
            let room = MAX_VOLUMES.saturating_sub(volumes.len());
            volumes.extend(made.into_iter().take(room));
        }
        asked = known;
    }
    volumes
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
