use std::sync::Arc;

use super::*;
use crate::{
    bytes::ByteSource,
    container::{Format, Growth, Kind, LayerInfo, Place, Segment, Structures},
    fs::*,
    host::{Held, System},
    volume::{Placed, tests::Scattered},
};
use std::ops::{ControlFlow, Range};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A dynamic disk whose first blocks are allocated.
struct Thin {
    info: LayerInfo,
    growth: Growth,
    allocated: Vec<bool>,
    damaged: Vec<u64>,
    /// Blocks that lie where another one does.
    aliased: Vec<(u64, u64)>,
    structures: Structures,
    /// Groups with their bitmap block, by where that lies.
    bitmaps: Vec<Option<u64>>,
    source: Arc<dyn ByteSource>,
}

impl Thin {
    fn new(virtual_size: u64, block_size: u64, block_cost: u64, allocated: impl Fn(u64) -> bool) -> Self {
        let info = LayerInfo {
            path: String::new(),
            format: Format::Vhdx,
            kind: Kind::Dynamic,
            version: String::new(),
            creator: String::new(),
            file_size: 0,
            virtual_size,
            block_size,
            logical_sector_size: 512,
            physical_sector_size: 512,
            disk_id: None,
            data_id: None,
            parent_id: None,
            parent_paths: Vec::new(),
            log: None,
            problems: Vec::new(),
        };
        Self {
            info,
            growth: Growth { block_size, block_cost, group: None },
            allocated: (0..virtual_size.div_ceil(block_size)).map(allocated).collect(),
            damaged: Vec::new(),
            aliased: Vec::new(),
            structures: Structures::default(),
            bitmaps: Vec::new(),
            source: Arc::new(Unread(1 << 50)),
        }
    }
}

impl Layer for Thin {
    fn virtual_size(&self) -> u64 {
        self.info.virtual_size
    }
    fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }
    fn resolve(&self, offset: u64) -> Result<Segment> {
        let block = self.growth.block_size;
        let end = ((offset / block + 1) * block).min(self.virtual_size());
        if self.damaged.contains(&(offset / block)) {
            return Err(crate::Error::corrupt("entry", crate::Place::Byte(offset), "nonsense"));
        }
        let index = usize::try_from(offset / block).unwrap();
        let alias = self.aliased.iter().find(|(alias, _)| *alias == offset / block);
        let at = alias.map_or(offset, |(_, original)| original * block + offset % block);
        let head = self.structures.reserved.iter().map(|range| range.end).max().unwrap_or(0);
        let place = if self.allocated[index] { Place::File(head + at) } else { Place::Zero };
        Ok(Segment { place, len: end - offset })
    }
    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.resolve(offset)
    }
    fn growth(&self) -> Growth {
        self.growth
    }
    fn structures(&self) -> Structures {
        self.structures.clone()
    }
    fn group_place(&self, group: u64) -> Result<Option<u64>> {
        Ok(self.bitmaps.get(usize::try_from(group).unwrap()).copied().flatten())
    }
    fn info(&self) -> &LayerInfo {
        &self.info
    }
}

/// A file of this size of which no byte is read.
struct Unread(u64);

impl ByteSource for Unread {
    fn size(&self) -> u64 {
        self.0
    }
    fn read_exact_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        unreachable!("the layer has its table in memory")
    }
}

fn space(allocated: u64, free: u64) -> HostSpace {
    HostSpace { file_size: allocated, allocated, free, ..HostSpace::default() }
}

fn allocation(layer: &Thin, host: Option<&HostMap>) -> Allocation {
    let file_usage = FileUsage::survey(layer, host).unwrap();
    Allocation::count(layer, &file_usage, host).unwrap()
}

fn report(layer: &Thin, allocated: u64, free: u64) -> Report {
    report_on(layer, &space(allocated, free))
}

fn report_on(layer: &Thin, space: &HostSpace) -> Report {
    let allocation = allocation(layer, None);
    report_of(layer, space, &allocation, Chain::default(), Vec::new())
}

fn report_of(
    layer: &Thin,
    space: &HostSpace,
    allocation: &Allocation,
    chain: Chain,
    volumes: Vec<VolumeReport>,
) -> Report {
    let budget = HostBudget::new(layer, space, allocation);
    let figures = Figures { layer, space, allocation, budget: &budget, truncated: false, note: "" };
    Report::new(&figures, chain, volumes)
}

fn free(layer: &Thin, start: u64, ranges: Vec<Range<u64>>) -> Free {
    Free::count(layer, &FileUsage::default(), None, &from(start), &FreeList(ranges)).unwrap()
}

/// A volume from this byte of the disk on.
fn from(start: u64) -> Volume {
    Scattered::volume(vec![(Some(start), 1 << 60)])
}

fn budget(layer: &Thin, host_free: u64) -> HostBudget {
    HostBudget::new(layer, &space(0, host_free), &allocation(layer, None))
}

#[test]
fn a_hundred_promised_thirty_used_fifteen_free_is_forty_five() {
    let layer = Thin::new(100 * GIB, 32 * MIB, 32 * MIB, |block| block < 30 * 32);
    let report = report(&layer, 30 * GIB, 15 * GIB);
    assert_eq!(report.backed, 30 * GIB);
    assert_eq!(report.achievable_size, 45 * GIB);
    assert_eq!(report.shortfall, 55 * GIB);
    assert_eq!(report.growth_to_full, 70 * GIB);
    assert_eq!(report.status, Status::Overcommitted);
    assert_eq!(report.headline(), "100.0 GiB promised, 45.0 GiB achievable: OVERCOMMITTED by 55.0 GiB");
}

#[test]
fn block_overhead_and_rounding_are_subtracted() {
    let layer = Thin::new(100 * MIB, 2 * MIB, 2 * MIB + 512, |_| false);
    // Ten payloads would fit without their bitmaps; nine do with them.
    assert_eq!(report(&layer, 0, 20 * MIB).achievable_size, 18 * MIB);
    assert_eq!(report(&layer, 0, 0).status, Status::Critical);
    let full = report(&layer, 0, GIB);
    assert_eq!((full.achievable_size, full.status), (100 * MIB, Status::Ok));
    assert_eq!(full.growth_to_full, 50 * (2 * MIB + 512));
}

#[test]
fn a_last_short_block_never_promises_more_than_the_disk() {
    let layer = Thin::new(5 * MIB, 2 * MIB, 2 * MIB, |_| false);
    assert_eq!(report(&layer, 0, 6 * MIB).achievable_size, 5 * MIB);
    assert_eq!(report(&layer, 0, 5 * MIB).achievable_size, 4 * MIB);
}

#[test]
fn a_damaged_entry_costs_its_own_block_alone() {
    let mut layer = Thin::new(10 * MIB, 2 * MIB, 2 * MIB, |block| block == 0);
    layer.damaged = vec![1, 3];
    let report = report(&layer, 2 * MIB, GIB);
    assert_eq!((report.backed, report.achievable_size, report.shortfall), (2 * MIB, 6 * MIB, 4 * MIB));
    assert_eq!(report.status, Status::Ok);
    assert!(
        report.problem.starts_with("4.0 MiB") && report.problem.contains("nonsense"),
        "{}",
        report.problem
    );
    assert!(report.to_toml().contains("problem = "));
    let free = free(&layer, 0, vec![0..3 * MIB, 5 * MIB..9 * MIB]);
    assert_eq!(free.achievable(&budget(&layer, GIB), 1), 2 * MIB + MIB + MIB);
    let usage = |layer| {
        let disk = Arc::new(Disk::new(vec![Arc::new(layer)]));
        Capacity::new(disk, Vec::new(), Vec::new(), Arc::new(System)).disk_usage()
    };
    assert!(usage(layer).is_ok());
}

#[test]
fn reserved_space_that_was_never_written_is_backed() {
    let layer = Thin::new(100, 1, 1, |_| true);
    let mut allocation = Allocation { backed: 10, holes: 90, ..Allocation::default() };
    // Half of the file exists, though nothing but 10 bytes was written.
    allocation.split_holes(50, &space(0, 0));
    let budget = HostBudget::new(&layer, &space(0, 5), &allocation);
    assert_eq!(
        (allocation.backed, allocation.growth_to_full(&layer.growth), budget.achievable(&allocation)),
        (50, 50, 55)
    );
    allocation.split_holes(60, &space(0, 0));
    assert_eq!(allocation.holes, 50);
    let mut free = Free::default();
    (free.backed, free.holes) = (1, 90);
    free.split_holes(50, &space(0, 0));
    assert_eq!((free.backed, free.holes), (41, 50));
}

#[test]
fn what_a_thin_volume_has_reserved_needs_space_below_it() {
    let layer = Thin::new(100, 1, 1, |_| true);
    // The volume has 60 free and its image can back 20; 30 bytes of the file's holes are the volume's, 40 are reserved.
    let nested = HostSpace { below: Some(20), ..space(30, 60) };
    let mut allocation = Allocation { backed: 30, holes: 70, ..Allocation::default() };
    allocation.split_holes(30, &nested);
    assert_eq!((allocation.backed, allocation.holes, allocation.unbacked), (30, 30, 40));
    let achievable = HostBudget::new(&layer, &nested, &allocation).achievable(&allocation);
    assert_eq!(achievable, 30 + 20 + 30);
    assert_eq!(allocation.growth_to_full(&layer.growth), 70);
}

#[test]
fn holes_and_shared_space_of_the_host_file_are_told_from_its_own_byte_by_byte() {
    let layer = Thin::new(8 * MIB, MIB / 2, MIB / 2, |block| block < 14);
    let map = HostMap::new([
        (MIB + 4096..2 * MIB, Held::Own),
        (2 * MIB..3 * MIB, Held::Shared),
        (5 * MIB..6 * MIB, Held::Own),
    ]);
    let allocation = allocation(&layer, Some(&map));
    assert_eq!((allocation.backed, allocation.shared), (3 * MIB - 4096, MIB));
    assert_eq!((allocation.holes, allocation.absent), (4 * MIB + 4096, MIB));
    let list = FreeList(vec![MIB..2 * MIB, 2 * MIB..4 * MIB]);
    let free = Free::count(&layer, &FileUsage::default(), Some(&map), &from(0), &list).unwrap();
    assert_eq!((free.backed, free.holes), (MIB - 4096, 2 * MIB + 4096), "overwriting shared space takes new");
}

#[cfg(target_os = "linux")]
#[test]
fn the_running_system_tells_holes_from_data() {
    use std::os::unix::fs::FileExt;

    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8 * MIB).unwrap();
    for at in [1, 2, 5] {
        file.as_file().write_all_at(&vec![1; 1 << 20], at * MIB).unwrap();
    }
    let host = FileSource::open(file.path()).unwrap();
    let space = System.space(&host).unwrap();
    let sought = HostMap::sought(&host);
    if sought.at(0).0.is_some() {
        return; // A host that tells no holes.
    }
    for map in [sought, System.map(&host, &space).unwrap()] {
        assert_eq!((map.at(0), map.occupied(0..8 * MIB)), ((None, MIB), 3 * MIB), "{map:?}");
        assert_eq!((map.at(MIB).0, map.at(5 * MIB)), (Some(Held::Own), (Some(Held::Own), MIB)));
    }
    assert!(!space.filesystem.name().is_empty() && space.unit > 0, "{space:?}");
}

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

pub(crate) struct FreeList(pub(crate) Vec<Range<u64>>);

impl FileSystem for FreeList {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo::default()
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn stat(&self, _: NodeId) -> Result<Stat> {
        Err(crate::Error::invalid("none"))
    }

    fn lookup(&self, _: NodeId, _: Name<'_>) -> Result<Option<NodeId>> {
        Ok(None)
    }

    fn read_dir(
        &self,
        _: NodeId,
        _: DirCursor,
        _: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(node)
    }

    fn open(&self, _: NodeId) -> Result<Arc<dyn ByteSource>> {
        Err(crate::Error::invalid("none"))
    }

    fn read_link(&self, _: NodeId) -> Result<LinkTarget> {
        Err(crate::Error::invalid("none"))
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Space for FreeList {
    fn usage(&self) -> Result<Usage> {
        Ok(Usage::default())
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let _ = self.0.iter().cloned().try_for_each(sink);
        Ok(())
    }
}

/// The same figures from a map with one entry per byte.
fn naive(layer: &Thin, volume: &Volume, free: &[Range<u64>], host_free: u64) -> u64 {
    let (mut backed, mut gains) = (0, vec![0_u64; layer.allocated.len()]);
    let on_disk = |at| match volume.place(at) {
        Placed::Disk { offset, .. } => Some(offset),
        Placed::Nowhere { .. } => None,
    };
    for at in free.iter().cloned().flatten().filter_map(on_disk) {
        let block = usize::try_from(at / layer.growth.block_size).unwrap();
        if layer.allocated[block] { backed += 1 } else { gains[block] += 1 }
    }
    gains.sort_unstable_by(|a, b| b.cmp(a));
    let blocks = usize::try_from(host_free / layer.growth.block_cost).unwrap();
    backed + gains.iter().take(blocks).sum::<u64>()
}

#[test]
fn free_space_crossed_with_blocks_equals_a_count_by_byte() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..200 {
        let mask = random(u64::MAX);
        let layer = Thin::new(1000, 32, 33, |block| mask >> block & 1 == 1);
        let start = random(100);
        let (mut at, mut ranges) = (0, Vec::new());
        loop {
            at += random(90);
            let len = 1 + random(150);
            if at + len + start > 1000 {
                break;
            }
            ranges.push(at..at + len);
            at += len;
        }
        let counted = free(&layer, start, ranges.clone());
        for host_free in [0, 32, 33, 100, 330, 10_000] {
            assert_eq!(
                counted.achievable(&budget(&layer, host_free), 1),
                naive(&layer, &from(start), &ranges, host_free),
                "{ranges:?} {start}"
            );
        }
    }
}

#[test]
fn a_volume_in_stretches_of_any_order_is_counted_as_by_byte() {
    let mut seed = 11_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..200 {
        let mask = random(u64::MAX);
        let layer = Thin::new(1000, 32, 33, |block| mask >> block & 1 == 1);
        // The disk's second part first, then a part that is nowhere, then the first: they meet inside a block.
        let (gap, middle, end) = (random(50), 100 + random(400), 600 + random(400));
        let first = random(100);
        let volume =
            Scattered::volume(vec![(Some(middle), end - middle), (None, gap), (Some(first), middle - first)]);
        let (mut at, mut ranges) = (0, Vec::new());
        while at < volume.bytes.size() {
            let start = at + random(60);
            at = start + 1 + random(if round % 2 == 0 { 300 } else { 12 });
            ranges.push(start..at);
        }
        let list = FreeList(ranges.clone());
        let counted = Free::count(&layer, &FileUsage::default(), None, &volume, &list).unwrap();
        for host_free in [0, 32, 33, 100, 330, 10_000] {
            let expected = naive(&layer, &volume, &ranges, host_free);
            assert_eq!(counted.achievable(&budget(&layer, host_free), 1), expected, "{ranges:?} {middle}");
        }
    }
}

#[test]
fn report_is_valid_toml_with_the_same_data_as_json() {
    let layer = Thin::new(100 * GIB, 32 * MIB, 32 * MIB, |block| block < 30 * 32);
    let chain = Chain { parents: vec!["C:\\a \"b\"\n.vhdx".into()], hosts: vec!["/srv (ext4)".into()] };
    let volume = VolumeReport { name: "p3".into(), label: "Wörk\u{1}".into(), ..VolumeReport::default() };
    let report =
        report_of(&layer, &space(30 * GIB, 15 * GIB), &allocation(&layer, None), chain, vec![volume]);
    let toml: toml::Value = toml::from_str(&report.to_toml()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&crate::json::to_text(&report)).unwrap();
    for key in ["virtual_size", "backed", "achievable_size", "shortfall", "host_free", "growth_to_full"] {
        assert_eq!(toml[key].as_integer(), json[key].as_i64(), "{key}");
    }
    assert_eq!(
        (toml["schema"].as_str(), json["schema"].as_str()),
        (Some("image-capacity/1"), Some("image-capacity/1"))
    );
    assert_eq!(toml["parents"][0].as_str(), Some(report.parents[0].as_str()));
    assert_eq!(toml["volume"]["p3"]["label"].as_str(), Some("Wörk\u{1}"));
}
