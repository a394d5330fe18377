//! New image files: VHDX and VHD (fixed, dynamic, differencing) and raw.
//!
//! The formats say which bytes go where (`vhdx::create`, `vhd::create`); all writing is here. A new file needs no log and no
//! order of flushes: it has another name until it is complete, and one that was not completed has no header, or no footer.

mod compare;
mod copy;
mod stored;
#[cfg(test)]
mod tests;
mod zeros;

pub use compare::first_difference;
pub use copy::{Copied, Copy, Failed};
pub use stored::Stored;

use super::{Format, Kind, Plan, plan::Blocks, vhd, vhdx};
use crate::{
    Error, Result,
    bytes::{ByteSink, InFile},
};

/// Bytes of the block table that are kept in memory and written together.
const PAGE: u64 = 64 << 10;

/// A new image that is being filled, in ascending order.
pub struct Writer<'a> {
    sink: &'a dyn ByteSink,
    virtual_size: u64,
    layout: Layout,
}

enum Layout {
    /// The disk's bytes from the first byte of the file on, and what follows them.
    Flat {
        footer: Vec<u8>,
    },
    Blocks(Box<Allocated>),
}

/// The blocks that exist so far.
struct Allocated {
    blocks: Box<dyn Blocks>,
    /// The last one, and the place of its payload.
    last: Option<(u64, u64)>,
    /// The end of its payload.
    end: u64,
    page: Page,
}

/// The part of the block table that is being filled.
struct Page {
    at: u64,
    bytes: Vec<u8>,
    changed: bool,
    fill: u8,
    table: std::ops::Range<u64>,
}

impl<'a> Writer<'a> {
    /// Begins an image in an empty file.
    ///
    /// # Errors
    /// [`Error::Invalid`] for sizes that the format cannot have; those of the file.
    pub fn new(sink: &'a dyn ByteSink, plan: &Plan) -> Result<Self> {
        plan.validate()?;
        let size = plan.virtual_size;
        let blocks: Box<dyn Blocks> = match (plan.format, plan.kind) {
            (Format::Raw, _) => {
                sink.set_len(size)?;
                return Ok(Self { sink, virtual_size: size, layout: Layout::Flat { footer: Vec::new() } });
            }
            (Format::Vhd, Kind::Fixed) => {
                let footer = vhd::create::fixed_footer(plan);
                sink.reserve(0..size + footer.len() as u64)?;
                return Ok(Self { sink, virtual_size: size, layout: Layout::Flat { footer } });
            }
            (Format::Vhd, _) => Box::new(vhd::create::NewVhd::new(plan)),
            (Format::Vhdx, _) => Box::new(vhdx::create::NewVhdx::new(plan)),
        };
        let (table, fill) = blocks.table();
        let mut end = blocks.end_without_blocks();
        if fill != 0 {
            fill_table(sink, &table, fill)?;
        }
        let mut page = Page { at: table.start, bytes: Vec::new(), changed: false, fill, table };
        let mut last = None;
        if plan.kind == Kind::Fixed {
            let count = size.div_ceil(blocks.block_size());
            end = blocks.first() + (count - 1) * blocks.stride() + blocks.block_size();
            sink.reserve(0..blocks.file_size(end))?;
            for block in 0..count {
                let at = blocks.first() + block * blocks.stride();
                page.set(sink, blocks.entry(block, at))?;
                last = Some((block, at));
            }
        }
        let allocated = Allocated { blocks, last, end, page };
        let mut writer = Self { sink, virtual_size: size, layout: Layout::Blocks(Box::new(allocated)) };
        if plan.kind == Kind::Fixed
            && let Layout::Blocks(allocated) = &mut writer.layout
        {
            allocated.page.write(sink)?;
        }
        Ok(writer)
    }

    /// Writes bytes of the disk. Blocks come in ascending order; within the last one any order will do.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes behind the disk's end or in an earlier block; those of the file.
    pub fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        crate::bytes::check_range(self.virtual_size, offset, bytes.len())?;
        let Layout::Blocks(allocated) = &mut self.layout else {
            return self.sink.write_all_at(offset, bytes);
        };
        let size = allocated.blocks.block_size();
        while !bytes.is_empty() {
            let (block, within) = (offset / size, offset % size);
            let len = usize::try_from(size - within).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            let (here, rest) = bytes.split_at(len);
            let at = allocated.place(self.sink, block)?;
            self.sink.write_all_at(at + within, here)?;
            (offset, bytes) = (offset + len as u64, rest);
        }
        Ok(())
    }

    /// As [`Self::write`], with bytes of a file with which the new one may share them. Returns how many were shared, from the
    /// first one on; the others are not written.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn share(&mut self, offset: u64, from: InFile<'_>) -> Result<u64> {
        if from.len > self.virtual_size.saturating_sub(offset) {
            return Err(Error::invalid(format!("{} bytes at {offset:#x} lie beyond the end", from.len)));
        }
        let Layout::Blocks(allocated) = &mut self.layout else {
            return Ok(if self.sink.share(offset, from) { from.len } else { 0 });
        };
        let size = allocated.blocks.block_size();
        let mut done = 0;
        while done < from.len {
            let (block, within) = ((offset + done) / size, (offset + done) % size);
            let len = (from.len - done).min(size - within);
            let at = allocated.place(self.sink, block)?;
            if !self.sink.share(at + within, InFile { offset: from.offset + done, len, ..from }) {
                break;
            }
            done += len;
        }
        Ok(done)
    }

    /// Writes the structures that make the file an image, and waits until all of it is on the disk of the host. Returns the
    /// file's length.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(self) -> Result<u64> {
        let len = match self.layout {
            Layout::Flat { footer } => {
                if !footer.is_empty() {
                    self.sink.write_all_at(self.virtual_size, &footer)?;
                }
                self.virtual_size + footer.len() as u64
            }
            Layout::Blocks(mut allocated) => {
                allocated.page.write(self.sink)?;
                let len = allocated.blocks.file_size(allocated.end);
                self.sink.set_len(len)?;
                // The content first: a file that was cut off has no signature.
                self.sink.flush()?;
                for (at, bytes) in allocated.blocks.structures(allocated.end) {
                    self.sink.write_all_at(at, &bytes)?;
                }
                len
            }
        };
        self.sink.flush()?;
        Ok(len)
    }
}

impl Allocated {
    /// The place of a block's payload in the file.
    fn place(&mut self, sink: &dyn ByteSink, block: u64) -> Result<u64> {
        let blocks = &self.blocks;
        match self.last {
            Some((last, at)) if last == block => return Ok(at),
            // All of a fixed image are there, at fixed places.
            Some((last, at)) if block < last => {
                let first = blocks.first();
                let all = at == first + last * blocks.stride();
                return match all {
                    true => Ok(first + block * blocks.stride()),
                    false => Err(Error::invalid(format!(
                        "block {block} is written after block {last}: a new image is filled in ascending order"
                    ))),
                };
            }
            _ => {}
        }
        let at = match self.last {
            None => blocks.first(),
            Some((_, last)) => last + blocks.stride(),
        };
        let head = blocks.head();
        if !head.is_empty() {
            sink.write_all_at(at - head.len() as u64, head)?;
        }
        self.page.set(sink, blocks.entry(block, at))?;
        self.last = Some((block, at));
        self.end = at + blocks.block_size();
        Ok(at)
    }
}

impl Page {
    /// Sets an entry; the page before is written.
    fn set(&mut self, sink: &dyn ByteSink, (at, entry): (u64, Vec<u8>)) -> Result<()> {
        let within = at - self.table.start;
        let start = self.table.start + within / PAGE * PAGE;
        if self.bytes.is_empty() || start != self.at {
            self.write(sink)?;
            let len = (self.table.end - start).min(PAGE);
            self.at = start;
            self.bytes = vec![self.fill; usize::try_from(len).expect("at most a page")];
        }
        let within = usize::try_from(at - start).expect("within a page");
        self.bytes[within..within + entry.len()].copy_from_slice(&entry);
        self.changed = true;
        Ok(())
    }

    fn write(&mut self, sink: &dyn ByteSink) -> Result<()> {
        if self.changed {
            sink.write_all_at(self.at, &self.bytes)?;
            self.changed = false;
        }
        Ok(())
    }
}

fn fill_table(sink: &dyn ByteSink, table: &std::ops::Range<u64>, fill: u8) -> Result<()> {
    let bytes = vec![fill; 1 << 20];
    let mut at = table.start;
    while at < table.end {
        let len = usize::try_from(table.end - at).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        sink.write_all_at(at, &bytes[..len])?;
        at += len as u64;
    }
    Ok(())
}
