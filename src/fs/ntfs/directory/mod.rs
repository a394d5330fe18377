//! Directories: the `$I30` index over file names. A lookup descends the B+tree; a listing walks the root's entries and then
//! the index blocks in disk order, by the index bitmap, so that no damage can make it loop. Where the tree is damaged, a map
//! of the listed names replaces it. Guards: depth and number of blocks of a descent; the allocated clusters of the index
//! bound the blocks that a listing visits.

mod entered;
mod expect;
mod name_map;
mod search;
mod used;

use std::{
    cell::{Cell, RefCell},
    ops::{ControlFlow, RangeInclusive},
    sync::{Arc, atomic::AtomicBool},
};

pub(super) use {
    name_map::{NAME_MAP_BUDGET, NameMap},
    used::UsedBlocks,
};

use super::{
    Ntfs,
    attributes::{
        I30, code,
        file_name::{FileName, MAX_NAME, Namespace},
        reference::FileReference,
        standard_information::ATTRIBUTE_HIDDEN,
    },
    fixup,
    index::{Entries, IndexBlock, IndexEntry, IndexRoot},
    nodes::{interix, node::Node},
    records::{
        file::{File, Place},
        number,
    },
};
use crate::{
    Error, Result,
    bytes::{Buffer, ByteSource, read_vec},
    error,
    fs::{DirCursor, DirEntry, FileSystem, Name, NodeId, NodeKind, reach, runs::RunSource},
};

/// Maximum length of the root, which is resident and therefore never larger than a record.
const MAX_ROOT: usize = 64 << 10;
/// The same bounds as for file records.
const BLOCK_SIZES: RangeInclusive<u64> = 512..=64 << 10;
/// Number of damaged blocks after which a listing ends: a whole index of them must not be read in vain.
const MAX_BAD_BLOCKS: usize = 256;
/// Number of blocks in use without an entry that a listing skips, and one more for each block with entries: drivers free a
/// block with its last entry, and any number of hostile directories can share the same empty ones.
const MAX_EMPTY_BLOCKS: usize = 1024;
/// Bytes of index blocks per read of a listing.
pub(super) const READ_AHEAD: u64 = 64 << 10;
/// Number of cursor bits for the offset in a block; the bits above are 0 for the root or 1 + the block number.
const OFFSET_BITS: u32 = 17;
/// Upper bound of blocks, more than the largest volume (2^32 clusters of 2 MiB) has room for. Block numbers fit into a
/// cursor: one that wrapped would restart the listing, endlessly.
const MAX_BLOCKS: u64 = 1 << 44;

/// An open directory index.
pub(super) struct Directory {
    pub(super) record: u64,
    pub(super) sequence: u16,
    root: Vec<u8>,
    block_size: u64,
    /// Unit of the VCNs by which entries refer to blocks.
    vcn_size: u64,
    blocks: Option<RunSource>,
    /// One bit per block; `None`: every block is in use.
    bitmap: Option<Arc<dyn ByteSource>>,
    /// True after a descent failed: lookups ask the map of names first.
    damaged: AtomicBool,
}

impl Directory {
    pub(super) fn open(file: &File<'_>, ntfs: &Ntfs) -> Result<Self> {
        let root = file.bytes(code::INDEX_ROOT, I30, MAX_ROOT)?;
        let record = file.base.number;
        let root = root.ok_or_else(|| Error::invalid(format!("MFT record {record} is no directory")))?;
        let boot = &ntfs.mft.boot;
        let stated = IndexRoot::parse(&root).ok().map(|root| u64::from(root.index_block_size()));
        let block_size = stated.filter(|size| size.is_power_of_two() && BLOCK_SIZES.contains(size));
        let block_size = block_size.unwrap_or(boot.index_block_size);
        // The VCNs of blocks smaller than a cluster count units of 512 bytes.
        let vcn_size = if boot.cluster_size <= block_size { boot.cluster_size } else { 512 };
        let blocks = match file.value(code::INDEX_ALLOCATION, I30)? {
            Some(value) => match value.place {
                Place::Clusters(runs) if runs.allocated() <= ntfs.mft.volume.size() => {
                    Some(RunSource::new(ntfs.mft.volume.clone(), runs, value.size, value.valid))
                }
                _ => {
                    return Err(file.base.corrupt("$INDEX_ALLOCATION is resident or larger than the volume"));
                }
            },
            None => None,
        };
        let bitmap = if blocks.is_some() { file.source(code::BITMAP, I30)? } else { None };
        let sequence = file.base.header.sequence_number;
        let damaged = AtomicBool::new(false);
        Ok(Self { record, sequence, root, block_size, vcn_size, blocks, bitmap, damaged })
    }

    fn memory(&self) -> usize {
        let runs = self.blocks.as_ref().map_or(0, |blocks| blocks.runs().memory());
        size_of::<Self>() + self.root.len() + runs
    }

    /// Lists the entries from a cursor on.
    pub(super) fn list(
        &self,
        ntfs: &Ntfs,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut known = ntfs.stats.known();
        self.walk(ntfs, from, &mut |entry, next| {
            let file_name = entry.file_name()?;
            let Some(node) = Node::file(entry.file_reference.record()) else {
                return Ok(ControlFlow::Continue(()));
            };
            // The root has an entry `.` for itself.
            let hidden = file_name.namespace() == Namespace::Dos
                || node.0 == self.record
                || node.0 < number::FIRST_USER && !ntfs.options.show_system
                || file_name.attributes() & ATTRIBUTE_HIDDEN != 0 && ntfs.options.hide_hidden;
            if hidden {
                return Ok(ControlFlow::Continue(()));
            }
            let name = &mut [0; MAX_NAME];
            let name = Name(file_name.name(name));
            let kind = ntfs.entry_kind(node, &file_name);
            let by_name = file_name.is_directory() || kind == NodeKind::Symlink;
            let stat = if by_name { ntfs.stats.record(node.0) } else { known.record(node.0) };
            let node = ntfs.entered_from(self, (node, stat), (name.units(), file_name.namespace()), by_name);
            Ok(sink(DirEntry { name, node, kind, next }))
        })
    }

    /// Calls `f` with each readable entry from the cursor on, and the cursor behind it. The first damage is returned at the
    /// end.
    pub(super) fn walk(
        &self,
        ntfs: &Ntfs,
        from: DirCursor,
        f: &mut dyn FnMut(&IndexEntry<'_>, DirCursor) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let first = from.0 >> OFFSET_BITS;
        let first_offset = usize::try_from(from.0 & ((1 << OFFSET_BITS) - 1)).expect("17 bits");
        let damage = RefCell::new(None);
        let useful = Cell::new(false);
        let note = |error: Error| {
            damage.borrow_mut().get_or_insert(error);
        };
        let mut visit = |place: u64, block: &Block| {
            let from = if place == first { first_offset } else { 0 };
            for entry in block.entries(self, from)? {
                let entry = entry?;
                // A cursor is one more than the offset of its entry, so that the next entry is the first at or after it.
                let next = DirCursor(place << OFFSET_BITS | (entry.offset as u64 + 1));
                if entry.last {
                    continue;
                }
                match f(&entry, next) {
                    Ok(ControlFlow::Continue(())) => useful.set(true),
                    Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                    Err(error) => note(error),
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        // Also if the caller stops: it may not come back to the damaged place.
        let ended = || damage.take().map_or(Ok(()), Err);
        if first == 0 {
            match visit(0, &Block::Root) {
                Ok(ControlFlow::Break(())) => return ended(),
                Ok(ControlFlow::Continue(())) => {}
                Err(error) => note(error),
            }
        }
        let mut used = UsedBlocks::new(self, first.saturating_sub(1));
        let (mut bad, mut empty) = (0, 0_usize);
        // Without its bitmap the blocks in use are unknown: an error of the bitmap ends the walk.
        while let Some(index) = used.next()? {
            // After a bad block, no further ones are read ahead, which might be read in vain again.
            let ahead = if bad > 0 { 0 } else { READ_AHEAD };
            let block = self.block(ntfs, index, ahead);
            useful.set(false);
            match block.and_then(|bytes| visit(index + 1, &Block::Index(bytes))) {
                Ok(ControlFlow::Break(())) => return ended(),
                Ok(ControlFlow::Continue(())) => {}
                Err(error) => {
                    note(error);
                    bad += 1;
                    if bad == MAX_BAD_BLOCKS {
                        break;
                    }
                }
            }
            empty = if useful.get() { empty.saturating_sub(1) } else { empty + 1 };
            if empty > MAX_EMPTY_BLOCKS {
                let problem = "more blocks without a name than with one";
                note(Error::corrupt("index", error::Place::Record(self.record), problem));
                break;
            }
        }
        ended()
    }

    /// Bytes allocated on the volume for its index blocks.
    pub(super) fn allocated(&self) -> u64 {
        self.blocks.as_ref().map_or(0, |blocks| blocks.runs().allocated())
    }

    /// True if the index has blocks besides the root.
    pub(super) fn has_blocks(&self) -> bool {
        self.blocks.is_some()
    }

    /// The approximate number of entries, from the size of the blocks.
    pub(super) fn about_entries(&self) -> u64 {
        /// An entry with a name of 15 units, and some free space.
        const ENTRY: u64 = 128;
        self.blocks.as_ref().map_or(0, |blocks| blocks.size() / ENTRY)
    }

    /// The number of blocks in `bytes` bytes; at least 1.
    pub(super) fn blocks_in(&self, bytes: u64) -> u64 {
        (bytes / self.block_size).max(1)
    }

    /// An index block after its fixup, cached. `ahead` is the length of contiguous blocks to read with it.
    pub(super) fn block(&self, ntfs: &Ntfs, index: u64, ahead: u64) -> Result<Arc<Buffer>> {
        if let Some(bytes) = ntfs.blocks.get(&(self.record, index)) {
            return Ok(bytes);
        }
        let outside = || {
            let place = index.checked_mul(self.block_size).map(error::Place::Byte);
            Error::corrupt("index block", place, "lies outside of the index")
        };
        let blocks = self.blocks.as_ref().ok_or_else(outside)?;
        let start = index.checked_mul(self.block_size).filter(|start| *start < blocks.size());
        let start = start.ok_or_else(outside)?;
        let size = usize::try_from(self.block_size).expect("at most 64 KiB");
        // Only contiguous blocks, so that a bad cluster further on does not make this block unreadable.
        let together = blocks.runs().find(start).map_or(0, |(_, len)| len).min(blocks.size() - start);
        let len = usize::try_from(together.min(ahead)).expect("at most READ_AHEAD");
        let len = (len / size * size).max(size);
        let buffers = &ntfs.block_buffers;
        let mut wanted = buffers.take(size);
        match if len > size { read_vec(blocks, start, len).ok() } else { None } {
            None => blocks.read_exact_at(start, &mut wanted)?,
            Some(bytes) => {
                let mut chunks = bytes.chunks_exact(size).zip(index..);
                wanted.copy_from_slice(chunks.next().ok_or_else(outside)?.0);
                for (chunk, index) in chunks {
                    let mut block = buffers.take(size);
                    block.copy_from_slice(chunk);
                    // Errors in blocks that were read ahead are ignored: they may be unused.
                    if self.fix(&mut block, index * self.block_size).is_ok() {
                        let memory = block.memory();
                        ntfs.blocks.put((self.record, index), Arc::new(block), memory);
                    }
                }
            }
        }
        self.fix(&mut wanted, start)?;
        let memory = wanted.memory();
        let wanted = Arc::new(wanted);
        ntfs.blocks.put((self.record, index), wanted.clone(), memory);
        Ok(wanted)
    }

    /// Applies the fixup of the block at byte `start` of the index, and checks the VCN that it states.
    fn fix(&self, bytes: &mut [u8], start: u64) -> Result<()> {
        if bytes.starts_with(b"INDX") {
            fixup::apply(bytes, "index block", error::Place::Byte(start))?;
        }
        let vcn = IndexBlock::parse(bytes)?.vcn();
        let corrupt = |problem: String| Error::corrupt("index block", error::Place::Byte(start), problem);
        if vcn != start / self.vcn_size {
            return Err(corrupt(format!("states VCN {vcn:#x}")));
        }
        match self.other_owner(bytes)? {
            Some(other) => Err(corrupt(format!("has names of MFT record {other} alone"))),
            None => Ok(()),
        }
    }

    /// The owning directory of a block, if it is another one: each entry names its directory. Otherwise directories that
    /// share all their clusters would list the product of their number and the stored entries.
    fn other_owner(&self, bytes: &[u8]) -> Result<Option<u64>> {
        let mut other = None;
        for entry in IndexBlock::parse(bytes)?.entries().map_while(Result::ok).filter(|entry| !entry.last) {
            match entry.file_name().map(|name| name.parent().record()) {
                Ok(parent) if parent == self.record => return Ok(None),
                parent => other = other.or(parent.ok()),
            }
        }
        Ok(other)
    }
}

/// An entry that a lookup found.
pub(super) struct Hit {
    pub(super) reference: FileReference,
    /// The name in the entry's own case.
    name: Vec<u16>,
    namespace: Namespace,
}

impl Hit {
    fn new(reference: FileReference, units: &[u16], name: &FileName<'_>) -> Self {
        Self { reference, name: units.to_vec(), namespace: name.namespace() }
    }
}

/// A node of the B+tree.
enum Block {
    Root,
    Index(Arc<Buffer>),
}

impl Block {
    fn entries<'a>(&'a self, directory: &'a Directory, from: usize) -> Result<Entries<'a>> {
        match self {
            Self::Root => Ok(IndexRoot::parse(&directory.root)?.entries_from(from)),
            Self::Index(bytes) => Ok(IndexBlock::parse(bytes)?.entries_from(from)),
        }
    }
}

impl Ntfs {
    /// The index of a directory, cached.
    pub(super) fn directory(&self, dir: NodeId) -> Result<Arc<Directory>> {
        let node = Node::from(dir);
        if node.ordinal != 0 {
            return Err(Error::invalid("a stream is no directory"));
        }
        if dir.0 & reach::MISPLACED != 0 {
            return Err(self.misplaced(node.record));
        }
        self.directories.get_or_load(node.record, || {
            let directory = Directory::open(&self.file(node.record)?, self)?;
            let memory = directory.memory();
            Ok((Arc::new(directory), memory))
        })
    }

    /// The type of a file according to its entry. Only the file's own record identifies reparse points and special files.
    fn entry_kind(&self, node: NodeId, name: &FileName<'_>) -> NodeKind {
        let by_name = if name.is_directory() { NodeKind::Directory } else { NodeKind::File };
        if name.reparse_tag().is_none() && !interix::may_be(name.attributes(), name.data_size()) {
            return by_name;
        }
        self.stat(node).map_or(by_name, |stat| stat.kind)
    }
}
