//! The blob table (Microsoft: lookup table): one entry of 50 bytes for each distinct content, unordered. An index of twelve
//! bytes per blob finds the entry; the entry itself stays in the file. Guards: the index is bounded.

use std::sync::Arc;

use super::header::ResourceHeader;
use crate::{Error, Result, bytes::ByteSource};

/// SHA-1 of a blob's content.
pub type Hash = [u8; 20];

const ENTRY_LEN: usize = 50;
/// Entries per read.
const BATCH: usize = 1024;
/// Bound of the index: a Windows image has about 100,000 blobs.
const MAX_BLOBS: u64 = 1 << 20;

/// An entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) resource: ResourceHeader,
    pub(super) part: u16,
    hash: Hash,
}

impl Blob {
    fn parse(bytes: &[u8; ENTRY_LEN]) -> Self {
        Self {
            resource: ResourceHeader::parse(bytes.first_chunk().expect("50 bytes")),
            part: u16::from_le_bytes([bytes[24], bytes[25]]),
            // Behind the reference count.
            hash: *bytes[30..].first_chunk().expect("50 bytes"),
        }
    }
}

/// Finds entries of a table by hash.
pub(super) struct Index {
    table: Arc<dyn ByteSource>,
    /// The first eight bytes of each hash, ascending.
    prefixes: Vec<u64>,
    /// For each prefix the number of its entry in the table.
    entries: Vec<u32>,
}

impl Index {
    /// Reads the whole table and builds the index.
    pub(super) fn read(table: Arc<dyn ByteSource>) -> Result<Self> {
        let count = table.size() / ENTRY_LEN as u64;
        if count > MAX_BLOBS {
            return Err(Error::unsupported(format!("a WIM of {count} blobs (more than {MAX_BLOBS})")));
        }
        let mut found = Vec::new();
        let mut bytes = vec![0; BATCH * ENTRY_LEN];
        let mut number = 0_u32;
        while u64::from(number) < count {
            let left = usize::try_from(count - u64::from(number)).expect("at most MAX_BLOBS");
            let bytes = &mut bytes[..left.min(BATCH) * ENTRY_LEN];
            table.read_exact_at(u64::from(number) * ENTRY_LEN as u64, bytes)?;
            for entry in bytes.as_chunks().0 {
                found.push((prefix(&Blob::parse(entry).hash), number));
                number += 1;
            }
        }
        found.sort_unstable();
        let (prefixes, entries) = found.into_iter().unzip();
        Ok(Self { table, prefixes, entries })
    }

    pub(super) fn memory(&self) -> usize {
        self.prefixes.len() * (size_of::<u64>() + size_of::<u32>())
    }

    pub(super) fn find(&self, hash: &Hash) -> Result<Option<Blob>> {
        let wanted = prefix(hash);
        let first = self.prefixes.partition_point(|prefix| *prefix < wanted);
        let same = self.prefixes[first..].iter().take_while(|prefix| **prefix == wanted).count();
        for number in &self.entries[first..first + same] {
            let mut entry = [0; ENTRY_LEN];
            self.table.read_exact_at(u64::from(*number) * ENTRY_LEN as u64, &mut entry)?;
            let blob = Blob::parse(&entry);
            if blob.hash == *hash {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }
}

fn prefix(hash: &Hash) -> u64 {
    u64::from_be_bytes(*hash.first_chunk().expect("20 bytes"))
}
