//! `$MFT` from end to end in large pieces, and bitmaps bit by bit. Guards: holes, of the table itself or of the disk below
//! it, are passed over, so that the work is bounded by what is really stored; a piece that cannot be read costs only
//! the records in it that cannot.

use std::sync::Arc;

use super::super::{fixup, mft::Mft, record::Header};
use crate::{
    Error, Result,
    bytes::{ByteSource, ExtentKind, read_vec},
};

/// Records are read in pieces of this size: a multiple of every size of a record.
const PIECE: u64 = 1 << 20;
/// Bitmaps are read in pieces of this size.
const BITS: u64 = 64 << 10;

/// What one record of the table holds.
pub(in super::super) enum Slot<'a> {
    /// Not in use, whatever else is in it.
    Unused,
    /// In use: its header, and its bytes after their fixup.
    InUse(Header, &'a [u8]),
    Damaged(Error),
}

/// Calls `f` with each record that is stored, ascending.
pub(in super::super) fn each_record(mft: &Mft, f: &mut dyn FnMut(u64, Slot<'_>)) {
    let (size, records) = (mft.boot.record_size, mft.records());
    let record_len = usize::try_from(size).expect("the boot sector bounds it");
    let mut number = 0;
    let mut buf = Vec::new();
    while number < records {
        let offset = number * size;
        let hole = hole_at(mft, offset).unwrap_or(0) / size;
        if hole > 0 {
            number = number.saturating_add(hole);
            continue;
        }
        let len = PIECE.min(records * size - offset);
        buf.resize(usize::try_from(len).expect("at most a piece"), 0);
        let whole = mft.data().read_exact_at(offset, &mut buf);
        for record in buf.chunks_exact_mut(record_len) {
            let read = match &whole {
                Ok(()) => Ok(()),
                Err(_) => mft.data().read_exact_at(number * size, record),
            };
            f(number, read.map_or_else(Slot::Damaged, |()| slot(record, number, number * size)));
            number += 1;
        }
    }
}

fn slot(record: &mut [u8], number: u64, offset: u64) -> Slot<'_> {
    if record.starts_with(b"FILE")
        && let Err(error) = fixup::apply(record, "FILE record", offset)
    {
        return Slot::Damaged(error);
    }
    match Header::parse(record, number) {
        Ok(Some(header)) => Slot::InUse(header, record),
        Ok(None) => Slot::Unused,
        Err(error) => Slot::Damaged(error),
    }
}

/// How many bytes from `offset` on are a hole of the table or of what it lies on.
fn hole_at(mft: &Mft, offset: u64) -> Result<u64> {
    let extent = mft.data().extent_at(offset)?;
    if extent.kind == ExtentKind::Hole {
        return Ok(extent.len);
    }
    let Some((Some(position), len)) = mft.data().runs().find(offset) else { return Ok(0) };
    let below = mft.volume.extent_at(position)?;
    Ok(if below.kind == ExtentKind::Hole { below.len.min(len) } else { 0 })
}

/// A bitmap, asked mostly in ascending order.
pub(super) struct Bits {
    source: Arc<dyn ByteSource>,
    piece: u64,
    bytes: Vec<u8>,
}

impl Bits {
    pub(super) fn new(source: Arc<dyn ByteSource>) -> Self {
        Self { source, piece: u64::MAX, bytes: Vec::new() }
    }

    /// Bit `index`; `None` behind the end, or where it cannot be read.
    pub(super) fn get(&mut self, index: u64) -> Option<bool> {
        self.byte(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The bits from `index` on, a multiple of 64, and which of them could be read.
    pub(super) fn word(&mut self, index: u64) -> (u64, u64) {
        let at = self.load(index / 8);
        if let Some(word) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            return (u64::from_le_bytes(*word), u64::MAX);
        }
        (0..8).fold((0, 0), |(bits, read), byte| match self.byte(index / 8 + byte) {
            Some(value) => (bits | u64::from(value) << (8 * byte), read | 0xff << (8 * byte)),
            None => (bits, read),
        })
    }

    fn byte(&mut self, index: u64) -> Option<u8> {
        let at = self.load(index);
        self.bytes.get(at).copied()
    }

    /// Reads the piece with byte `index`; where in it that byte is.
    fn load(&mut self, index: u64) -> usize {
        let piece = index / BITS;
        if piece != self.piece {
            let len = self.source.size().saturating_sub(piece.saturating_mul(BITS)).min(BITS);
            let len = usize::try_from(len).expect("at most 64 KiB");
            self.bytes = read_vec(&*self.source, piece * BITS, len).unwrap_or_default();
            self.piece = piece;
        }
        usize::try_from(index % BITS).expect("64 KiB")
    }
}
