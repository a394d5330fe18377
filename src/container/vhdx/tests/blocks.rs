//! Tests of the places of blocks and sectors.

use std::{collections::BTreeMap, time::Instant};

use super::{
    writer::{Block, NOT_PRESENT, UNDEFINED, UNMAPPED, ZERO, pattern},
    *,
};
use crate::container::{Growth, Kind, Segment};

#[test]
fn dynamic_disk_reads_present_blocks_and_zeros() {
    let disk = opened(&small().build());
    assert!(read_all(&disk) == small_content());
    let info = disk.info();
    assert_eq!((info.kind, info.block_size, info.virtual_size), (Kind::Dynamic, MIB, 3 * MIB + 512 * 1024));
    assert_eq!((info.logical_sector_size, info.physical_sector_size), (512, 4096));
    assert_eq!(info.creator, "vhdmount test writer");
    assert_eq!(info.data_id, Some(disk.data_write_guid()));
    assert_eq!(info.data_id.unwrap().to_string(), "d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
    assert_eq!(info.log, Some(crate::container::LogState::Clean));
    assert_eq!(info.problems, Vec::<String>::new());
    assert_eq!(disk.growth(), Growth { block_size: MIB, block_cost: MIB, group: None });
    assert!(matches!(disk.resolve(disk.virtual_size()), Err(Error::Invalid(_))));
    assert!(matches!(disk.resolve(u64::MAX), Err(Error::Invalid(_))));
}

#[test]
fn fixed_disk_is_one_segment() {
    let content = pattern(5 * MIB + 4096, 9);
    for (block_size, sector) in [(MIB, 512), (2 * MIB, 4096), (256 * MIB, 512)] {
        let disk = opened(&Recipe::fixed(block_size, &content).sector_size(sector).build());
        assert_eq!((disk.info().kind, disk.info().block_size), (Kind::Fixed, 0));
        let Segment { place: Place::File(_), len } = disk.resolve(0).unwrap() else { panic!("in the file") };
        assert_eq!(len, disk.virtual_size());
        assert!(read_all(&disk) == content, "{block_size}");
    }
}

/// Every kind of block, in dynamic and differencing disks.
#[test]
fn every_state_has_its_meaning() {
    // The first place after the structures, which block 6 takes.
    let file_offset = 4 * MIB;
    for differencing in [false, true] {
        let mut recipe = match differencing {
            true => Recipe::differencing(16 * MIB, MIB, [7; 16], "parent.vhdx"),
            false => Recipe::dynamic(16 * MIB, MIB),
        };
        for (number, state) in
            [(0, NOT_PRESENT), (1, UNDEFINED), (2, ZERO), (3, UNMAPPED), (4, 4), (5, 5), (7, 7)]
        {
            // The offset of a block that is not present is reserved: it may have any value.
            recipe = recipe.block(number, Block::Entry(file_offset | state));
        }
        let disk = opened(&recipe.block(6, Block::Full(vec![6])).build());
        let place = |number: u64| disk.resolve(number * MIB).map(|segment| segment.place);
        let absent = if differencing { Place::Parent } else { Place::Zero };
        assert_eq!(place(0).unwrap(), absent);
        for number in [1, 2, 3, 5] {
            assert_eq!(place(number).unwrap(), Place::Zero, "{number}");
        }
        assert!(is_corrupt(&place(4)));
        assert!(matches!(place(6).unwrap(), Place::File(_)));
        // Partially present without a parent, or without a sector bitmap.
        assert!(is_corrupt(&place(7)));
        assert_eq!(place(8).unwrap(), absent);
        assert_eq!(disk.allocation(7 * MIB).is_ok(), differencing);
    }
}

#[test]
fn misplaced_or_truncated_blocks_fail_alone() {
    let image = small().block(1, Block::Entry(MIB | 6)).build();
    let disk = opened(&image);
    let error = disk.resolve(MIB + 5).unwrap_err().to_string();
    assert!(error.contains("block 1") && error.contains("overlaps"), "{error}");
    assert!(read(&disk, 2 * MIB, 100).is_ok());

    for offset in [0, MIB, image.metadata_offset, image.bat_offset, 1 << 50, u64::MAX << 20] {
        let disk = opened(&small().block(1, Block::Entry(offset | 6)).build());
        assert!(is_corrupt(&disk.resolve(MIB)), "{offset:#x}");
    }

    // The file ends within block 3: the part before stays readable.
    let mut image = small().build();
    image.size -= MIB - 4096;
    let disk = opened(&image);
    assert_eq!(read(&disk, 3 * MIB, 4096).unwrap(), pattern(MIB, 3)[..4096]);
    let error = disk.resolve(3 * MIB + 4096).unwrap_err().to_string();
    assert!(error.contains("block 3") && error.contains("truncated"), "{error}");
}

#[test]
fn partially_present_sectors_come_from_the_file_and_others_from_the_parent() {
    for (sector_size, virtual_size) in [(512, 8 * MIB), (4096, 8 * MIB)] {
        let sectors: BTreeMap<u64, Vec<u8>> =
            [0, 1, 2, 9, 100, 255].map(|sector| (sector, pattern(u64::from(sector_size), sector))).into();
        let recipe = Recipe::differencing(virtual_size, 2 * MIB, [7; 16], "parent.vhdx")
            .sector_size(sector_size)
            .block(1, Block::Partial(sectors.clone()))
            .block(2, Block::Full(pattern(2 * MIB, 5)))
            .block(3, Block::Partial(BTreeMap::new()));
        let disk = opened(&recipe.build());
        let mut expected = vec![0xaa; usize::try_from(virtual_size).unwrap()];
        for (sector, bytes) in &sectors {
            let at = usize::try_from(2 * MIB + sector * u64::from(sector_size)).unwrap();
            expected[at..at + bytes.len()].copy_from_slice(bytes);
        }
        expected[4 << 20..6 << 20].copy_from_slice(&pattern(2 * MIB, 5));
        assert!(read_all(&disk) == expected, "{sector_size}");
        // A read from the middle of a sector, and an allocation query that ignores the bitmap.
        let got = read(&disk, 2 * MIB + 100, 2 * sector_size as usize).unwrap();
        assert_eq!(got, expected[(2 << 20) + 100..][..got.len()]);
        assert_eq!(disk.resolve(2 * MIB + 100).unwrap().len, u64::from(3 * sector_size) - 100);
        assert_eq!(disk.allocation(2 * MIB).unwrap().len, 2 * MIB);
        let ratio = (u64::from(sector_size) << 23) / (2 * MIB);
        assert_eq!(disk.growth().group, Some((ratio, MIB)));
    }
}

#[test]
fn bitmap_entries_lie_between_the_chunks() {
    // 256 MiB blocks: 16 per chunk. Blocks 15, 16, 31, 32 lie around the bitmap entries of chunks 0 and 1.
    let block = 256 * MIB;
    let numbers = [0, 14, 15, 16, 17, 31, 32, 33];
    let mut dynamic = Recipe::dynamic(34 * block, block);
    for number in numbers {
        dynamic = dynamic.block(number, Block::Full(pattern(4096, number)));
    }
    let mut differencing = Recipe::differencing(34 * block, block, [7; 16], "p.vhdx");
    for number in numbers {
        let sectors = [(1, pattern(512, number)), (524_287, pattern(512, number + 100))];
        differencing = differencing.block(number, Block::Partial(sectors.into()));
    }
    let (dynamic, differencing) = (opened(&dynamic.build()), opened(&differencing.build()));
    for number in 0..34 {
        let there = numbers.contains(&number);
        let expected = if there { pattern(4096, number) } else { vec![0; 4096] };
        assert_eq!(read(&dynamic, number * block, 4096).unwrap(), expected, "{number}");
        let expected = if there { pattern(512, number) } else { vec![0xaa; 512] };
        assert_eq!(read(&differencing, number * block + 512, 512).unwrap(), expected, "{number}");
        let expected = if there { pattern(512, number + 100) } else { vec![0xaa; 512] };
        assert_eq!(read(&differencing, (number + 1) * block - 512, 512).unwrap(), expected, "{number}");
        assert_eq!(read(&differencing, number * block, 512).unwrap(), vec![0xaa; 512]);
    }
}

#[test]
fn neighbours_in_the_file_are_one_segment() {
    let mut recipe = Recipe::dynamic(8 * MIB, MIB);
    for number in [1, 2, 3, 6, 7] {
        recipe = recipe.block(number, Block::Full(pattern(MIB, number)));
    }
    let disk = opened(&recipe.build());
    let lens: Vec<u64> =
        [0, MIB, 2 * MIB + 5, 4 * MIB, 6 * MIB].map(|offset| disk.resolve(offset).unwrap().len).into();
    assert_eq!(lens, [MIB, 3 * MIB, 2 * MIB - 5, 2 * MIB, 2 * MIB]);
}

#[test]
fn largest_disk_opens_at_once_and_reads_to_its_end() {
    let last = (64 << 20) - 1;
    for sector in [512, 4096] {
        let recipe =
            Recipe::dynamic(64 << 40, MIB).sector_size(sector).block(last, Block::Full(pattern(MIB, 3)));
        let image = recipe.build();
        let start = Instant::now();
        let disk = opened(&image);
        assert!(read(&disk, last * MIB, 1 << 20).unwrap() == pattern(MIB, 3));
        assert_eq!(read(&disk, 32 << 40, 512).unwrap(), vec![0; 512]);
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }
}
