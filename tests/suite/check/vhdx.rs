//! VHDX: each structure damaged by itself.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use vhdmount::{
    bytes::{ByteSource, FileSource, MemorySource},
    image::check::{Verdict, check_source},
};

use super::{examine, examine_file, expect, lines, options};
use crate::support::{
    have,
    mutate::{Metered, peak_of},
    run, scratch, tool,
    vhdx_writer::{BAT, Block, Image, METADATA, MIB, Recipe, Update, pattern, seal},
};

const NOT_OPENED: (&str, &str) = ("Note container", "cannot be opened");

fn source(image: &Image) -> Arc<dyn ByteSource> {
    Arc::new(MemorySource(image.to_vec()))
}

/// 64 MiB in blocks of 2 MiB, three of which are in the file.
fn recipe() -> Recipe {
    let full = |seed| Block::Full(pattern(2 * MIB, seed));
    Recipe::dynamic(64 * MIB, 2 * MIB).block(0, full(1)).block(7, full(2)).block(31, full(3))
}

/// A child with one block of each kind, alone.
fn child() -> Recipe {
    let sectors = BTreeMap::from([(3, pattern(512, 4))]);
    Recipe::differencing(64 * MIB, 2 * MIB, [0xd1; 16], "parent.vhdx")
        .block(2, Block::Full(pattern(2 * MIB, 5)))
        .block(5, Block::Partial(sectors))
}

#[track_caller]
fn finds(image: &Image, expected: &[(&str, &str)]) {
    expect(&examine(source(image)), "container", expected);
}

/// The entry of a block that lies at this byte of the file, FULLY_PRESENT.
fn full_at(offset: u64) -> Block {
    Block::Entry(offset | 6)
}

/// A file of `mib` MiB after its last block.
fn longer(mut image: Image, mib: u64) -> Image {
    image.size += mib * MIB;
    image
}

#[test]
fn whole_images_have_no_findings() {
    finds(&recipe().build(), &[]);
    finds(&recipe().sector_size(4096).build(), &[]);
    finds(&Recipe::fixed(MIB, &pattern(5 * MIB, 1)).build(), &[]);
    // Without its parent a child is not opened, but there is nothing wrong with it.
    finds(&child().build(), &[("Note container", "without its parent")]);
}

#[test]
fn findings_in_identifier_headers_and_region_tables_differ() {
    let damaged = |offset: u64| {
        let mut image = recipe().build();
        image.write(offset, &[0x5a; 4]);
        image
    };
    finds(&damaged(0), &[("Error VHDX file type identifier", "no signature")]);
    finds(&damaged(64 << 10), &[("Warning VHDX header 1", "no signature")]);
    finds(&damaged((64 << 10) + 700), &[("Warning VHDX header 1", "wrong checksum")]);
    finds(&damaged((128 << 10) + 20), &[("Warning VHDX header 2", "wrong checksum")]);
    finds(&damaged((192 << 10) + 40), &[("Warning VHDX region table 1", "wrong checksum")]);
    finds(&damaged(256 << 10), &[("Warning VHDX region table 2", "no signature")]);

    let mut image = damaged(64 << 10);
    image.write(128 << 10, &[0; 4096]);
    // The tables and blocks are examined all the same: one more is damaged.
    image.write(256 << 10, &[0x5a; 4]);
    finds(
        &image,
        &[
            ("Error VHDX header 1", "no signature"),
            ("Error VHDX header 2", "no signature"),
            ("Warning VHDX region table 2", "no signature"),
            NOT_OPENED,
        ],
    );
    let mut image = damaged(192 << 10);
    image.write(256 << 10, &[0; 4]);
    finds(
        &image,
        &[
            ("Error VHDX region table 1", "no signature"),
            ("Error VHDX region table 2", "no signature"),
            NOT_OPENED,
        ],
    );
}

#[test]
fn copies_that_contradict_each_other_are_errors() {
    let mut image = recipe().build();
    let mut header = image.read(64 << 10, 4096);
    // The second one's sequence number, another DataWriteGuid.
    header[8] = 8;
    header[32] ^= 1;
    seal(&mut header);
    image.write(64 << 10, &header);
    finds(&image, &[("Error VHDX headers", "sequence number 8")]);

    let mut image = recipe().build();
    let second = image.read(256 << 10, 64 << 10);
    let (metadata, bat) = (image.metadata_offset, image.bat_offset);
    image.write_region_tables(&[
        (METADATA, metadata, MIB, 1),
        (BAT, bat, MIB, 1),
        ([0x77; 16], bat + MIB * 100, MIB, 0),
    ]);
    image.write(256 << 10, &second);
    let image = longer(image, 200);
    let found = lines(&examine(source(&image)), "container");
    assert!(found[0].starts_with("Error VHDX region table: the two tables"), "{found:?}");
    assert!(
        found.iter().any(|line| line.starts_with("Note VHDX region table: region 77777777")),
        "{found:?}"
    );
}

#[test]
fn metadata_that_contradicts_itself_is_an_error() {
    let mut image = recipe().build();
    image.write(image.metadata_offset, b"x");
    finds(&image, &[("Error VHDX metadata", "no signature"), NOT_OPENED]);
    let mut odd = recipe();
    odd.block_size = 3 * MIB;
    odd.blocks.clear();
    finds(&odd.build(), &[("Error VHDX metadata", "block size 3145728"), NOT_OPENED]);
    let mut odd = recipe();
    odd.physical_sector_size = 1000;
    finds(&odd.build(), &[("Warning VHDX metadata", "physical sector size")]);
}

#[test]
fn each_fault_of_a_block_table_entry_is_named() {
    let image = recipe().build();
    let end = image.size;
    let entry = |number, entry| recipe().block(number, entry).build();
    for (image, expected) in [
        (entry(9, Block::State(4)), ("Error VHDX BAT entry of block 9", "state 4")),
        (entry(9, Block::Entry(0x80)), ("Warning VHDX BAT entry of block 9", "reserved bits")),
        (entry(9, Block::Entry(end | 7)), ("Error VHDX BAT entry of block 9", "has no parent")),
        (entry(9, full_at(0)), ("Error VHDX BAT entry of block 9", "its own structures")),
        (entry(9, full_at(2 * MIB)), ("Error VHDX BAT entry of block 9", "its own structures")),
        (
            entry(9, full_at(end)),
            ("Error VHDX BAT entry of block 9", "bytes 0x1200000 to 0x1400000 of the disk"),
        ),
        (entry(9, full_at(end - MIB)), ("Error VHDX BAT entry of block 9", "the file ends inside")),
    ] {
        let found = lines(&examine(source(&image)), "container");
        assert!(found[0].starts_with(expected.0) && found[0].contains(expected.1), "{expected:?}: {found:?}");
    }
    // A block beside the end overlaps the last one as well.
    finds(
        &entry(9, full_at(end - MIB)),
        &[
            ("Error VHDX BAT entry of block 9", "the file ends inside"),
            ("Error VHDX BAT entry of block 31", "which is that of block 9"),
        ],
    );
    // The last block need not have what the disk does not.
    let short = Recipe::dynamic(3 * MIB, 2 * MIB).block(1, Block::Full(pattern(2 * MIB, 1))).build();
    let mut bytes = short.to_vec();
    bytes.truncate(usize::try_from(short.size - MIB).unwrap());
    let bytes = Arc::new(MemorySource(bytes));
    expect(
        &examine(bytes),
        "container",
        &[("Note VHDX BAT entry of block 1", "behind the last byte of the disk")],
    );
}

#[test]
fn blocks_that_share_a_place_are_named_together() {
    let image = recipe().build();
    let first = u64::from_le_bytes(image.read(image.bat_offset, 8).try_into().unwrap()) & !7;
    let twice = recipe().block(20, full_at(first)).block(21, full_at(first)).build();
    finds(&twice, &[("Error VHDX BAT entries of blocks 20 to 21", "which is that of block 0")]);
    // By one MiB only.
    let partly = recipe().block(20, full_at(first + MIB)).build();
    finds(
        &partly,
        &[
            ("Error VHDX BAT entry of block 20", "which is that of block 0"),
            ("Error VHDX BAT entry of block 20", "which is that of block 7"),
        ],
    );
}

#[test]
fn sector_bitmaps_belong_to_differencing_disks() {
    let alone = ("Note container", "without its parent");
    let ratio = child().chunk_ratio();
    let entry = |image: &mut Image, index: u64, value: u64| {
        image.write(image.bat_offset + index * 8, &value.to_le_bytes());
    };
    let mut image = child().build();
    entry(&mut image, ratio, 0);
    let found = lines(&examine(source(&image)), "container");
    assert!(
        found[0].starts_with("Error VHDX BAT entry of sector bitmap 0: not there, though block 5"),
        "{found:?}"
    );

    let mut image = child().build();
    entry(&mut image, ratio, 3);
    let found = lines(&examine(source(&image)), "container");
    assert!(found[0].contains("sector bitmap 0: state 3"), "{found:?}");

    // The chunk goes on behind the disk's 32 blocks.
    let mut image = child().build();
    let end = image.size;
    entry(&mut image, 40, 6 | end);
    finds(&image, &[("Warning VHDX BAT entry of block 40", "the disk ends before it"), alone]);

    // 9 GiB are three chunks.
    let mut image = Recipe::dynamic(9 << 30, 2 * MIB).block(0, Block::Full(pattern(MIB, 1))).build();
    let end = image.size;
    entry(&mut image, ratio, 6 | end);
    finds(&image, &[("Warning VHDX BAT entry of sector bitmap 0", "has no parent")]);
    let mut image = recipe().build();
    let end = image.size;
    entry(&mut image, 1000, 6 | end);
    finds(&image, &[("Note VHDX BAT", "1 entries behind the last one")]);
}

#[test]
fn truncated_and_overlong_files_are_reported() {
    let image = recipe().build();
    let cut = |size: u64| {
        let mut bytes = image.to_vec();
        bytes.truncate(usize::try_from(size).unwrap());
        examine(Arc::new(MemorySource(bytes)))
    };
    expect(
        &cut(image.size - MIB),
        "container",
        &[("Error VHDX BAT entry of block 31", "the file ends inside")],
    );
    let table_cut = cut(image.bat_offset + 16);
    let found = lines(&table_cut, "container");
    assert!(
        found.iter().any(|line| line.starts_with("Error VHDX BAT: the file ends inside the table")),
        "{found:?}"
    );
    expect(&cut(500_000), "container", &[("Error VHDX file", "500000 bytes"), NOT_OPENED]);

    finds(
        &longer(recipe().build(), 5),
        &[("Note VHDX file", "5 MiB belong to nothing, 5 of them at its end")],
    );
    let mut appended = recipe().build();
    appended.write(appended.size, b"trailing garbage");
    finds(
        &appended,
        &[
            ("Note VHDX file", "not whole MiB"),
            ("Note VHDX file", "1 MiB belong to nothing, 1 of them at its end"),
        ],
    );
    // What trimmed blocks still name may come back.
    let image = recipe().build();
    let kept = longer(recipe().block(11, Block::Entry(image.size | 3)).build(), 2);
    finds(&kept, &[("Note VHDX file", "2 of them kept for blocks that were trimmed")]);
}

#[test]
fn fixed_disk_with_a_block_missing_is_noted() {
    let recipe = Recipe::fixed(MIB, &pattern(5 * MIB, 1)).block(3, Block::State(0));
    finds(&recipe.build(), &[("Note VHDX BAT", "4 of 5 blocks")]);
}

#[test]
fn log_is_clean_dirty_torn_or_lost() {
    let mut dirty = recipe().build();
    let bat = dirty.bat_offset;
    let updates = dirty.withhold(bat, 1, 0xff);
    let entry = dirty.entry(0, 1, updates);
    dirty.write_log(std::slice::from_ref(&entry));
    // The stale table would be full of errors; what counts is the replayed one.
    finds(&dirty, &[("Warning VHDX log", "replayed: 1 entry")]);

    let mut torn = dirty.clone();
    let mut next = torn.entry(entry.length(), 2, vec![Update::Data(bat, pattern(4096, 1))]);
    next.torn = true;
    torn.write_log(&[entry, next]);
    finds(
        &torn,
        &[("Warning VHDX log", "replayed: 1 entry"), ("Note VHDX log", "its newest entry is incomplete")],
    );

    let mut as_it_is = options();
    as_it_is.open.container.replay = false;
    let examination = check_source(source(&dirty), &as_it_is, &mut |_| {}).unwrap();
    assert_eq!(examination.verdict, Verdict::Errors);
    let found = lines(&examination, "container");
    assert!(found.iter().any(|line| line.starts_with("Warning VHDX log: not replayed")), "{found:?}");

    let mut lost = recipe().build();
    lost.write_log(&[]);
    finds(&lost, &[("Error VHDX log", "no complete sequence"), NOT_OPENED]);
}

#[test]
fn largest_disk_is_examined_in_bounded_memory_and_time() {
    let folder = scratch();
    let path = folder.path().join("large.vhdx");
    let last = (64 << 20) - 1;
    let recipe = Recipe::dynamic(64 << 40, MIB)
        .block(0, Block::Full(pattern(MIB, 1)))
        .block(last, Block::Full(pattern(MIB, 2)));
    recipe.build().save(&path);
    // Where the host does not report what of the block table is a hole, all of it is read, once and in pieces of 256 KiB,
    // each after a question for holes.
    let (pieces, table) = if cfg!(windows) { (2 * 2_050, 513 << 20) } else { (0, 0) };
    let file = Arc::new(FileSource::open(&path).unwrap());
    let file = Arc::new(Metered::new(file, 2_000 + pieces, (64 << 20) + table));
    let (examination, peak) = peak_of(|| examine(file.clone()));
    expect(&examination, "container", &[]);
    assert!(!file.exhausted(), "{} reads, {} bytes", file.reads(), file.bytes());
    assert!(peak < 64 << 20, "{peak} bytes of memory");
}

/// What `qemu-img check` says of it: true when it finds nothing.
fn qemu_is_content(path: &Path) -> bool {
    tool("qemu-img").args(["check", "-q", "-f", "vhdx"]).arg(path).output().unwrap().status.success()
}

#[test]
fn qemu_img_agrees() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let raw = folder.path().join("disk.raw");
    fs::write(&raw, pattern(40 * MIB, 9)).unwrap();
    let path = folder.path().join("disk.vhdx");
    for options in [
        "subformat=dynamic",
        "subformat=fixed",
        "subformat=dynamic,block_size=1M",
        "subformat=dynamic,block_size=64M",
    ] {
        run(tool("qemu-img").args(["convert", "-f", "raw", "-O", "vhdx", "-o", options]).args([&raw, &path]));
        assert!(qemu_is_content(&path));
        // A fixed disk is written beside the blocks that qemu-img made room for at first: those are lost.
        let expected = [("Note VHDX file", "44 MiB belong to nothing")];
        let expected = if options == "subformat=fixed" { &expected[..] } else { &[] };
        expect(&examine_file(&path), "container", expected);
    }
    // Cut off, and both copies of what is kept twice.
    for (name, size, at) in
        [("cut", Some(30 * MIB), 0), ("header", None, 64 << 10), ("table", None, 192 << 10)]
    {
        let mut bytes = fs::read(&path).unwrap();
        match size {
            Some(size) => bytes.truncate(usize::try_from(size).unwrap()),
            None => {
                let second = if name == "header" { at + (64 << 10) } else { at };
                bytes[at..at + 4].fill(0);
                bytes[second..second + 4].fill(0);
            }
        }
        fs::write(&path, bytes).unwrap();
        let examination = examine_file(&path);
        assert_ne!(examination.verdict, Verdict::Clean, "{name}");
        // QEMU reads the first region table only.
        assert!(!qemu_is_content(&path), "{name}");
        run(tool("qemu-img").args(["convert", "-f", "raw", "-O", "vhdx"]).args([&raw, &path]));
    }
}
