//! Measures a chain of ten differencing images against a single image with the same bytes, both in the page cache: the
//! layers share the blocks, entirely or by runs of sectors, so that each read looks up as many as ten tables.
//!
//! `cargo bench --bench chain`: works in the folder for temporary files, which needs about 1 GiB. `cargo bench --bench
//! chain -- VOLUME FOLDER` builds the images from the first 256 MiB of a raw volume instead, and leaves `single.vhdx` and
//! the chains' `false-9.vhdx` (whole blocks) and `true-9.vhdx` (runs) in the folder, to be mounted.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a measurement: all values are small"
)]

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Instant,
};

use vhdmount::{
    bytes::ByteSource,
    container::{self, Disk, OpenOptions},
};

#[path = "../tests/suite/support/vhdx_writer.rs"]
mod vhdx_writer;
use vhdx_writer::{Block, MIB, Recipe};

const BLOCKS: u64 = 256;
const LAYERS: u64 = 10;
const SECTOR: usize = 512;
/// Length in sectors of the runs in which the layers share a block: 64 KiB.
const RUN: u64 = 128;
const ROUNDS: u32 = 7;
const RANDOM_READS: u64 = 100_000;

const SHAPES: [(&str, bool); 2] = [("whole blocks", false), ("runs of 64 KiB", true)];

fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [volume, folder] = &arguments[..] {
        let volume = File::open(volume).unwrap();
        let content = |number: u64| {
            let mut block = vec![0; MIB as usize];
            (&volume).seek(SeekFrom::Start(number * MIB)).unwrap();
            (&volume).read_exact(&mut block).unwrap();
            block
        };
        make_single(Path::new(folder), &content);
        for (_, parts) in SHAPES {
            make_chain(Path::new(folder), parts, &content);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let single = open(&make_single(folder.path(), &pattern));
    for (name, parts) in SHAPES {
        let chain = open(&make_chain(folder.path(), parts, &pattern));
        let (a, b) = (sequential(&*single), sequential(&*chain));
        println!(
            "{name}, 1 MiB reads in order: single {a:.0} MB/s, chain of {LAYERS} {b:.0} MB/s: {:.2} of its time",
            a / b
        );
        let (a, b) = (random(&*single), random(&*chain));
        println!(
            "{name}, 4 KiB reads at random: single {a:.0}/s, chain of {LAYERS} {b:.0}/s: {:.2} of its time",
            a / b
        );
    }
}

/// The content of block `number`.
fn pattern(number: u64) -> Vec<u8> {
    (0..MIB).map(|at| (at * 31 + number * 7) as u8).collect()
}

fn make_single(folder: &Path, content: &dyn Fn(u64) -> Vec<u8>) -> PathBuf {
    let path = folder.join("single.vhdx");
    let whole = (0..BLOCKS).map(|number| (number, Block::Full(content(number))));
    let recipe = Recipe { blocks: whole.collect(), ..Recipe::dynamic(BLOCKS * MIB, MIB) };
    recipe.build().save(&path);
    path
}

fn open(path: &Path) -> std::sync::Arc<Disk> {
    container::open(path, &OpenOptions::default()).unwrap().disk
}

/// Makes a chain and returns the path of its top: the layer of a block, or of a run in it, is its number modulo ten.
fn make_chain(folder: &Path, parts: bool, content: &dyn Fn(u64) -> Vec<u8>) -> PathBuf {
    let name = |layer: u64| format!("{parts}-{layer}.vhdx");
    for layer in 0..LAYERS {
        let guid = |layer: u64| [layer as u8 + 1; 16];
        let mut recipe = match layer.checked_sub(1) {
            None => Recipe::dynamic(BLOCKS * MIB, MIB),
            Some(parent) => Recipe::differencing(BLOCKS * MIB, MIB, guid(parent), &name(parent)),
        };
        recipe.data_write_guid = guid(layer);
        for number in 0..BLOCKS {
            if layer == 0 || (!parts && number % LAYERS == layer) {
                recipe = recipe.block(number, Block::Full(content(number)));
            } else if parts {
                let bytes = content(number);
                let own = (0..MIB / SECTOR as u64).filter(|sector| (sector / RUN + number) % LAYERS == layer);
                let sector = |at: u64| bytes[at as usize * SECTOR..][..SECTOR].to_vec();
                let sectors: BTreeMap<u64, Vec<u8>> = own.map(|at| (at, sector(at))).collect();
                recipe = recipe.block(number, Block::Partial(sectors));
            }
        }
        recipe.build().save(&folder.join(name(layer)));
    }
    folder.join(name(LAYERS - 1))
}

/// The best of several rounds, which other load on the machine disturbs least.
fn best(work: impl Fn()) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(time).fold(f64::INFINITY, f64::min)
}

fn sequential(disk: &dyn ByteSource) -> f64 {
    let seconds = best(|| {
        let mut buf = vec![0; MIB as usize];
        (0..BLOCKS).for_each(|number| disk.read_exact_at(number * MIB, &mut buf).unwrap());
    });
    (BLOCKS * MIB) as f64 / seconds / 1e6
}

fn random(disk: &dyn ByteSource) -> f64 {
    let seconds = best(|| {
        let (mut buf, mut at) = ([0; 4096], 1_u64);
        for _ in 0..RANDOM_READS {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            disk.read_exact_at((at >> 33) % (BLOCKS * 256) * 4096, &mut buf).unwrap();
        }
    });
    RANDOM_READS as f64 / seconds
}
