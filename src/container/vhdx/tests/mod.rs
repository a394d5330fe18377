//! Tests of the reader on images made by the test writer.

mod blocks;
mod damage;
mod replay;
mod tables;
#[path = "../../../../tests/suite/support/vhdx_writer.rs"]
mod writer;

use std::sync::Arc;

use self::writer::{Image, Recipe};
use super::{OpenOptions, Vhdx, open};
use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, check_range},
    container::{Layer, Place},
};

const MIB: u64 = 1 << 20;

impl ByteSource for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.read_into(offset, buf);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let kind = if offset < self.size { ExtentKind::Data } else { ExtentKind::Hole };
        Ok(Extent { kind, len: self.size.saturating_sub(offset) })
    }
}

fn try_open(image: &Image) -> Result<Vhdx> {
    open(Arc::new(image.clone()), "test.vhdx", &OpenOptions::default())
}

fn opened(image: &Image) -> Vhdx {
    try_open(image).unwrap()
}

fn error_text(image: &Image) -> String {
    try_open(image).err().expect("must be refused").to_string()
}

/// Reads through one layer; the parent's bytes are returned as 0xaa.
fn read(disk: &Vhdx, mut offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    let mut buf = &mut out[..];
    while !buf.is_empty() {
        let segment = disk.resolve(offset)?;
        assert!(segment.len > 0 && offset + segment.len <= disk.virtual_size(), "{segment:?} at {offset:#x}");
        let take = usize::try_from(segment.len).unwrap_or(usize::MAX).min(buf.len());
        let (now, rest) = buf.split_at_mut(take);
        match segment.place {
            Place::File(at) => disk.source().read_exact_at(at, now)?,
            Place::Zero => now.fill(0),
            Place::Parent => now.fill(0xaa),
        }
        (offset, buf) = (offset + take as u64, rest);
    }
    Ok(out)
}

fn read_all(disk: &Vhdx) -> Vec<u8> {
    read(disk, 0, usize::try_from(disk.virtual_size()).unwrap()).unwrap()
}

fn is_corrupt<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| matches!(error.cause(), Error::Corrupt(_)))
}

/// A small dynamic disk: blocks 0 and 2 present, 1 absent, the last one short.
fn small() -> Recipe {
    Recipe::dynamic(3 * MIB + 512 * 1024, MIB)
        .block(0, writer::Block::Full(writer::pattern(MIB, 1)))
        .block(2, writer::Block::Full(writer::pattern(MIB, 2)))
        .block(3, writer::Block::Full(writer::pattern(MIB, 3)))
}

fn small_content() -> Vec<u8> {
    let last = writer::pattern(MIB, 3);
    [writer::pattern(MIB, 1), vec![0; 1 << 20], writer::pattern(MIB, 2), last[..512 * 1024].to_vec()].concat()
}
