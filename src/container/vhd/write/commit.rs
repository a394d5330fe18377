//! Changes that become visible together: new content of blocks that are there goes into the redo file with the sectors of the table
//! and of bitmaps; content of new blocks is written before, as nothing leads to it yet.

use super::{Part, VhdWriter};
use crate::{
    Result,
    container::{
        flat::without_redo,
        redo::{MAX_SECTORS, Sectors},
        writer::{Change, Changes, CommitMode},
    },
};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

pub(super) fn commit(disk: &mut VhdWriter, changes: &Changes) -> Result<()> {
    if disk.redo.is_none() {
        return Err(without_redo());
    }
    if !disk.prepared {
        disk.prepare()?;
    }
    // The disk on the host is then the one in memory, which the entry of the redo file takes for granted.
    disk.publish()?;
    let switched = disk.options.commit == CommitMode::Switched || !fits(disk, changes);
    let mut commit = Commit { disk, sectors: Sectors::default(), switched };
    for (offset, change) in changes.iter() {
        let mut done = 0;
        for part in commit.disk.parts(offset, change.len()) {
            match change {
                Change::Bytes(bytes) => {
                    let index = |at: u64| usize::try_from(at).expect("within a buffer");
                    commit.write(part, &bytes[index(done)..index(done + part.len)])?;
                }
                Change::Discard(_) => commit.discard(part)?,
            }
            done += part.len;
        }
    }
    let Commit { disk, mut sectors, .. } = commit;
    for (at, bits) in disk.write_fresh_bitmaps()? {
        sectors.write(at, &bits)?;
    }
    if !disk.fresh.is_empty() {
        disk.file.flush()?;
        disk.fresh.clear();
    }
    for sector in std::mem::take(&mut disk.changed) {
        let (at, bytes) = disk.table_sector(sector)?;
        sectors.write(at, &bytes)?;
    }
    match &mut disk.redo {
        Some(redo) => redo.commit(&*disk.file, &sectors),
        None => Err(without_redo()),
    }
}

/// Whether all of it fits into the redo file: each sector, one of a bitmap for 4096 of them, one of the table for each block.
fn fits(disk: &VhdWriter, changes: &Changes) -> bool {
    let mut sectors = 0;
    for (offset, change) in changes.iter() {
        for part in disk.parts(offset, change.len()) {
            sectors += part.len / 512 + part.len / (512 * 4096) + 4;
            if sectors >= MAX_SECTORS as u64 {
                return false;
            }
        }
    }
    true
}

struct Commit<'a> {
    disk: &'a mut VhdWriter,
    sectors: Sectors,
    /// Changed blocks go to a fresh place as a whole.
    switched: bool,
}

impl Commit<'_> {
    fn write(&mut self, part: Part, bytes: &[u8]) -> Result<()> {
        let slot = match self.disk.slot(part.block) {
            Some(slot) if self.switched && !self.disk.fresh.contains(&slot) => {
                Some(self.disk.switch(part.block, slot)?)
            }
            slot => slot,
        };
        let Some(slot) = slot.filter(|slot| !self.disk.fresh.contains(slot)) else {
            return self.disk.write_part(part, bytes);
        };
        let mut rest = bytes;
        for (present, stretch) in self.disk.stretches(Some(slot), part)? {
            let (here, behind) = rest.split_at(usize::try_from(stretch.len).expect("within a buffer"));
            let at = slot + self.disk.space.bitmap + stretch.within;
            if !present {
                self.disk.mark(slot, stretch.within, stretch.len)?;
            }
            self.sectors.write(at, here)?;
            rest = behind;
        }
        Ok(())
    }

    fn discard(&mut self, part: Part) -> Result<()> {
        let slot = self.disk.slot(part.block);
        if slot.is_none() || self.disk.bitmaps.is_none() && self.disk.is_whole(part) {
            // A block that the table on the disk does not name, or no longer: nothing of it is in the redo file.
            return self.disk.discard_part(part);
        }
        for (present, stretch) in self.disk.stretches(slot, part)? {
            if !present && self.disk.is_zero_below(stretch)? {
                continue;
            }
            let (mut within, end) = (stretch.within, stretch.within + stretch.len);
            while within < end {
                let len = (end - within).min(ZEROS.len() as u64);
                let zeros = &ZEROS[..usize::try_from(len).expect("64 KiB at most")];
                self.write(Part { within, len, ..part }, zeros)?;
                within += len;
            }
        }
        Ok(())
    }
}
