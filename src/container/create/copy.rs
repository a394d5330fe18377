//! Filling a new image with the content of a disk. One thread reads and looks for zeros, the calling one writes.

use std::{
    ops::{ControlFlow, Range},
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
};

use super::Writer;
use crate::{
    Error, Result,
    bytes::{ByteSource, ExtentKind},
};

/// Bytes that are read at once; they begin at multiples of it.
const PIECE: u64 = 1 << 20;
/// Pieces on their way.
const PIECES: usize = 8;
/// Zeros are looked for in units of this size, that of most filesystems' clusters.
const UNIT: usize = 4096;
/// Zeros of fewer units in a row are written: a file of many short holes is slow to read.
const SHORT: usize = 16;

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

/// Bytes of the disk from `offset` on, and those parts that are not zeros.
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    parts: Vec<Range<usize>>,
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
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Err(error) = read(source, skip, &pieces, &buffers) {
                    // The writer has ended first.
                    let _ = pieces.send(Err(error));
                }
            });
            let mut written = 0;
            for piece in arrived {
                let piece: Piece = piece.map_err(Failed::Source)?;
                for part in &piece.parts {
                    let bytes = &piece.bytes[part.clone()];
                    to.write(piece.offset + part.start as u64, bytes).map_err(Failed::Dest)?;
                    written += bytes.len() as u64;
                }
                if progress(piece.offset).is_break() {
                    return Ok(Copied::Stopped);
                }
                // The reader may have ended.
                let _ = back.send(piece.bytes);
            }
            Ok(Copied::Whole { written })
        })
    }
}

/// Reads the disk from its beginning to its end. Ends when the other side does.
fn read(
    source: &dyn ByteSource,
    skip: &[Range<u64>],
    to: &SyncSender<Result<Piece>>,
    buffers: &Receiver<Vec<u8>>,
) -> Result<()> {
    let size = source.size();
    let mut skip = skip.iter().peekable();
    let mut offset = 0;
    while offset < size {
        while skip.next_if(|range| range.end <= offset).is_some() {}
        let (left_out, next) = match skip.peek() {
            Some(range) if range.start <= offset => (true, range.end),
            Some(range) => (false, range.start),
            None => (false, size),
        };
        let mut end = next.min(size);
        if left_out {
            offset = end;
            continue;
        }
        let extent = source.extent_at(offset)?;
        end = end.min(offset.saturating_add(extent.len.max(1)));
        if extent.kind == ExtentKind::Hole {
            offset = end;
            continue;
        }
        end = end.min(offset / PIECE * PIECE + PIECE);
        let mut bytes = buffers.try_recv().unwrap_or_default();
        bytes.resize(usize::try_from(end - offset).expect("at most a piece"), 0);
        source.read_exact_at(offset, &mut bytes)?;
        let parts = parts(&bytes);
        if to.send(Ok(Piece { offset, bytes, parts })).is_err() {
            return Ok(());
        }
        offset = end;
    }
    Ok(())
}

/// The parts that are not zeros; short stretches of zeros between two of them count as data.
fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (index, unit) in bytes.chunks(UNIT).enumerate() {
        if is_zero(unit) {
            continue;
        }
        let start = index * UNIT;
        let end = start + unit.len();
        match parts.last_mut() {
            Some(last) if start - last.end < SHORT * UNIT => last.end = end,
            _ => parts.push(start..end),
        }
    }
    parts
}

fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// The first byte in which two disks differ; the end of the shorter one if it is the beginning of the other, `None` if they are
/// equal or `progress` has ended the comparison. Holes of both are not read. `skip` as in [`struct@Copy`].
///
/// # Errors
/// When one of them cannot be read.
pub fn first_difference(
    one: &dyn ByteSource,
    other: &dyn ByteSource,
    skip: &[Range<u64>],
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<u64>> {
    let size = one.size().min(other.size());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut skip = skip.iter().peekable();
    let mut offset = 0;
    while offset < size {
        while skip.next_if(|range| range.end <= offset).is_some() {}
        let next = match skip.peek() {
            Some(range) if range.start <= offset => {
                offset = range.end.min(size);
                continue;
            }
            Some(range) => range.start,
            None => size,
        };
        let extents = [one.extent_at(offset)?, other.extent_at(offset)?];
        let stored = extents.iter().any(|extent| extent.kind == ExtentKind::Data);
        let len = extents.iter().map(|extent| extent.len.max(1)).min().unwrap_or(1);
        let mut end = next.min(size).min(offset.saturating_add(len));
        if stored {
            end = end.min(offset / PIECE * PIECE + PIECE);
            let len = usize::try_from(end - offset).expect("at most a piece");
            left.resize(len, 0);
            right.resize(len, 0);
            one.read_exact_at(offset, &mut left)?;
            other.read_exact_at(offset, &mut right)?;
            if left != right {
                let within = left.iter().zip(&right).position(|(a, b)| a != b).unwrap_or(0);
                return Ok(Some(offset + within as u64));
            }
        }
        offset = end;
        if progress(offset).is_break() {
            return Ok(None);
        }
    }
    Ok((one.size() != other.size()).then_some(size))
}
