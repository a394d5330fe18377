//! View indexes (`$SII`, `$O`): keys with data, searched from the root down. Guards: the depth of a descent is bounded, so
//! that blocks which refer to each other end it.

use std::{cmp::Ordering, ops::RangeInclusive, sync::Arc};

use super::{Entries, IndexBlock, IndexRoot};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    fs::ntfs::{attributes::code, fixup, records::file::File, volume::boot::BootSector},
};

/// Maximum length of the root, which is resident and therefore never larger than a record.
const MAX_ROOT: usize = 64 << 10;
const BLOCK_SIZES: RangeInclusive<u64> = 512..=64 << 10;
/// Maximum depth: a B+tree of blocks with at least two entries each would hold 2^32 keys in fewer levels.
const MAX_DEPTH: usize = 32;

/// An open view index.
pub(in super::super) struct View {
    root: Vec<u8>,
    block_size: u64,
    /// Unit of the VCNs by which entries refer to blocks.
    vcn_size: u64,
    blocks: Option<Arc<dyn ByteSource>>,
}

impl View {
    /// Opens the index with this name; `None` if the file has none.
    pub(in super::super) fn open(file: &File<'_>, boot: &BootSector, name: &[u16]) -> Result<Option<Self>> {
        let Some(root) = file.bytes(code::INDEX_ROOT, name, MAX_ROOT)? else { return Ok(None) };
        let block_size = u64::from(IndexRoot::parse(&root)?.index_block_size());
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            return Err(file.base.corrupt(format!("index blocks of {block_size} bytes")));
        }
        // The VCNs of blocks smaller than a cluster count units of 512 bytes.
        let vcn_size = if boot.cluster_size <= block_size { boot.cluster_size } else { 512 };
        let blocks = file.source(code::INDEX_ALLOCATION, name)?;
        Ok(Some(Self { root, block_size, vcn_size, blocks }))
    }

    /// The data of the key for which `order` (the order of an index key relative to the wanted one) is `Equal`.
    pub(in super::super) fn find(&self, order: &dyn Fn(&[u8]) -> Ordering) -> Result<Option<Vec<u8>>> {
        let mut step = step(IndexRoot::parse(&self.root)?.entries(), order)?;
        for _ in 0..MAX_DEPTH {
            let vcn = match step {
                Step::Found(data) => return Ok(Some(data)),
                Step::Absent => return Ok(None),
                Step::Below(vcn) => vcn,
            };
            step = self::step(IndexBlock::parse(&self.block(vcn)?)?.entries(), order)?;
        }
        Err(Error::corrupt("view index", None, format!("more than {MAX_DEPTH} levels")))
    }

    fn block(&self, vcn: u64) -> Result<Vec<u8>> {
        let place = self.blocks.as_ref().zip(vcn.checked_mul(self.vcn_size));
        let place = place.filter(|(blocks, start)| blocks.size().saturating_sub(*start) >= self.block_size);
        let (blocks, start) =
            place.ok_or_else(|| Error::corrupt("view index", Place::Vcn(vcn), "no block lies there"))?;
        let size = usize::try_from(self.block_size).expect("at most 64 KiB");
        let mut bytes = read_vec(&**blocks, start, size)?;
        fixup::apply(&mut bytes, "index block", Place::Byte(start))?;
        Ok(bytes)
    }
}

/// The result of the search in one node.
enum Step {
    Found(Vec<u8>),
    Below(u64),
    Absent,
}

fn step(entries: Entries<'_>, order: &dyn Fn(&[u8]) -> Ordering) -> Result<Step> {
    for entry in entries {
        let entry = entry?;
        match if entry.last { Ordering::Greater } else { order(entry.key) } {
            Ordering::Less => {}
            Ordering::Equal => return Ok(Step::Found(entry.data()?.to_vec())),
            Ordering::Greater => return Ok(entry.child_vcn.map_or(Step::Absent, Step::Below)),
        }
    }
    Ok(Step::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    const SIZE: usize = 512;

    /// An entry with a one-byte key and data, or the end marker.
    fn entry(key: Option<u8>, child: Option<u8>) -> Vec<u8> {
        let length = if key.is_some() { 24 } else { 16 } + if child.is_some() { 8 } else { 0 };
        let flags = u8::from(child.is_some()) | if key.is_none() { 2 } else { 0 };
        let mut bytes = vec![17, 0, 1, 0, 0, 0, 0, 0, length, 0, u8::from(key.is_some()), 0, flags, 0, 0, 0];
        bytes.extend(key.iter().flat_map(|key| [*key, key + 100, 0, 0, 0, 0, 0, 0]));
        bytes.extend(child.iter().flat_map(|vcn| u64::from(*vcn).to_le_bytes()));
        bytes
    }

    fn node(first: u8, entries: &[Vec<u8>]) -> Vec<u8> {
        let entries = entries.concat();
        let end = first + u8::try_from(entries.len()).unwrap();
        let mut bytes = vec![first, 0, 0, 0, end, 0, 0, 0, end, 0, 0, 0, 1, 0, 0, 0];
        bytes.resize(first.into(), 0);
        bytes.extend(entries);
        bytes
    }

    fn view(blocks: &[Vec<u8>]) -> View {
        let root = [vec![0; 16], node(16, &[entry(Some(50), Some(0)), entry(None, Some(1))])].concat();
        let mut bytes = Vec::new();
        for block in blocks {
            let start = bytes.len();
            bytes.extend(b"INDX\x28\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            bytes.extend(block);
            bytes.resize(start + SIZE, 0);
        }
        View {
            root,
            block_size: SIZE as u64,
            vcn_size: SIZE as u64,
            blocks: Some(Arc::new(MemorySource(bytes))),
        }
    }

    #[test]
    fn keys_are_found_in_the_root_and_below() {
        let below = |keys: &[u8]| {
            let entries = keys.iter().map(|key| entry(Some(*key), None));
            node(0x28, &entries.chain([entry(None, None)]).collect::<Vec<_>>())
        };
        let view = view(&[below(&[10, 20]), below(&[60])]);
        for key in 0..=100 {
            let found = view.find(&|other| other[0].cmp(&key)).unwrap();
            assert_eq!(found, [10, 20, 50, 60].contains(&key).then(|| vec![key + 100]), "{key}");
        }
    }

    #[test]
    fn blocks_that_lead_to_themselves_or_nowhere_are_errors() {
        let find = |child| {
            let view = view(&[node(0x28, &[entry(None, Some(child))])]);
            view.find(&|other| other[0].cmp(&1)).unwrap_err().to_string()
        };
        assert!(find(0).contains("levels"));
        assert!(find(1).contains("no block"));
        assert!(find(255).contains("no block"));
    }
}
