//! Lookups: from an offset of the virtual disk to a place in the image file, and from an offset of a file to its
//! clusters.

use std::{hint::black_box, sync::Arc};

use divan::Bencher;
use vhdmount::{
    Result,
    bytes::{ByteSource, check_range},
    container::{self, Disk},
    fs::runs::RunList,
};

use crate::{Ring, input::numbers, vhd_writer::VhdWriter, vhdx_writer};

const MIB: u64 = 1 << 20;
/// Block size in bytes. The disk has 128 GiB, Windows' default size.
const BLOCK: u64 = 2 * MIB;
const BLOCKS: u64 = 1 << 16;
const SECTOR: u64 = 512;
/// Offsets looked up in turn: more than a cache of lookups should hold.
const PLACES: usize = 1 << 14;

/// An image file that stores only the format's structures and zeros: blocks need no memory.
struct Thin {
    head: Vec<u8>,
    tail: Vec<u8>,
    size: u64,
}

impl ByteSource for Thin {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let tail = self.size - self.tail.len() as u64;
        buf.fill(0);
        for (part, start) in [(&self.head, 0), (&self.tail, tail)] {
            let first = offset.max(start);
            let end = (offset + buf.len() as u64).min(start + part.len() as u64);
            if first < end {
                let (from, to, len) = (index(first - start), index(first - offset), index(end - first));
                buf[to..to + len].copy_from_slice(&part[from..from + len]);
            }
        }
        Ok(())
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("64 bits, or small")
}

fn open(image: Thin) -> Arc<Disk> {
    let opened = container::open_source(Arc::new(image), &container::OpenOptions::default());
    opened.expect("our own image").disk
}

/// A dynamic VHD with every block, in shuffled order.
fn vhd() -> Arc<Disk> {
    const TABLE: usize = 1536;
    let size = BLOCKS * BLOCK;
    let mut head = VhdWriter::new(3, size, u32::try_from(BLOCK).expect("small")).build();
    let tail = head.split_off(head.len() - index(SECTOR));
    // A sector of bitmap before each block.
    let step = (BLOCK + SECTOR) / SECTOR;
    let first = head.len() as u64 / SECTOR;
    for (entry, place) in head[TABLE..].chunks_exact_mut(4).zip(shuffled()) {
        let sector = u32::try_from(first + place * step).expect("below 2 TiB");
        entry.copy_from_slice(&sector.to_be_bytes());
    }
    let size = (first + BLOCKS * step + 1) * SECTOR;
    open(Thin { head, tail, size })
}

/// A dynamic VHDX with every block, in shuffled order.
fn vhdx() -> Arc<Disk> {
    let mut recipe = vhdx_writer::Recipe::dynamic(BLOCKS * BLOCK, BLOCK);
    let first = 16 * MIB;
    for (number, place) in (0..).zip(shuffled()) {
        recipe = recipe.block(number, vhdx_writer::Block::Entry((first + place * BLOCK) | 6));
    }
    let image = recipe.build();
    assert!(image.size <= first);
    open(Thin { head: image.to_vec(), tail: Vec::new(), size: first + BLOCKS * BLOCK })
}

/// Every block number once, shuffled.
fn shuffled() -> Vec<u64> {
    let (mut all, mut next) = ((0..BLOCKS).collect::<Vec<_>>(), numbers(7));
    for last in (1..all.len()).rev() {
        all.swap(last, index(next(last as u64 + 1)));
    }
    all
}

/// Random sector offsets below `size`.
fn places(size: u64) -> Ring<u64> {
    let mut next = numbers(3);
    Ring::new((0..PLACES).map(|_| next(size / SECTOR) * SECTOR).collect())
}

/// Reads a random sector of a dynamic VHD: a block lookup, and one read of the file.
#[divan::bench(sample_size = 1000)]
fn vhd_sector(bencher: Bencher<'_, '_>) {
    read_sectors(bencher, &vhd());
}

/// Reads a random sector of a VHDX.
#[divan::bench(sample_size = 1000)]
fn vhdx_sector(bencher: Bencher<'_, '_>) {
    read_sectors(bencher, &vhdx());
}

/// Reads 1 MiB anywhere on a VHDX, which lies in one block or in two.
#[divan::bench(sample_size = 100)]
fn vhdx_mebibyte(bencher: Bencher<'_, '_>) {
    let (disk, mut places, mut buf) = (vhdx(), places(BLOCKS * BLOCK - MIB), vec![0; index(MIB)]);
    bencher.bench_local(|| {
        disk.read_exact_at(*places.next(), &mut buf).expect("inside the disk");
        black_box(&buf);
    });
}

fn read_sectors(bencher: Bencher<'_, '_>, disk: &Arc<Disk>) {
    let (mut places, mut sector) = (places(BLOCKS * BLOCK), [0; 512]);
    bencher.bench_local(|| {
        disk.read_exact_at(*places.next(), &mut sector).expect("inside the disk");
        black_box(&sector);
    });
}

/// Resolves a byte of a file in 4096 fragments.
#[divan::bench(sample_size = 1000)]
fn runs_find(bencher: Bencher<'_, '_>) {
    const CLUSTER: u64 = 4096;
    let (mut runs, mut next, mut position) = (RunList::new(), numbers(5), 0);
    for _ in 0..4096 {
        position += (next(100) + 2) * CLUSTER;
        runs.push((next(16) + 1) * CLUSTER, Some(position)).expect("far below 64 bits");
        position += 16 * CLUSTER;
    }
    let mut places = places(runs.len());
    bencher.bench_local(|| black_box(runs.find(*places.next())));
}
