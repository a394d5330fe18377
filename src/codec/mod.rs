//! Decompressors of Windows' formats, over bytes in memory: LZNT1 (NTFS compression), XPRESS Huffman and LZX (system
//! compression by WOF, WIM files), plain LZ77 (data deduplication).
//!
//! Each decodes one buffer into a slice of known length, and fills it or fails: no allocation depends on the data, and the
//! output bounds every loop. All containers of these formats store a chunk raw if its stored size is its uncompressed size;
//! the caller checks for that.

mod bits;
mod copy;
mod huffman;
pub mod lznt1;
pub mod lzx;
pub mod plain_lz77;
pub mod xpress;

#[cfg(test)]
pub(crate) mod tests;
