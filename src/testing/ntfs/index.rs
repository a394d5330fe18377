//! Indexes: of names in directories, of ids in `$Secure`; in the root alone, or as a tree of blocks.

use super::{
    attribute::{Attribute, BITMAP, INDEX_ALLOCATION, INDEX_ROOT, Stored},
    volume::Writer,
};
use crate::testing::{fields::Fields, pieces::Seal};

/// Kind of an index: the attribute that it indexes, and the rule of its order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) indexed: usize,
    pub(super) collation: usize,
}

pub(super) const NAMES: Kind = Kind { name: "$I30", indexed: 0x30, collation: 1 };
pub(super) const SII: Kind = Kind { name: "$SII", indexed: 0, collation: 0x10 };
pub(super) const SDH: Kind = Kind { name: "$SDH", indexed: 0, collation: 0x12 };

/// An entry without its child.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// A file reference; in view indexes, where the data lies.
    pub(super) head: [u8; 8],
    pub(super) key: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Entry {
    pub(super) fn name(reference: u64, key: Vec<u8>) -> Self {
        Self { head: reference.to_le_bytes(), key, data: Vec::new() }
    }

    pub(super) fn view(key: Vec<u8>, data: Vec<u8>) -> Self {
        let head = Fields::default().word(16 + key.len()).word(data.len()).to(8).0;
        Self { head: *head.first_chunk().expect("eight bytes"), key, data }
    }

    fn encode(&self, child: Option<u64>, last: bool) -> Vec<u8> {
        let body = 16 + self.key.len() + self.data.len();
        let len = body.next_multiple_of(8) + child.map_or(0, |_| 8);
        let entry = Fields::default()
            .bytes(&self.head)
            .word(len)
            .word(self.key.len())
            .word(usize::from(child.is_some()) | usize::from(last) << 1)
            .word(0)
            .bytes(&self.key)
            .bytes(&self.data)
            .aligned();
        child.map_or(entry.clone(), |child| entry.quad(child)).done()
    }

    fn end(child: Option<u64>) -> Vec<u8> {
        Self { head: [0; 8], key: Vec::new(), data: Vec::new() }.encode(child, true)
    }
}

/// Blocks of an index so far.
#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl Writer<'_, '_> {
    /// The attributes of an index with these entries, which are in order. `levels` of blocks below the root.
    pub(super) fn index(
        &mut self,
        kind: Kind,
        entries: &[Entry],
        levels: usize,
        per_block: usize,
    ) -> Vec<Attribute> {
        let mut blocks = Blocks::default();
        let node = self.index_node(entries, levels, per_block, entries.len().div_ceil(3), &mut blocks);
        let root = Fields::default().long(kind.indexed).long(kind.collation).long(self.index_block);
        let unit = self.vcn_size();
        let clusters = u8::try_from(self.index_block as u64 / unit).unwrap_or(1);
        let root =
            root.byte(clusters.into()).to(16).bytes(&index_header(&node, 16, levels > 0)).bytes(&node).done();
        let mut attributes = vec![Attribute::resident(INDEX_ROOT, kind.name, &root)];
        if levels > 0 {
            let size = (blocks.0.len() * self.index_block) as u64;
            let runs = self.space.take_pieces(self.input, size.div_ceil(self.cluster), self.block_clusters());
            for (index, block) in blocks.0.into_iter().enumerate() {
                let at = self.place(&runs, (index * self.index_block) as u64);
                self.pieces.structure(at, block, Seal::UpdateSequence(BLOCK_ARRAY));
            }
            let count = usize::try_from(size).expect("small") / self.index_block;
            let value = Stored { runs, size, valid: size, ..Stored::default() };
            attributes.extend(Attribute::stored(
                INDEX_ALLOCATION,
                kind.name,
                &value,
                self.cluster,
                usize::MAX,
            ));
            let bitmap = u64::MAX >> (64 - count.clamp(1, 64));
            attributes.push(Attribute::resident(BITMAP, kind.name, &bitmap.to_le_bytes()));
        }
        attributes
    }

    /// Clusters of a block, at least one.
    fn block_clusters(&self) -> u64 {
        (self.index_block as u64 / self.cluster).max(1)
    }

    fn vcn_size(&self) -> u64 {
        if self.cluster <= self.index_block as u64 { self.cluster } else { 512 }
    }

    /// The entries of a node, after its children became blocks. `least` entries below each of its own: a root holds few.
    fn index_node(
        &mut self,
        entries: &[Entry],
        levels: usize,
        per_block: usize,
        least: usize,
        blocks: &mut Blocks,
    ) -> Vec<u8> {
        if levels == 0 {
            return entries
                .iter()
                .flat_map(|entry| entry.encode(None, false))
                .chain(Entry::end(None))
                .collect();
        }
        let mut node = Vec::new();
        // As many entries below each separator as a block is to hold.
        let mut rest = entries;
        loop {
            let below = per_block.max(1).pow(u32::try_from(levels).expect("few")).max(least).min(rest.len());
            let (children, later) = rest.split_at(below);
            let child = self.block(children, levels - 1, per_block, blocks);
            match later.split_first() {
                Some((separator, later)) if blocks.0.len() < 60 => {
                    node.extend(separator.encode(Some(child), false));
                    rest = later;
                }
                _ => {
                    node.extend(Entry::end(Some(child)));
                    return node;
                }
            }
        }
    }

    /// Adds a block and returns its VCN.
    fn block(&mut self, entries: &[Entry], levels: usize, per_block: usize, blocks: &mut Blocks) -> u64 {
        let number = blocks.0.len();
        blocks.0.push(Vec::new());
        let node = self.index_node(entries, levels, per_block, 1, blocks);
        let vcn = number as u64 * (self.index_block as u64 / self.vcn_size());
        let array = self.index_block / 512 + 1;
        let first = (BLOCK_ARRAY + 2 * array).next_multiple_of(8) - 24;
        let block = Fields::default()
            .bytes(b"INDX")
            .word(BLOCK_ARRAY)
            .word(array)
            .quad(0)
            .quad(vcn)
            .bytes(&index_header(&node, first, levels > 0))
            .to(24 + first)
            .bytes(&node)
            .to(self.index_block)
            .done();
        assert!(block.len() == self.index_block, "too many entries in a block");
        blocks.0[number] = block;
        vcn
    }
}

/// Offset of the update sequence array in a block.
const BLOCK_ARRAY: usize = 40;

fn index_header(node: &[u8], first: usize, has_children: bool) -> Vec<u8> {
    let len = first + node.len();
    Fields::default().long(first).long(len).long(len).byte(usize::from(has_children)).to(16).done()
}
