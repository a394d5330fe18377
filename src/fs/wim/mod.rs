//! WIM files (Microsoft's "Windows Imaging File Format" paper, and wimlib's notes on its flags), as far as WIMBoot files
//! need them: a header, the table that finds a blob by the SHA-1 of its content, and the blob.
//!
//! One blob is one resource, stored or compressed in chunks. Solid resources, parts of a split WIM and pipable WIMs are
//! refused by name.

mod blobs;
mod header;
mod resource;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use blobs::Hash;
use blobs::Index;
pub use header::{Compression, HEADER_LEN, Header, ResourceHeader};
pub use resource::{ChunkCache, Resource};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    cache::Cache,
};

/// Cache budget for decoded chunks of a compressed blob table: enough to read it from start to end.
const TABLE_BUDGET: usize = 16 * (64 << 10);

/// An open WIM file.
pub struct Wim {
    file: Arc<dyn ByteSource>,
    header: Header,
    index: Index,
}

impl Wim {
    /// Reads the header and the blob table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a kind of WIM that has no such table or keeps it elsewhere; [`Error::Corrupt`].
    pub fn open(file: Arc<dyn ByteSource>) -> Result<Self> {
        if file.size() < HEADER_LEN as u64 {
            return Err(Error::corrupt(
                "WIM header",
                Place::Byte(0),
                format!("the file has only {} bytes", file.size()),
            ));
        }
        let header = Header::parse(&read_vec(&*file, 0, HEADER_LEN)?)?;
        let cache = Arc::new(Cache::new(TABLE_BUDGET));
        let table = Resource::open(&file, &header, &header.blob_table, cache, 0)?;
        let index = Index::read(Arc::new(table))?;
        Ok(Self { file, header, index })
    }

    /// The parsed header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Memory of the table's index in bytes.
    pub fn memory(&self) -> usize {
        self.index.memory()
    }

    /// The content whose SHA-1 is `hash`; `None` if the WIM has no such blob. Decoded chunks are kept in `cache` under `id`,
    /// which must be unique among the sources of the cache. The content is not checked against the hash.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a blob in a solid resource; [`Error::Corrupt`].
    pub fn blob(&self, hash: &Hash, cache: Arc<ChunkCache>, id: u64) -> Result<Option<Resource>> {
        let Some(blob) = self.index.find(hash)? else { return Ok(None) };
        if blob.part != self.header.part {
            return Err(Error::unsupported(format!("in part {} of a split WIM", blob.part)));
        }
        Resource::open(&self.file, &self.header, &blob.resource, cache, id).map(Some)
    }
}
