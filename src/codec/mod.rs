//! Decompressors of Windows' formats, over bytes in memory: LZNT1 (NTFS compression), XPRESS Huffman and LZX (system
//! compression by WOF, WIM files), plain LZ77 (data deduplication).
//!
//! Each decodes one buffer into a slice whose length the caller knows, and fills it or fails: nothing grows with what
//! the data says, every loop is bounded by the output. A chunk whose stored size is its uncompressed size is stored raw
//! in all containers of these formats; that is the caller's to see.

mod bits;
mod copy;
mod huffman;
pub mod lznt1;
pub mod lzx;
pub mod plain_lz77;
pub mod xpress;

#[cfg(test)]
pub(crate) mod tests;
