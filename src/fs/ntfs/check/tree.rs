//! A walk over an index from its root to its last block in key order, for directories and view indexes alike. Guards: the
//! depth is bounded; each block is entered once; all indexes together read no more blocks than the volume has room for.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};

use super::bits::Bits;
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    error,
    fs::{
        ntfs::{
            attributes::code,
            fixup,
            index::{Entries, IndexBlock, IndexEntry, IndexRoot},
            records::file::{File, Place},
            volume::boot::BootSector,
        },
        runs::RunSource,
    },
};

/// Maximum length of the root, which is resident and therefore never larger than a record.
const MAX_ROOT: usize = 64 << 10;
/// The same bounds as for file records.
const BLOCK_SIZES: RangeInclusive<u64> = 512..=64 << 10;
/// Maximum depth: a B+tree of blocks with at least two entries each would hold 2^32 keys in fewer levels.
const MAX_DEPTH: usize = 32;
/// Maximum number of blocks: at 4 KiB, an index of 256 GiB.
const MAX_BLOCKS: u64 = 1 << 26;
/// Contiguous blocks are read together up to this length, for indexes that stay in memory as a whole.
const PIECE: u64 = 64 << 10;
const PIECES: usize = 64;

/// An open index.
pub(super) struct Tree {
    root: Vec<u8>,
    block_size: u64,
    /// Unit of the VCNs by which entries refer to blocks.
    vcn_size: u64,
    blocks: Option<RunSource>,
    bitmap: Option<Bits>,
    /// Bitmap of the entered blocks, as sparse words: a large hole takes no memory.
    seen: BTreeMap<u64, u64>,
    pieces: VecDeque<(u64, Vec<u8>)>,
}

/// An event of the walk.
pub(super) enum Event<'a> {
    Entry(&'a IndexEntry<'a>),
    /// A part of the index that cannot be entered.
    Damage(Error),
    /// Number of blocks in the tree that the index's bitmap marks as free.
    Unmarked(u64),
    /// Number of blocks that the bitmap marks as used, although no entry leads to them.
    Stray(u64),
}

type Sink<'s> = dyn FnMut(Event<'_>) + 's;

impl Tree {
    /// Opens the index with this name; `None` if the file has none.
    pub(super) fn open(
        file: &File<'_>,
        boot: &BootSector,
        volume: &Arc<dyn ByteSource>,
        name: &[u16],
    ) -> Result<Option<Self>> {
        let Some(root) = file.bytes(code::INDEX_ROOT, name, MAX_ROOT)? else { return Ok(None) };
        let block_size = u64::from(IndexRoot::parse(&root)?.index_block_size());
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            return Err(file.base.corrupt(format!("index blocks of {block_size} bytes")));
        }
        let vcn_size = if boot.cluster_size <= block_size { boot.cluster_size } else { 512 };
        let blocks = match file.value(code::INDEX_ALLOCATION, name)? {
            None => None,
            Some(value) => match value.place {
                Place::Clusters(runs) if runs.allocated() <= volume.size() => {
                    Some(RunSource::new(volume.clone(), runs, value.size, value.valid))
                }
                _ => {
                    return Err(file.base.corrupt("$INDEX_ALLOCATION is resident or larger than the volume"));
                }
            },
        };
        let bitmap = match &blocks {
            Some(_) => file.source(code::BITMAP, name)?.map(Bits::new),
            None => None,
        };
        let count = blocks.as_ref().map_or(0, |blocks| blocks.size() / block_size);
        if count > MAX_BLOCKS || blocks.as_ref().is_some_and(|blocks| blocks.size() > blocks.runs().len()) {
            return Err(file.base.corrupt(format!("an index of {count} blocks")));
        }
        let (seen, pieces) = (BTreeMap::new(), VecDeque::new());
        Ok(Some(Self { root, block_size, vcn_size, blocks, bitmap, seen, pieces }))
    }

    /// The collation rule of its keys.
    pub(super) fn collation_rule(&self) -> u32 {
        IndexRoot::parse(&self.root).map_or(u32::MAX, |root| root.collation_rule())
    }

    /// Walks over all entries in order. `left`: number of bytes of blocks that may still be read.
    pub(super) fn walk(&mut self, left: &mut u64, sink: &mut Sink<'_>) {
        let root = std::mem::take(&mut self.root);
        let mut damaged = false;
        let mut watch = |event: Event<'_>| {
            damaged |= matches!(event, Event::Damage(_));
            sink(event);
        };
        match IndexRoot::parse(&root) {
            Ok(node) => self.node(node.entries(), 0, left, &mut watch),
            Err(error) => watch(Event::Damage(error)),
        }
        self.root = root;
        // The blocks below a damaged one are unknown.
        if !damaged {
            self.compare_bitmap(sink);
        }
    }

    fn node(&mut self, entries: Entries<'_>, depth: usize, left: &mut u64, sink: &mut Sink<'_>) {
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return sink(Event::Damage(error)),
            };
            if let Some(vcn) = entry.child_vcn
                && let Err(error) = self.child(vcn, depth, left, sink)
            {
                sink(Event::Damage(error));
            }
            if !entry.last {
                sink(Event::Entry(&entry));
            }
        }
    }

    fn child(&mut self, vcn: u64, depth: usize, left: &mut u64, sink: &mut Sink<'_>) -> Result<()> {
        let corrupt = |problem: &'static str| Error::corrupt("index", error::Place::Vcn(vcn), problem);
        let start = vcn.checked_mul(self.vcn_size).filter(|start| start % self.block_size == 0);
        let start = start.ok_or_else(|| corrupt("a child between two blocks"))?;
        let index = start / self.block_size;
        if index >= self.blocks.as_ref().map_or(0, |blocks| blocks.size() / self.block_size) {
            return Err(corrupt("a child beyond its blocks"));
        }
        let (place, bit) = (self.seen.entry(index / 64).or_default(), 1 << (index % 64));
        if *place & bit != 0 {
            return Err(corrupt("a block is in it twice"));
        }
        *place |= bit;
        if depth >= MAX_DEPTH {
            return Err(corrupt("too many levels"));
        }
        *left =
            left.checked_sub(self.block_size).ok_or_else(|| corrupt("more blocks than the volume has"))?;
        let bytes = self.block(start)?;
        let block = IndexBlock::parse(&bytes)?;
        if block.vcn() != vcn {
            return Err(Error::corrupt(
                "index block",
                error::Place::Byte(start),
                format!("states VCN {:#x}", block.vcn()),
            ));
        }
        self.node(block.entries(), depth + 1, left, sink);
        Ok(())
    }

    /// The block at byte `start`, after its fixup.
    fn block(&mut self, start: u64) -> Result<Vec<u8>> {
        let blocks = self
            .blocks
            .as_ref()
            .ok_or_else(|| Error::corrupt("index", error::Place::Byte(start), "has no blocks"))?;
        let size = usize::try_from(self.block_size).expect("at most 64 KiB");
        let small = blocks.size() <= PIECE * PIECES as u64;
        let piece_size = if small { PIECE } else { self.block_size };
        let piece = start / piece_size * piece_size;
        let within = usize::try_from(start - piece).expect("at most 64 KiB");
        if !self.pieces.iter().any(|(at, _)| *at == piece) {
            let len = usize::try_from(piece_size.min(blocks.size().saturating_sub(piece))).expect("64 KiB");
            if let Ok(bytes) = read_vec(blocks, piece, len) {
                self.pieces.truncate(PIECES - 1);
                self.pieces.push_front((piece, bytes));
            }
        }
        let cached = self.pieces.iter().find(|(at, _)| *at == piece);
        let mut bytes = match cached.and_then(|(_, bytes)| bytes.get(within..within + size)) {
            Some(bytes) => bytes.to_vec(),
            None => read_vec(blocks, start, size)?,
        };
        if bytes.starts_with(b"INDX") {
            fixup::apply(&mut bytes, "index block", error::Place::Byte(start))?;
        }
        Ok(bytes)
    }

    fn compare_bitmap(&mut self, sink: &mut Sink<'_>) {
        let Some(bitmap) = &mut self.bitmap else { return };
        let count = self.blocks.as_ref().map_or(0, |blocks| blocks.size() / self.block_size);
        let (mut unmarked, mut both) = (0_u64, 0_u64);
        for (word, seen) in &self.seen {
            // Beyond its end no block is marked.
            let (marked, read) = bitmap.word(word * 64);
            unmarked += u64::from((seen & !(marked & read)).count_ones());
            both += u64::from((seen & marked & read).count_ones());
        }
        let stray = bitmap.count(0..count).0.saturating_sub(both);
        if unmarked > 0 {
            sink(Event::Unmarked(unmarked));
        }
        if stray > 0 {
            sink(Event::Stray(stray));
        }
    }
}
