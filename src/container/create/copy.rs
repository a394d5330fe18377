//! Filling a new image with the content of a disk. One thread reads and looks for zeros, the calling one writes. What both
//! files can share is neither read nor written.

use std::{
    ops::{ControlFlow, Range},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, channel, sync_channel},
    },
};

use super::{
    Stored, Writer,
    zeros::{UNIT, parts},
};
use crate::{
    Error, Result,
    bytes::{ByteSource, InFile},
};

/// Bytes that are read at once; they begin at multiples of it.
const PIECE: u64 = 1 << 20;
/// Pieces on their way.
const PIECES: usize = 8;
/// Less is not worth a call: it is copied as fast.
const LEAST_SHARED: u64 = 64 << 10;
/// Bytes that are shared at once, so that the caller can end the copy meanwhile.
const SHARED: u64 = 64 << 20;

/// A copy of a disk into a new image.
pub struct Copy<'a> {
    /// The disk.
    pub source: &'a dyn ByteSource,
    /// Ranges that are left out, sorted and without overlaps: they are zeros in the new image.
    pub skip: &'a [Range<u64>],
    /// Called with the bytes of the disk that are done; `Break` ends the copy.
    pub progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// All of it.
    Whole {
        /// Bytes that were written.
        written: u64,
        /// Bytes that the new image shares with the files of the disk; they may be zeros.
        shared: u64,
    },
    /// The caller ended it.
    Stopped,
}

/// Which side of a copy failed.
#[derive(Debug)]
pub enum Failed {
    /// The disk cannot be read.
    Source(Error),
    /// The new image cannot be written.
    Dest(Error),
}

/// Bytes of the disk from `offset` on, and what to do with them.
enum Piece<'a> {
    Write { offset: u64, bytes: Vec<u8>, parts: Vec<Range<usize>> },
    Share { offset: u64, from: InFile<'a> },
}

impl Copy<'_> {
    /// Copies everything that is not a hole and not zeros.
    ///
    /// # Errors
    /// When the disk cannot be read somewhere, or the new image cannot be written.
    pub fn run(self, to: &mut Writer<'_>) -> Result<Copied, Failed> {
        let Self { source, skip, progress } = self;
        let (pieces, arrived) = sync_channel(PIECES);
        let (back, buffers) = channel();
        let sharing = AtomicBool::new(true);
        let sharing = &sharing;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let reader = Reader { source, skip, sharing, to: pieces, buffers };
                if let Err(error) = reader.run() {
                    // The writer has ended first.
                    let _ = reader.to.send(Err(error));
                }
            });
            let (mut written, mut shared) = (0, 0);
            for piece in arrived {
                let piece: Piece<'_> = piece.map_err(Failed::Source)?;
                let done = match piece {
                    Piece::Write { offset, bytes, parts } => {
                        written += write(to, offset, &bytes, &parts)?;
                        // The reader may have ended.
                        let _ = back.send(bytes);
                        offset
                    }
                    Piece::Share { offset, from } => {
                        let len = to.share(offset, from).map_err(Failed::Dest)?;
                        shared += len;
                        if len < from.len {
                            // These two files cannot; nor could they at the next place.
                            sharing.store(false, Ordering::Relaxed);
                            written += copy(source, to, offset + len..offset + from.len)?;
                        }
                        offset
                    }
                };
                if progress(done).is_break() {
                    return Ok(Copied::Stopped);
                }
            }
            Ok(Copied::Whole { written, shared })
        })
    }
}

/// Writes what is not zeros; returns the number of bytes.
fn write(to: &mut Writer<'_>, offset: u64, bytes: &[u8], parts: &[Range<usize>]) -> Result<u64, Failed> {
    for part in parts {
        to.write(offset + part.start as u64, &bytes[part.clone()]).map_err(Failed::Dest)?;
    }
    Ok(parts.iter().map(|part| part.len() as u64).sum())
}

/// Copies what was to be shared.
fn copy(source: &dyn ByteSource, to: &mut Writer<'_>, range: Range<u64>) -> Result<u64, Failed> {
    let (mut written, mut offset, mut bytes) = (0, range.start, Vec::new());
    while offset < range.end {
        let end = piece_end(offset, range.end);
        read(source, offset..end, &mut bytes).map_err(Failed::Source)?;
        written += write(to, offset, &bytes, &parts(&bytes))?;
        offset = end;
    }
    Ok(written)
}

fn read(source: &dyn ByteSource, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.resize(usize::try_from(range.end - range.start).expect("at most a piece"), 0);
    source.read_exact_at(range.start, bytes)
}

fn piece_end(offset: u64, end: u64) -> u64 {
    end.min(offset / PIECE * PIECE + PIECE)
}

/// The thread that reads the disk from its beginning to its end. Ends when the other one does.
struct Reader<'a, 'b> {
    source: &'a dyn ByteSource,
    skip: &'b [Range<u64>],
    /// Cleared when the files can share nothing.
    sharing: &'b AtomicBool,
    to: SyncSender<Result<Piece<'a>>>,
    buffers: Receiver<Vec<u8>>,
}

impl<'a> Reader<'a, '_> {
    fn run(&self) -> Result<()> {
        for range in Stored::new(self.source, self.skip) {
            let Range { start: mut offset, end } = range?;
            while offset < end {
                let (piece, done) = match self.shareable(offset, end) {
                    Some(from) => (Piece::Share { offset, from }, offset + from.len),
                    None => {
                        let end = piece_end(offset, end);
                        let mut bytes = self.buffers.try_recv().unwrap_or_default();
                        read(self.source, offset..end, &mut bytes)?;
                        let parts = parts(&bytes);
                        (Piece::Write { offset, bytes, parts }, end)
                    }
                };
                if self.to.send(Ok(piece)).is_err() {
                    return Ok(());
                }
                offset = done;
            }
        }
        Ok(())
    }

    /// What of a range of the disk could be shared, from its beginning on: whole blocks of the host's filesystem, at the same
    /// place in a block as on the disk, as the payload of each new image begins at a multiple of them.
    fn shareable(&self, offset: u64, end: u64) -> Option<InFile<'a>> {
        let unit = UNIT as u64;
        if !self.sharing.load(Ordering::Relaxed)
            || !offset.is_multiple_of(unit)
            || end - offset < LEAST_SHARED
        {
            return None;
        }
        let from = self.source.in_file(offset)?.at_most((end - offset).min(SHARED))?;
        let from = from.at_most(from.len / unit * unit)?;
        (from.offset.is_multiple_of(unit) && from.len >= LEAST_SHARED).then_some(from)
    }
}
