//! Tests of what a format and its host add to the data: bitmaps, tables, pointer blocks.

use super::*;

#[test]
fn bitmap_blocks_of_a_group_are_paid_once() {
    // 64 blocks of 2 bytes; a group of four costs 4·2+1 = 9.
    let mut layer = Thin::new(128, 2, 2, |_| false);
    layer.growth.group = Some((4, 1));
    for (free, blocks) in [(0, 0), (2, 0), (3, 1), (8, 3), (9, 4), (11, 4), (12, 5), (18, 8)] {
        let budget = budget(&layer, free);
        assert_eq!(budget.blocks(free), blocks, "{free}");
    }
    assert_eq!(report(&layer, 0, 0).growth_to_full, 128 + 16);
}

#[test]
fn bitmap_blocks_that_exist_are_not_paid_again() {
    let mut layer = Thin::new(64 * MIB, 2 * MIB, 2 * MIB, |block| block == 4);
    layer.growth.group = Some((4, MIB));
    layer.structures = structures();
    // The second group has its bitmap block and three absent blocks; seven groups have none.
    layer.bitmaps = vec![None, Some(100 * MIB)];
    let report = report(&layer, 0, 0);
    assert_eq!((report.growth_to_full, report.overhead_to_full), (62 * MIB + 7 * MIB, 7 * MIB));
    for (free, blocks) in [(5, 2), (6, 3), (8, 3), (9, 4), (15, 7), (16, 7), (18, 8)] {
        assert_eq!(budget(&layer, free * MIB).blocks(free * MIB), blocks, "{free}");
    }
}

/// As in a VHDX: log from 1 MiB on, table from 2 MiB on, blocks from 4 MiB on.
fn structures() -> Structures {
    Structures {
        reserved: vec![0..MIB, MIB..2 * MIB, 2 * MIB..4 * MIB],
        table: 2 * MIB..2 * MIB + 512,
        table_entry: 8,
        log: MIB..2 * MIB,
        log_entry: 8192,
        alignment: MIB,
        block_head: 0,
        trailer: 0,
    }
}

#[test]
fn holes_of_the_log_and_the_table_are_paid_as_far_as_blocks_touch_them() {
    let mut layer = Thin::new(64 * MIB, MIB, MIB, |_| false);
    layer.structures = structures();
    let map = HostMap::new([(0..4096, Held::Own)]);
    let allocation = allocation(&layer, Some(&map));
    assert_eq!((allocation.log_holes, allocation.table_holes), (MIB, 512));
    let blocks = |free: u64| {
        let space = HostSpace { file_size: 4 * MIB, unit: 4096, ..space(4096, free) };
        let budget = HostBudget::new(&layer, &space, &allocation);
        budget.blocks(free)
    };
    // Ten blocks and what their eleven candidates write to the log; the table's holes are half a host block.
    assert_eq!(blocks(10 * MIB), 9);
    assert_eq!(blocks(10 * MIB + 11 * 8192 + 512), 9, "host blocks are whole");
    assert_eq!(blocks(10 * MIB + 11 * 8192 + 4096), 10);
    assert_eq!(blocks(4096), 0);
    let full = Allocation { beyond_end: MIB, ..allocation.clone() };
    let space = HostSpace { file_size: 4 * MIB, unit: 4096, ..space(4096, 10 * MIB) };
    assert_eq!(HostBudget::new(&layer, &space, &full).blocks(10 * MIB), 10, "reserved behind the end");
}

#[test]
fn blocks_at_the_same_place_of_the_file_count_once() {
    let mut layer = Thin::new(16 * MIB, MIB, MIB, |block| block < 8);
    layer.structures = structures();
    layer.aliased = vec![(3, 1), (4, 1), (7, 0)];
    layer.source = Arc::new(Unread(30 * MIB));
    let report = report(&layer, 0, GIB);
    assert_eq!((report.backed, report.achievable_size), (5 * MIB, 13 * MIB));
    assert!(report.problem.contains("same place"), "{}", report.problem);
    let file_usage = FileUsage::survey(&layer, None).unwrap();
    assert_eq!(file_usage.aliases, [3 * MIB..5 * MIB, 7 * MIB..8 * MIB]);
    // Of the file's 30 MiB, 4 are structures and five blocks are used.
    assert_eq!((file_usage.unused, file_usage.unused_on_host), (21 * MIB, 21 * MIB));
    let list = FreeList(vec![0..MIB, MIB..16 * MIB]);
    let free = Free::count(&layer, &file_usage, None, &from(0), &list).unwrap();
    assert_eq!(free.achievable(&budget(&layer, GIB), 1), 13 * MIB);
}

#[test]
fn a_file_that_may_get_no_longer_gets_no_blocks() {
    let layer = Thin::new(100 * MIB, 2 * MIB, 2 * MIB + 512, |_| false);
    let limited = |room| HostSpace { room: Some(room), ..space(0, GIB) };
    assert_eq!(report_on(&layer, &limited(20 * MIB)).achievable_size, 18 * MIB);
    let none = report_on(&layer, &limited(0));
    assert_eq!((none.achievable_size, none.achievable_at_most), (0, 0));
}

#[test]
fn pointer_blocks_of_the_host_are_paid_too() {
    let layer = Thin::new(GIB, MIB, MIB, |_| false);
    let ext3 = HostSpace { unit: 4096, pointers: Some(1024), ..space(0, 500 * MIB) };
    assert_eq!(report_on(&layer, &ext3).achievable_size, 499 * MIB);
    assert_eq!(report(&layer, 0, 500 * MIB).achievable_size, 500 * MIB);
}
