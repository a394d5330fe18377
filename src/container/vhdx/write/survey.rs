//! What a writer must know before it writes: that every block lies in a place of its own, inside the file and away from its structures.
//! An image of which that is not true is refused before anything is written.

use std::ops::Range;

use super::{
    super::{
        bat::Geometry,
        check::{Entries, Owner, Seen},
        format::{self, BITMAP_BLOCK, BatEntry, payload_state as state},
    },
    space::Space,
};
use crate::{Error, Place, Result, bytes::ByteSource};

/// Reads the whole block table. `structures`: what is not blocks. Returns the space that is in use.
pub(super) fn survey(
    source: &dyn ByteSource,
    geometry: Geometry,
    table: u64,
    structures: &[Range<u64>],
) -> Result<Space> {
    let mut space = Space::default();
    for range in structures {
        space.claim(range)?;
    }
    let mut survey =
        Survey { source, geometry, table, space, kept: Vec::new(), chunk: 0, partial: None, damage: None };
    let entries = Entries { source, start: table };
    let end = entries.each(0..geometry.entries(), &mut |seen| {
        if let Seen::Entry(index, entry) = seen
            && survey.damage.is_none()
        {
            survey.damage = survey.see(index, entry).err();
        }
    })?;
    if let Some(error) = survey.damage.take().or_else(|| survey.end_chunk().err()) {
        return Err(error);
    }
    if end < geometry.entries() {
        let problem = "the file ends inside it: truncated";
        return Err(Error::corrupt("VHDX BAT", Place::Byte(table), problem));
    }
    for range in survey.kept {
        survey.space.claim(&range)?;
    }
    Ok(survey.space)
}

struct Survey<'a> {
    source: &'a dyn ByteSource,
    geometry: Geometry,
    table: u64,
    space: Space,
    /// Places that entries of blocks without data state: their writer may count on them.
    kept: Vec<Range<u64>>,
    chunk: u64,
    /// A partially present block of the chunk whose bitmap was not seen.
    partial: Option<u64>,
    damage: Option<Error>,
}

impl Survey<'_> {
    fn see(&mut self, index: u64, entry: BatEntry) -> Result<()> {
        let owner = self.geometry.owner(index);
        let chunk = owner.chunk(&self.geometry);
        if chunk != self.chunk {
            self.end_chunk()?;
            self.chunk = chunk;
        }
        match (owner, entry.state()) {
            (Owner::Block(number), _) if number >= self.geometry.payload_blocks() => self.keep(entry),
            (Owner::Block(_), state::FULLY_PRESENT) => self.claim(index, owner, entry)?,
            (Owner::Block(number), state::PARTIALLY_PRESENT) if self.geometry.has_parent => {
                self.partial = Some(number);
                self.claim(index, owner, entry)?;
            }
            (
                Owner::Block(_),
                state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED | state::UNMAPPED_V095,
            )
            | (Owner::Bitmap(_), state::NOT_PRESENT) => self.keep(entry),
            (Owner::Bitmap(_), format::SB_BLOCK_PRESENT) if self.geometry.has_parent => {
                self.partial = None;
                self.claim(index, owner, entry)?;
            }
            (_, other) => return Err(self.damaged(index, owner, format!("state {other}"))),
        }
        Ok(())
    }

    fn claim(&mut self, index: u64, owner: Owner, entry: BatEntry) -> Result<()> {
        let at = entry.file_offset();
        let (whole, needed) = owner.lengths(&self.geometry);
        if at.checked_add(needed).is_none_or(|end| end > self.source.size()) {
            return Err(self.damaged(index, owner, format!("at byte {at:#x}, beyond the end of the file")));
        }
        match self.space.claim(&(at..at.saturating_add(whole)))? {
            true => Ok(()),
            false => {
                Err(self.damaged(index, owner, format!("byte {at:#x} belongs to something else as well")))
            }
        }
    }

    fn keep(&mut self, entry: BatEntry) {
        let at = entry.file_offset();
        let len = self.geometry.block_size.max(BITMAP_BLOCK);
        if at > 0 && at < self.source.size() {
            let range = at..at.saturating_add(len).min(self.source.size());
            match self.kept.last_mut() {
                Some(last) if last.end == at => last.end = range.end,
                _ => self.kept.push(range),
            }
        }
    }

    fn end_chunk(&mut self) -> Result<()> {
        match self.partial.take() {
            None => Ok(()),
            Some(block) => {
                let problem = format!("there is none, and block {block} needs it");
                let structure = format!("VHDX sector bitmap {}", self.chunk);
                Err(Error::corrupt(structure, Place::Byte(self.table), problem))
            }
        }
    }

    fn damaged(&self, index: u64, owner: Owner, problem: String) -> Error {
        let name = match owner {
            Owner::Block(number) => format!("VHDX BAT entry of block {number}"),
            Owner::Bitmap(chunk) => format!("VHDX BAT entry of sector bitmap {chunk}"),
        };
        let at = self.table + index * size_of::<BatEntry>() as u64;
        let problem = format!("{problem}: the image is not written (`vhdmount check` lists all of this)");
        Error::corrupt(name, Place::Byte(at), problem)
    }
}
