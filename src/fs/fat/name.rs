//! Names: the short one in the OEM code page with its case bits, and the long one in pieces of 13 UTF-16 units in the slots
//! before it, in reverse order, tied to it by a checksum.

use super::{
    codepage::Decoder,
    format::{LongEntry, ShortEntry, slot},
};

/// No driver can store more than 255 units, though 20 pieces would hold 260.
pub(super) const MAX_LONG_NAME: usize = 255;

const UNITS_PER_PIECE: usize = 13;
const LAST_LONG_ENTRY: u8 = 0x40;
pub(super) const MAX_PIECES: usize = 20;

/// `ShortEntry::nt_res`: Windows NT displays the base name or the extension in lower case, without storing a long name.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// Appends the short name (`README.TXT`), with the case bits of the entry applied if `nt_case`.
pub(super) fn push_short(entry: &ShortEntry, decoder: &Decoder, nt_case: bool, out: &mut Vec<u16>) {
    let mut raw = entry.name;
    if raw[0] == slot::ESCAPED_E5 {
        raw[0] = 0xe5;
    }
    let (base, extension) = raw.split_at(8);
    let mut push = |part: &[u8], lower: bool| {
        let len = part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        let case = |unit| if lower { lower_case(unit) } else { unit };
        out.extend(part[..len].iter().map(|byte| case(decoder.unit(*byte))));
        len
    };
    push(base, nt_case && entry.nt_res & LOWER_BASE != 0);
    if extension.iter().any(|byte| *byte != b' ') {
        push(b".", false);
        push(extension, nt_case && entry.nt_res & LOWER_EXTENSION != 0);
    }
}

/// The label of the volume: 11 characters without a dot.
pub(super) fn label(raw: &[u8; 11], decoder: &Decoder) -> String {
    let mut raw = *raw;
    if raw[0] == slot::ESCAPED_E5 {
        raw[0] = 0xe5;
    }
    let units: Vec<u16> = raw.iter().map(|byte| decoder.unit(*byte)).collect();
    String::from_utf16_lossy(&units).trim_end_matches([' ', '\0']).to_owned()
}

/// The checksum of a short name that each piece of its long name repeats.
fn checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Recovers the first byte of a deleted short name from the checksum in its long name: each byte gives a different sum.
/// `None`: no valid byte gives this sum, so the long name belongs to another file.
fn first_byte(name: &[u8; 11], sum: u8) -> Option<u8> {
    let is =
        |first: &u8| checksum(&[&[*first][..], &name[1..]].concat().try_into().expect("11 bytes")) == sum;
    (0..=u8::MAX).find(is).filter(|first| is_legal(*first) && *first != b' ')
}

/// True for a byte that is valid in a short name, upper case or not.
pub(super) fn is_legal(byte: u8) -> bool {
    (byte >= b' ' || byte == slot::ESCAPED_E5) && !b"\"*+,./:;<=>?[\\]|\x7f".contains(&byte)
}

/// The name of a deleted entry: the long one of the deleted slots before it (in their order on disk), if its checksum fits,
/// else the short one with `_` for its lost first byte.
pub(super) fn deleted(entry: &ShortEntry, pieces: &[LongEntry], decoder: &Decoder) -> Vec<u16> {
    let sum = pieces.last().map(|piece| piece.chksum).filter(|sum| first_byte(&entry.name, *sum).is_some());
    let mut long = of_pieces(pieces, sum);
    if (1..=MAX_LONG_NAME).contains(&long.len()) {
        return long;
    }
    long.clear();
    let mut entry = *entry;
    entry.name[0] = b'_';
    push_short(&entry, decoder, true, &mut long);
    long
}

/// The long name of deleted slots (in their order on disk), as far as they have this checksum.
pub(super) fn of_pieces(pieces: &[LongEntry], sum: Option<u8>) -> Vec<u16> {
    let mut long = Vec::new();
    // The slot nearest to the entry holds the beginning of the name.
    for piece in pieces.iter().rev().take_while(|piece| Some(piece.chksum) == sum).take(MAX_PIECES) {
        let units = piece.name1.iter().chain(&piece.name2).chain(&piece.name3).map(|unit| unit.get());
        let before = long.len();
        long.extend(units.take_while(|unit| *unit != 0 && *unit != 0xffff));
        if long.len() - before < UNITS_PER_PIECE {
            break;
        }
    }
    long
}

/// Collects the pieces of a long name.
#[derive(Debug)]
pub(super) struct Assembler {
    units: [u16; UNITS_PER_PIECE * MAX_PIECES],
    pieces: u8,
    /// Sequence number of the latest piece; 1 when complete, 0 when empty.
    at: u8,
    checksum: u8,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self { units: [0; UNITS_PER_PIECE * MAX_PIECES], pieces: 0, at: 0, checksum: 0 }
    }

    /// Discards the collected pieces, which have no short entry.
    pub(super) fn clear(&mut self) {
        self.at = 0;
    }

    /// Adds the next slot. One out of sequence discards all pieces before it.
    pub(super) fn add(&mut self, entry: &LongEntry) {
        let number = entry.ord & !LAST_LONG_ENTRY;
        if entry.ord & LAST_LONG_ENTRY != 0 && (1..=MAX_PIECES).contains(&number.into()) {
            (self.pieces, self.checksum) = (number, entry.chksum);
        } else if self.at < 2 || number != self.at - 1 || entry.chksum != self.checksum {
            self.clear();
            return;
        }
        self.at = number;
        let start = UNITS_PER_PIECE * usize::from(number - 1);
        let units = entry.name1.iter().chain(&entry.name2).chain(&entry.name3);
        self.units[start..].iter_mut().zip(units).for_each(|(to, unit)| *to = unit.get());
    }

    /// The long name, if all its pieces are present and its checksum fits this short name.
    pub(super) fn finish(&self, entry: &ShortEntry) -> Option<&[u16]> {
        if self.at != 1 || self.checksum != checksum(&entry.name) {
            return None;
        }
        let units = &self.units[..UNITS_PER_PIECE * usize::from(self.pieces)];
        let name = &units[..units.iter().position(|unit| *unit == 0).unwrap_or(units.len())];
        (1..=MAX_LONG_NAME).contains(&name.len()).then_some(name)
    }
}

/// Upper case of a unit, if that is a single unit (Unicode's simple mapping); names are compared by it.
pub(super) fn fold(unit: u16) -> u16 {
    match unit {
        0..0x80 => u16::from(unit.to_le_bytes()[0].to_ascii_uppercase()),
        _ => char::from_u32(unit.into()).map_or(unit, |c| single_unit(c.to_uppercase(), unit)),
    }
}

fn lower_case(unit: u16) -> u16 {
    char::from_u32(unit.into()).map_or(unit, |c| single_unit(c.to_lowercase(), unit))
}

fn single_unit(mut mapped: impl Iterator<Item = char>, unit: u16) -> u16 {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => u16::try_from(u32::from(c)).unwrap_or(unit),
        _ => unit,
    }
}

/// True if two names differ at most in case.
pub(super) fn equal_folded(a: &[u16], b: &[u16]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || fold(*a) == fold(*b))
}
