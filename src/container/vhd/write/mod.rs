//! Writing into a VHD. The format has no log: what makes data visible is written after a flush.
//!
//! A write goes into its block at once. A flush publishes: the data and the bitmaps of new blocks, flush; bits that were set in older
//! blocks and the changed sectors of the table, flush. A sector of the table or of a bitmap arrives whole or not at all, so after a power
//! cut each sector of the disk is old or new. Places that the table on the disk names are not reused before a flush.
//!
//! A commit goes through the redo file; new blocks are written beforehand, and only the table's sectors are in it then.

mod bitmaps;
mod commit;
mod open;
mod parent;
mod publish;
mod read;
mod space;
mod switch;

use std::{collections::BTreeSet, sync::Arc};

pub(in crate::container) use parent::replace_parent;

use self::{bitmaps::Bitmaps, open::Opened, space::Space};
use super::{
    footer::{self, Trust},
    format::{BAT_UNUSED, FOOTER_SIZE, SECTOR},
};
use crate::{
    Error, Result,
    bytes::{Backing, ByteSource, Extent},
    container::{
        Kind,
        flat::FlatWriter,
        redo::Redo,
        writer::{Change, Changes, ImageWriter, Publish, WriteOptions},
    },
    error,
};

/// Entries in a sector of the table.
const ENTRIES: u64 = SECTOR / 4;

/// A dynamic or differencing VHD that is written.
struct VhdWriter {
    file: Arc<dyn Backing>,
    /// What lies below a differencing disk.
    parent: Option<Arc<dyn ByteSource>>,
    size: u64,
    table_at: u64,
    table: Vec<u32>,
    /// The end of what lies before the blocks.
    least: u64,
    space: Space,
    /// Of a differencing disk.
    bitmaps: Option<Bitmaps>,
    /// Sectors of the table that changed.
    changed: BTreeSet<u64>,
    /// Slots that the table on the disk does not name yet.
    fresh: BTreeSet<u64>,
    redo: Option<Redo>,
    options: WriteOptions,
    /// The footer and its copy are known to be alike.
    prepared: bool,
}

/// Opens a VHD for writing, and applies what an interrupted commit left.
///
/// # Errors
/// For everything that a write could make worse: damage to the footer, the header or the table, overlapping blocks, a machine in a
/// saved state, a missing parent.
pub(in crate::container) fn open(
    file: Arc<dyn Backing>,
    parent: Option<Arc<dyn ByteSource>>,
    options: &WriteOptions,
) -> Result<Box<dyn ImageWriter>> {
    let locate = || {
        footer::locate(&*file, Trust::Checksum).ok_or_else(|| {
            let problem = "neither it nor its copy has a right checksum: such an image is only read";
            Error::corrupt("VHD footer", error::Place::Byte(file.size()), problem)
        })
    };
    let mut found = locate()?;
    if found.footer.saved_state {
        return Err(Error::unsupported(
            "the virtual machine of this disk is in a saved state: writing to the disk would damage what it has in memory",
        ));
    }
    if found.footer.kind == Kind::Fixed {
        let data_end = found.data_end;
        let size = super::virtual_size(&mut found, data_end);
        if size > data_end {
            let problem = "the file is cut off: such an image is only read";
            return Err(Error::corrupt("VHD data", error::Place::Byte(data_end), problem));
        }
        return Ok(Box::new(FlatWriter::open(file, size, options)?));
    }
    if options.publish == Publish::Unmount && options.redo.is_none() {
        return Err(crate::container::flat::without_redo());
    }
    let redo = options.redo.clone().map(|redo| Redo::open(redo, &*file)).transpose()?;
    let Opened { kind, size, table_at, table, least, space } = open::open(&*file, locate()?)?;
    let bitmaps = (kind == Kind::Differencing).then(Bitmaps::new);
    if bitmaps.is_some() && parent.is_none() {
        return Err(Error::not_found(
            "the parent of this differencing disk, without which it is not written",
        ));
    }
    let parent = parent.filter(|_| bitmaps.is_some());
    Ok(Box::new(VhdWriter {
        file,
        parent,
        size,
        table_at,
        table,
        least,
        space,
        bitmaps,
        changed: BTreeSet::new(),
        fresh: BTreeSet::new(),
        redo,
        options: options.clone(),
        prepared: false,
    }))
}

/// A part of a request that lies in one block.
#[derive(Clone, Copy)]
struct Part {
    block: usize,
    /// Byte in the block.
    within: u64,
    len: u64,
}

impl VhdWriter {
    fn parts(&self, offset: u64, len: u64) -> impl Iterator<Item = Part> + use<> {
        let size = self.space.block;
        let end = offset + len;
        let mut at = offset;
        std::iter::from_fn(move || {
            let within = at % size;
            let len = (size - within).min(end - at);
            let block = usize::try_from(at / size).expect("below the number of entries");
            at += len;
            (len > 0).then_some(Part { block, within, len })
        })
    }

    /// The session becomes visible at its end alone.
    fn at_end(&self) -> bool {
        self.options.publish == Publish::Unmount
    }

    /// Changes whose order does not matter.
    fn apply(&mut self, changes: &Changes) -> Result<()> {
        for (offset, change) in changes.iter() {
            match change {
                Change::Bytes(bytes) => self.write(offset, bytes)?,
                Change::Discard(len) => self.discard(offset, *len)?,
            }
        }
        Ok(())
    }

    fn slot(&self, block: usize) -> Option<u64> {
        let sector = self.table[block];
        (sector != BAT_UNUSED).then(|| u64::from(sector) * SECTOR)
    }

    fn set_slot(&mut self, block: usize, slot: Option<u64>) {
        let sector = slot.map(|slot| u32::try_from(slot / SECTOR).expect("the space ends at 2 TiB"));
        self.table[block] = sector.unwrap_or(BAT_UNUSED);
        self.changed.insert(block as u64 / ENTRIES);
    }

    /// True when the part is its whole block, as far as the disk has it.
    fn is_whole(&self, part: Part) -> bool {
        let start = part.block as u64 * self.space.block;
        part.within == 0 && part.len == self.space.block.min(self.size - start)
    }

    /// Makes the footer and its copy alike before the first change; nothing is changed on opening.
    fn prepare(&mut self) -> Result<()> {
        if let Some(redo) = &mut self.redo {
            redo.retire(&*self.file)?;
        }
        if self.prepared {
            return Ok(());
        }
        for at in [self.space.footer_at, 0] {
            let mut bytes = [0; FOOTER_SIZE];
            if at + FOOTER_SIZE as u64 <= self.file.size() {
                self.file.read_exact_at(at, &mut bytes)?;
            }
            if bytes != self.space.footer {
                self.file.write_all_at(at, &self.space.footer)?;
                self.file.flush()?;
            }
        }
        self.prepared = true;
        Ok(())
    }

    /// A new block for `block`, all of whose sectors are zeros, or the parent's.
    fn allocate(&mut self, block: usize) -> Result<u64> {
        let slot = self.space.allocate(&*self.file)?;
        let size = self.space.bitmap;
        match &mut self.bitmaps {
            Some(bitmaps) => bitmaps.forget(slot, size),
            None => {
                let all = vec![0xff; usize::try_from(size).expect("64 KiB at most")];
                self.file.write_all_at(slot, &all)?;
            }
        }
        self.fresh.insert(slot);
        self.set_slot(block, Some(slot));
        Ok(slot)
    }

    /// Writes into a block at its place.
    fn write_part(&mut self, part: Part, bytes: &[u8]) -> Result<()> {
        let slot = self.slot_to_write(part)?;
        self.file.write_all_at(slot + self.space.bitmap + part.within, bytes)?;
        self.mark(slot, part.within, part.len)
    }

    /// States that sectors of a block are there.
    fn mark(&mut self, slot: u64, within: u64, len: u64) -> Result<()> {
        match &mut self.bitmaps {
            Some(bitmaps) => bitmaps.set(&*self.file, slot, within / SECTOR, len / SECTOR),
            None => Ok(()),
        }
    }

    /// A differencing disk keeps its changed bitmaps in memory, up to a limit.
    fn publish_if_full(&mut self) -> Result<()> {
        match self.bitmaps.as_ref().is_some_and(Bitmaps::is_full) {
            true if self.at_end() => self.write_bitmaps_of_session(),
            true => self.publish(),
            false => Ok(()),
        }
    }

    fn discard_part(&mut self, part: Part) -> Result<()> {
        let slot = self.slot(part.block);
        if self.bitmaps.is_none()
            && let Some(slot) = slot
            && self.is_whole(part)
        {
            self.reserve_entry(part.block)?;
            self.set_slot(part.block, None);
            if self.fresh.remove(&slot) {
                self.space.free.insert(slot);
            } else {
                self.space.freed.push(slot);
            }
            return Ok(());
        }
        for (present, stretch) in self.stretches(slot, part)? {
            if !present && self.is_zero_below(stretch)? {
                continue;
            }
            let slot = self.slot_to_write(Part { block: part.block, ..stretch })?;
            let at = slot + self.space.bitmap + stretch.within;
            self.file.punch_hole(at..at + stretch.len)?;
            self.mark(slot, stretch.within, stretch.len)?;
        }
        Ok(())
    }
}

impl ImageWriter for VhdWriter {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        512
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read_disk(offset, buf)
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        self.extent_of(offset)
    }

    fn write(&mut self, offset: u64, mut bytes: &[u8]) -> Result<()> {
        self.prepare()?;
        for part in self.parts(offset, bytes.len() as u64) {
            let (here, rest) = bytes.split_at(usize::try_from(part.len).expect("within a buffer"));
            self.write_part(part, here)?;
            bytes = rest;
        }
        self.publish_if_full()
    }

    fn discard(&mut self, offset: u64, len: u64) -> Result<()> {
        self.prepare()?;
        for part in self.parts(offset, len) {
            self.discard_part(part)?;
            self.publish_if_full()?;
        }
        Ok(())
    }

    fn commit(&mut self, changes: &Changes) -> Result<()> {
        if self.at_end() {
            return self.apply(changes);
        }
        commit::commit(self, changes)
    }

    fn synced_file(&self) -> Option<&Arc<dyn Backing>> {
        (!self.at_end()).then_some(&self.file)
    }

    fn flush(&mut self) -> Result<()> {
        if self.at_end() { Ok(()) } else { self.publish() }
    }

    fn close(&mut self) -> Result<()> {
        if self.at_end() {
            self.publish_session()?
        } else {
            self.publish()?
        }
        if let Some(redo) = &mut self.redo {
            redo.retire(&*self.file)?;
        }
        if !self.prepared {
            return Ok(());
        }
        let used: BTreeSet<u64> = (0..self.table.len()).filter_map(|block| self.slot(block)).collect();
        self.space.shrink(&*self.file, self.least, &used)
    }
}
