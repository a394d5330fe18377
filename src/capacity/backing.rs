//! Where the virtual bytes of a disk are backed: the block table of its top image crossed with the host's map of the
//! file. Ascending look-ups; one damaged entry costs its own block, not the figures of the whole disk.

use std::ops::Range;

use crate::{
    Error, Result,
    container::{Layer, Place},
    host::{Held, HostMap},
};

/// Damaged table entries that are examined one by one; after so many the rest of the table counts as damaged.
pub(super) const MAX_DAMAGED: u64 = 1 << 20;
/// Bytes skipped at a damaged entry where the format has no block size: the smallest block of a VHDX.
const MIN_BLOCK: u64 = 1 << 20;

/// How a stretch of the disk is backed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    /// Block in the image file, space on the host.
    Host,
    /// Block in the image file, but the host's file has a hole there.
    Hole,
    /// The image file has no such block.
    Absent,
    /// The entry in the block table is damaged.
    Damaged,
}

/// A stretch and where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) end: u64,
    pub(super) backing: Backing,
    /// Of [`Backing::Host`]: another file has the same space, so that overwriting needs more.
    pub(super) shared: bool,
}

/// Ascending look-ups that remember the last piece: ranges are often much smaller than blocks.
pub(super) struct Walk<'a> {
    layer: &'a dyn Layer,
    host: Option<&'a HostMap>,
    /// What other blocks have in the file already.
    aliases: &'a [Range<u64>],
    last: Option<(u64, Piece)>,
    /// The host file's last run and where it begins: it mostly holds many blocks.
    run: Option<(u64, Option<Held>, u64)>,
    damaged: u64,
    /// The first damage.
    pub(super) problem: String,
}

impl<'a> Walk<'a> {
    /// `host`: the map of the image file, unless it has no holes.
    pub(super) fn new(layer: &'a dyn Layer, host: Option<&'a HostMap>) -> Self {
        Self { layer, host, aliases: &[], last: None, run: None, damaged: 0, problem: String::new() }
    }

    /// The same; stretches of the disk whose place in the file belongs to others count as damaged.
    pub(super) fn without(mut self, aliases: &'a [Range<u64>]) -> Self {
        self.aliases = aliases;
        self
    }

    /// What lies at `offset` (inside the disk), and where that ends.
    pub(super) fn piece_at(&mut self, offset: u64) -> Result<Piece> {
        if let Some((start, piece)) = self.last
            && (start..piece.end).contains(&offset)
        {
            return Ok(piece);
        }
        let next = self.aliases.partition_point(|alias| alias.end <= offset);
        let piece = match self.aliases.get(next) {
            Some(alias) if alias.start <= offset => self.alias(alias.end),
            Some(alias) => {
                let piece = self.look_up(offset)?;
                Piece { end: piece.end.min(alias.start), ..piece }
            }
            None => self.look_up(offset)?,
        };
        self.last = Some((offset, piece));
        Ok(piece)
    }

    fn alias(&mut self, end: u64) -> Piece {
        if self.problem.is_empty() {
            self.problem = "several blocks are at the same place in the file".into();
        }
        Piece { end, backing: Backing::Damaged, shared: false }
    }

    fn look_up(&mut self, offset: u64) -> Result<Piece> {
        let segment = match self.layer.allocation(offset) {
            Ok(segment) => segment,
            Err(error @ Error::Corrupt(_)) => {
                let end = self.end_of_damage(offset, &error);
                return Ok(Piece { end, backing: Backing::Damaged, shared: false });
            }
            Err(error) => return Err(error),
        };
        let mut piece = Piece { end: offset + segment.len.max(1), backing: Backing::Absent, shared: false };
        if let Place::File(position) = segment.place {
            piece.backing = Backing::Host;
            // A replayed log may reach past the file's end: that part is not on the host.
            if let Some(host) = self.host {
                let (held, len) = self.held_at(host, position);
                piece.end = piece.end.min(offset.saturating_add(len));
                piece.shared = held == Some(Held::Shared);
                if held.is_none() {
                    piece.backing = Backing::Hole;
                }
            }
        }
        Ok(piece)
    }

    fn held_at(&mut self, host: &HostMap, position: u64) -> (Option<Held>, u64) {
        if let Some((start, held, len)) = self.run
            && let Some(within) = position.checked_sub(start).filter(|within| *within < len)
        {
            return (held, len - within);
        }
        let (held, len) = host.at(position);
        self.run = Some((position, held, len));
        (held, len)
    }

    fn end_of_damage(&mut self, offset: u64, error: &Error) -> u64 {
        if self.problem.is_empty() {
            self.problem = error.to_string();
        }
        self.damaged += 1;
        let size = self.layer.virtual_size();
        if self.damaged >= MAX_DAMAGED { size } else { end_of_block(self.layer, offset) }
    }
}

/// Where the block around `offset` ends, or what is taken for one where the format has none.
pub(super) fn end_of_block(layer: &dyn Layer, offset: u64) -> u64 {
    let block = match layer.growth().block_size {
        0 | 1 => MIN_BLOCK,
        block => block,
    };
    ((offset / block + 1) * block).min(layer.virtual_size())
}
