//! Image files around a generated disk, from choices: VHD and VHDX, fixed, dynamic, and chains of differencing layers, over
//! which the disk's sectors are scattered. What an upper layer replaces, the layers below hold in an older version. Written
//! from the formats' descriptions, independently of the reader and of `container::create`.

#[cfg(test)]
mod tests;
mod vhd;
mod vhdx;

use std::collections::BTreeMap;

use super::{Input, Pieces};
use crate::bytes::{ByteSource, testing::Sparse};

/// Bytes of an input that [`chain`] reads.
pub const CHOICES: usize = 7;
/// Most layers of a chain.
const MAX_LAYERS: usize = 4;
const SECTOR: u64 = 512;
/// Blocks of a layer: more would only make longer tables.
const MAX_BLOCKS: u64 = 1 << 12;
const MAX_VHD: u64 = 2040 << 30;

/// How one layer stores its part of the disk.
struct Layer {
    kind: Kind,
    size: u64,
    block_size: u64,
    /// What distinguishes it from the others of the chain; its parent's number is one less.
    number: u8,
    blocks: BTreeMap<u64, Block>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fixed,
    Dynamic,
    Differencing,
}

/// A block that is in the layer's file.
#[derive(Default)]
struct Block {
    /// Bytes by their offset in the block, in whole sectors.
    parts: Vec<(u64, Vec<u8>)>,
    /// All of it is this layer's: what has no bytes is zeros.
    is_whole: bool,
}

/// Puts a disk into image files, top first. All of them are sound.
pub fn chain(disk: &Sparse, input: &mut Input<'_>) -> Vec<Pieces> {
    let size = disk.size();
    let is_vhd = size <= MAX_VHD && input.once_in(2);
    let count = 1 + input.below(MAX_LAYERS);
    let is_fixed = input.once_in(4);
    // Sectors, pages, and blocks of either.
    let unit = input.pick(&[4096, 512, 64 << 10, 1 << 20, 16 << 20]);
    let seed = u64::from(input.byte());
    let smallest: u64 = if is_vhd { input.pick(&[2 << 20, 64 << 10, 512 << 10]) } else { 1 << 20 };
    let block_size = (smallest << input.below(3)).max(size.div_ceil(MAX_BLOCKS).next_power_of_two());
    let block_size = block_size.min(256 << 20);
    let layer = |index: usize| Layer {
        kind: match (index + 1 == count, is_fixed) {
            (false, _) => Kind::Differencing,
            (true, true) => Kind::Fixed,
            (true, false) => Kind::Dynamic,
        },
        size,
        block_size,
        number: u8::try_from(count - index).expect("few"),
        blocks: BTreeMap::new(),
    };
    let mut layers: Vec<Layer> = (0..count).map(layer).collect();
    for (at, bytes) in disk.pieces() {
        for (index, sectors) in bytes.chunks(usize::try_from(unit.min(4096)).expect("a page")).enumerate() {
            let at = at + index as u64 * unit.min(4096);
            // The layers below may have an older version, which must not be read.
            let number = mix((at / unit) ^ seed);
            let owner = usize::try_from(number % count as u64).expect("few");
            layers[owner].put(at, sectors.to_vec());
            for below in layers[owner + 1..].iter_mut().filter(|_| number & 0x100 != 0) {
                below.put(at, sectors.iter().map(|byte| !byte).collect());
            }
        }
    }
    // A block that one layer alone has is whole in it now and then.
    let mut holders: BTreeMap<u64, usize> = BTreeMap::new();
    let numbers = layers.iter().flat_map(|layer| layer.blocks.keys());
    numbers.for_each(|number| *holders.entry(*number).or_default() += 1);
    for (number, block) in layers.iter_mut().flat_map(|layer| &mut layer.blocks) {
        block.is_whole = holders[number] == 1 && mix(*number ^ seed) & 0x200 != 0;
    }
    layers.iter().map(|layer| if is_vhd { vhd::write(layer) } else { vhdx::write(layer) }).collect()
}

impl Layer {
    fn put(&mut self, at: u64, bytes: Vec<u8>) {
        let block = self.blocks.entry(at / self.block_size).or_default();
        block.parts.push((at % self.block_size, bytes));
    }

    /// Number of blocks of the disk.
    fn count(&self) -> u64 {
        self.size.div_ceil(self.block_size)
    }

    /// The blocks with their places in the order of the file, which is not that of the disk.
    fn placed(&self, first: u64, stride: u64) -> Vec<(u64, &Block, u64)> {
        let mut blocks: Vec<_> = self.blocks.iter().collect();
        blocks.sort_by_key(|(number, _)| mix(**number));
        let places = (0..).map(|index| first + index * stride);
        blocks.into_iter().zip(places).map(|((number, block), at)| (*number, block, at)).collect()
    }

    /// Identity of the layer, and of its parent.
    fn identity(&self) -> [u8; 16] {
        [self.number; 16]
    }

    fn parent(&self) -> [u8; 16] {
        [self.number - 1; 16]
    }
}

impl Block {
    /// The numbers of the sectors that are this layer's, where it is not whole.
    fn sectors(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().flat_map(|(at, bytes)| range(*at, bytes.len()))
    }
}

/// The sectors of some bytes of a block; the last one of a disk may be cut off.
fn range(at: u64, len: usize) -> std::ops::Range<u64> {
    at / SECTOR..(at + len as u64).div_ceil(SECTOR)
}

fn mix(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

/// Adds a table in pieces, leaving out those that `fill` alone makes up.
fn table(pieces: &mut Pieces, at: u64, bytes: &[u8]) {
    for (index, page) in bytes.chunks(512).enumerate() {
        // Compared at once: byte by byte it is most of a fuzz target's time.
        if *page != [0; 512][..page.len()] {
            pieces.structure(at + index as u64 * 512, page.to_vec(), super::Seal::None);
        }
    }
}
