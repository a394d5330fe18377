//! Structures of a volume or container before they are written: they are damaged first and sealed after, so that damage
//! reaches what checksums and update sequences protect.

use std::sync::Arc;

use super::input::Input;
use crate::bytes::{ByteSource, testing::Sparse};

/// What protects a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Nothing.
    None,
    /// NTFS: an update sequence array at this offset.
    UpdateSequence(usize),
    /// VHDX: CRC-32C of the whole structure in bytes 4 to 7.
    Castagnoli,
    /// VHD: the complement of the sum of all bytes, big-endian, at this offset.
    Complement(usize),
}

impl Seal {
    /// Puts it right.
    fn apply(self, bytes: &mut [u8]) {
        match self {
            Self::None => {}
            Self::UpdateSequence(at) => {
                bytes[at..at + 2].copy_from_slice(&[7, 7]);
                for sector in 1..=bytes.len() / 512 {
                    let tail = sector * 512 - 2;
                    bytes.copy_within(tail..tail + 2, at + 2 * sector);
                    bytes[tail..tail + 2].copy_from_slice(&[7, 7]);
                }
            }
            Self::Castagnoli => {
                bytes[4..8].fill(0);
                let sum = crc32c::crc32c(bytes);
                bytes[4..8].copy_from_slice(&sum.to_le_bytes());
            }
            Self::Complement(at) => {
                bytes[at..at + 4].fill(0);
                let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
                bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
            }
        }
    }
}

struct Piece {
    at: u64,
    bytes: Vec<u8>,
    seal: Seal,
    /// Bytes up to the last one that is not zero, and a few more: where damage matters.
    used: usize,
}

/// A source being made: structures that can be damaged, and content that cannot.
pub struct Pieces {
    list: Vec<Piece>,
    source: Sparse,
}

/// Bytes of an input that make one change.
pub const CHANGE: usize = 8;

impl Pieces {
    /// A source of `size` bytes with nothing in it.
    pub fn new(size: u64) -> Self {
        Self { list: Vec::new(), source: Sparse::new(size) }
    }

    /// Adds a structure.
    pub fn structure(&mut self, at: u64, bytes: Vec<u8>, seal: Seal) {
        // To the last 16 bytes that are not zeros.
        let (tiles, rest) = bytes.as_chunks::<16>();
        let used = match rest.is_empty() {
            true => {
                tiles.iter().rposition(|tile| u128::from_le_bytes(*tile) != 0).map_or(0, |last| last + 1) * 16
            }
            false => bytes.len(),
        };
        let used = (used + 8).min(bytes.len());
        self.list.push(Piece { at, bytes, seal, used });
    }

    /// Adds content.
    pub fn content(&mut self, at: u64, bytes: &[u8]) {
        self.source.write(at, bytes);
    }

    /// Makes the source at least this long.
    pub fn extend(&mut self, size: u64) {
        if size > self.source.size() {
            self.source.truncate(size);
        }
    }

    /// Adds content that many volumes have.
    pub fn shared_content(&mut self, at: u64, pages: &[Arc<[u8; 4096]>]) {
        self.source.write_shared(at, pages);
    }

    /// Sets one bit of content.
    pub fn set_bit(&mut self, at: u64, bit: u64) {
        let mut byte = [0];
        self.source.read_exact_at(at, &mut byte).expect("inside of the source");
        self.source.write(at, &[byte[0] | 1 << bit]);
    }

    /// Writes the structures with the given changes, of [`CHANGE`] bytes each.
    pub fn finish(mut self, changes: &[u8]) -> Sparse {
        let (changes, _) = changes.as_chunks::<CHANGE>();
        // The highest bit of the kind: after the seal, as a disk damages it.
        let late = |change: &&[u8; CHANGE]| change[3] & 0x80 != 0;
        for change in changes.iter().filter(|change| !late(change)) {
            self.change(change);
        }
        self.list.iter_mut().for_each(|piece| piece.seal.apply(&mut piece.bytes));
        for change in changes.iter().filter(late) {
            self.change(change);
        }
        for piece in &self.list {
            self.source.write(piece.at, &piece.bytes);
        }
        self.source
    }

    /// Makes one change, of a kind that parsers often handle wrongly.
    fn change(&mut self, change: &[u8; CHANGE]) {
        let mut input = Input::new(change);
        let place = |pieces: &[Piece], input: &mut Input<'_>| {
            let piece = input.below(pieces.len());
            (piece, usize::from(input.word()) % pieces[piece].used.max(1))
        };
        if self.list.is_empty() {
            return;
        }
        let (piece, at) = place(&self.list, &mut input);
        let kind = input.byte() & 0x7f;
        let value = [input.byte(), input.byte(), input.byte(), input.byte()];
        let width = [1, 2, 4, 8][usize::from(kind / 8) % 4].min(self.list[piece].bytes.len() - at);
        let (from, from_at) = place(&self.list, &mut Input::new(&value));
        let copied: Vec<u8> = self.list[from].bytes[from_at..].iter().take(width * 4).copied().collect();
        let bytes = &mut self.list[piece].bytes;
        let field = &mut bytes[at..at + width];
        match kind % 8 {
            0 => field[0] ^= value[0],
            1 => field.iter_mut().zip(value).for_each(|(to, from)| *to = from),
            2 => field.fill((value[0] & 1) * 0xff),
            // The largest signed number and the smallest.
            3 => {
                field.fill(0xff);
                field[width - 1] = 0x7f + (value[0] & 1);
            }
            4 => {
                field.fill(0);
                field[0] = value[0];
            }
            // A little more or less.
            5 => {
                let mut number = [0; 8];
                number[..width].copy_from_slice(field);
                let by = i64::from(i8::from_ne_bytes([value[0]]));
                let number = u64::from_le_bytes(number).wrapping_add_signed(by).to_le_bytes();
                field.copy_from_slice(&number[..width]);
            }
            // Bytes that are valid elsewhere.
            6 => bytes[at..].iter_mut().zip(copied).for_each(|(to, from)| *to = from),
            _ => {
                let end = (at + usize::from(value[0])).min(bytes.len());
                bytes[at..end].fill(value[1]);
            }
        }
    }
}
