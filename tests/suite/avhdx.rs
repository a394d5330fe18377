//! Checkpoints as Hyper-V makes them: chains of differencing VHDX, opened as a user does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use vhdmount::{
    bytes::ByteSource,
    container::{self, Container, OpenOptions},
};

use crate::support::{
    scratch, sha256, sha256_source,
    vhdx_writer::{Block, MIB, Recipe, ZERO, pattern},
};

const SIZE: u64 = 12 * MIB;
const BLOCK: u64 = 2 * MIB;
const SECTOR: usize = 512;

/// The three images of a chain, and what the disk holds on top.
struct Chain {
    base: PathBuf,
    top: PathBuf,
    content: Vec<u8>,
}

fn id(n: u8) -> [u8; 16] {
    [n; 16]
}

fn in_block(number: u64) -> usize {
    usize::try_from(number * BLOCK).expect("a small disk")
}

/// Sectors 0, 5 to 9 and the last of a block.
fn partial(seed: u64) -> BTreeMap<u64, Vec<u8>> {
    let last = BLOCK / SECTOR as u64 - 1;
    let sectors = [0, 5, 6, 7, 8, 9, last];
    sectors.into_iter().map(|sector| (sector, pattern(SECTOR as u64, seed + sector))).collect()
}

fn apply(content: &mut [u8], number: u64, sectors: &BTreeMap<u64, Vec<u8>>) {
    for (sector, bytes) in sectors {
        let at = in_block(number) + usize::try_from(*sector).expect("small") * SECTOR;
        content[at..at + SECTOR].copy_from_slice(bytes);
    }
}

/// `disk.vhdx` ← `disk_1.avhdx` ← `disk_2.avhdx`.
fn three(folder: &Path) -> Chain {
    let full = |seed| pattern(BLOCK, seed);
    let mut content = vec![0; usize::try_from(SIZE).expect("a small disk")];
    let base = Recipe { data_write_guid: id(1), ..Recipe::dynamic(SIZE, BLOCK) };
    let base = (0..5).fold(base, |base, number| base.block(number, Block::Full(full(number))));
    (0..5).for_each(|number| content[in_block(number)..][..full(0).len()].copy_from_slice(&full(number)));

    let middle = Recipe::differencing(SIZE, BLOCK, id(1), "disk.vhdx");
    let middle = Recipe { data_write_guid: id(2), ..middle }
        .block(1, Block::Partial(partial(100)))
        .block(2, Block::State(ZERO))
        .block(3, Block::Full(full(103)));
    apply(&mut content, 1, &partial(100));
    content[in_block(2)..in_block(3)].fill(0);
    content[in_block(3)..in_block(4)].copy_from_slice(&full(103));

    let top = Recipe::differencing(SIZE, BLOCK, id(2), "disk_1.avhdx");
    let top = Recipe { data_write_guid: id(3), ..top }
        .block(1, Block::Partial(partial(201).into_iter().skip(2).collect()))
        .block(5, Block::Partial(partial(205)));
    apply(&mut content, 1, &partial(201).into_iter().skip(2).collect());
    apply(&mut content, 5, &partial(205));

    let path = |name: &str| folder.join(name);
    base.build().save(&path("disk.vhdx"));
    middle.build().save(&path("disk_1.avhdx"));
    top.build().save(&path("disk_2.avhdx"));
    Chain { base: path("disk.vhdx"), top: path("disk_2.avhdx"), content }
}

fn hash(container: &Container) -> String {
    sha256_source(&*container.disk).expect("every block is readable")
}

fn refused(path: &Path, options: &OpenOptions) -> String {
    container::open(path, options).map(|_| ()).expect_err("the parent is not there").to_string()
}

#[test]
fn every_sector_comes_from_the_layer_that_has_it() {
    let folder = scratch();
    let chain = three(folder.path());
    let opened = container::open(&chain.top, &OpenOptions::default()).expect("the chain is complete");
    assert_eq!(opened.infos().count(), 3);
    assert_eq!(hash(&opened), sha256(&chain.content));
    // Odd pieces across sectors, blocks and layers.
    for start in (0..chain.content.len() - 70_000).step_by(333_333) {
        let mut piece = vec![0xee; 65_537];
        opened.disk.read_exact_at(start as u64, &mut piece).expect("readable");
        assert!(piece == chain.content[start..start + piece.len()], "at {start}");
    }
}

#[test]
fn a_moved_parent_is_found_by_its_identity() {
    let folder = scratch();
    let chain = three(folder.path());
    let archive = folder.path().join("archive");
    std::fs::create_dir(&archive).expect("a folder");
    let moved = archive.join("renamed on the way.bin");
    std::fs::rename(&chain.base, &moved).expect("renamed");
    let message = refused(&chain.top, &OpenOptions::default());
    for part in ["disk_1.avhdx", "disk.vhdx", "01010101-0101-0101-0101-010101010101"] {
        assert!(message.contains(part), "{part} in: {message}");
    }
    // A neighbour of another identity in the same folder is passed over.
    Recipe { data_write_guid: id(9), ..Recipe::dynamic(SIZE, BLOCK) }.build().save(&archive.join("a.vhdx"));
    let by_folder = OpenOptions { parent_dirs: vec![archive], ..OpenOptions::default() };
    let by_name = OpenOptions { parents: vec![moved], ..OpenOptions::default() };
    for options in [by_folder, by_name] {
        let opened = container::open(&chain.top, &options).expect("found by identity");
        assert_eq!(hash(&opened), sha256(&chain.content));
        assert_eq!(opened.warnings, [""; 0]);
    }
}

#[test]
fn a_parent_that_was_written_to_is_refused_unless_forced() {
    let folder = scratch();
    let chain = three(folder.path());
    Recipe { data_write_guid: id(7), ..Recipe::dynamic(SIZE, BLOCK) }
        .block(0, Block::Full(pattern(BLOCK, 77)))
        .build()
        .save(&chain.base);
    let message = refused(&chain.top, &OpenOptions::default());
    assert!(message.contains("07070707-0707-0707-0707-070707070707"), "{message}");
    let forced =
        OpenOptions { force_parent: true, parents: vec![chain.base.clone()], ..OpenOptions::default() };
    let opened = container::open(&chain.top, &forced).expect("forced");
    assert!(opened.warnings.iter().any(|warning| warning.contains("disk.vhdx")), "{:?}", opened.warnings);
}
