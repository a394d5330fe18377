//! Slots of directories: short entries, and the pieces of long names before them.

use crate::testing::fields::Fields;

/// A file, a directory or the label.
pub(super) struct Short {
    pub(super) name: [u8; 11],
    pub(super) attributes: usize,
    pub(super) first: u32,
    pub(super) size: usize,
}

impl Short {
    pub(super) fn encode(&self) -> Vec<u8> {
        let [a, b, c, d] = self.first.to_le_bytes();
        // 2020-01-01.
        const DATE: usize = 40 << 9 | 1 << 5 | 1;
        Fields::default()
            .bytes(&self.name)
            .byte(self.attributes)
            .to(16)
            .word(DATE)
            .word(DATE)
            .bytes(&[c, d])
            .word(0)
            .word(DATE)
            .bytes(&[a, b])
            .long(self.size)
            .done()
    }
}

/// The slots of a long name in disk order, the last piece first.
pub(super) fn long(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let checksum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().next_multiple_of(13), 0xffff);
    }
    let count = units.len() / 13;
    let slot = |(index, piece): (usize, &[u16])| {
        let bytes: Vec<u8> = piece.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let number = index + 1 + if index + 1 == count { 0x40 } else { 0 };
        let slot =
            Fields::default().byte(number).bytes(&bytes[..10]).byte(0x0f).byte(0).byte(checksum.into());
        slot.bytes(&bytes[10..22]).word(0).bytes(&bytes[22..]).done()
    };
    units.chunks(13).enumerate().collect::<Vec<_>>().into_iter().rev().flat_map(slot).collect()
}
