use std::sync::Arc;

use super::{
    backing::{Free, Stock},
    *,
};
use crate::{
    bytes::{ByteSource, MemorySource},
    container::{Format, Growth, Kind, LayerInfo, Place, Segment},
    fs::*,
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
            disk_id: String::new(),
            data_id: String::new(),
            parent_id: String::new(),
            parent_paths: Vec::new(),
            log: String::new(),
            problems: Vec::new(),
        };
        Self {
            info,
            growth: Growth { block_size, block_cost, group: None },
            allocated: (0..virtual_size.div_ceil(block_size)).map(allocated).collect(),
            damaged: Vec::new(),
            source: Arc::new(MemorySource::default()),
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
            return Err(crate::Error::corrupt("entry", offset / block, "nonsense"));
        }
        let index = usize::try_from(offset / block).unwrap();
        let place = if self.allocated[index] { Place::File(offset) } else { Place::Zero };
        Ok(Segment { place, len: end - offset })
    }
    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.resolve(offset)
    }
    fn growth(&self) -> Growth {
        self.growth
    }
    fn info(&self) -> &LayerInfo {
        &self.info
    }
}

fn space(allocated: u64, free: u64) -> HostSpace {
    HostSpace { file_size: allocated, allocated, free, ..HostSpace::default() }
}

fn report(layer: &Thin, allocated: u64, free: u64) -> Report {
    let stock = Stock::count(layer, None).unwrap();
    Report::new(layer, &space(allocated, free), &stock, Vec::new(), Vec::new())
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
    let free = Free::count(&layer, None, 0, &FreeList(vec![0..3 * MIB, 5 * MIB..9 * MIB])).unwrap();
    assert_eq!(free.achievable(GIB, &layer.growth), 2 * MIB + MIB + MIB);
    let usage = |layer| {
        let disk = Arc::new(Disk::new(vec![Arc::new(layer)]));
        Capacity::new(disk, Vec::new(), Vec::new(), Box::new(System)).disk_usage()
    };
    assert!(usage(layer).is_ok());
}

#[test]
fn reserved_space_that_was_never_written_is_backed() {
    let mut stock = Stock { backed: 10, holes: 90, ..Stock::default() };
    // Half of the file exists, though nothing but 10 bytes was written.
    stock.limit_holes(50);
    let growth = Growth { block_size: 1, block_cost: 1, group: None };
    assert_eq!((stock.backed, stock.growth_to_full(&growth), stock.achievable(5, &growth)), (50, 50, 55));
    stock.limit_holes(60);
    assert_eq!(stock.holes, 50);
    let mut free = Free::default();
    (free.backed, free.holes) = (1, 90);
    free.limit_holes(50);
    assert_eq!((free.backed, free.holes), (41, 50));
}

#[cfg(unix)]
#[test]
fn holes_of_the_host_file_are_told_from_its_data_block_by_block() {
    use std::os::unix::fs::FileExt;

    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8 * MIB).unwrap();
    for at in [1, 2, 5] {
        file.as_file().write_all_at(&vec![1; 1 << 20], at * MIB).unwrap();
    }
    let host = FileSource::open(file.path()).unwrap();
    if host.extent_at(0).unwrap().kind == crate::bytes::ExtentKind::Data {
        return; // A host that tells no holes.
    }
    let layer = Thin::new(8 * MIB, MIB / 2, MIB / 2, |block| block < 14);
    let stock = Stock::count(&layer, Some(&host)).unwrap();
    assert_eq!((stock.backed, stock.holes, stock.absent), (3 * MIB, 4 * MIB, MIB));
}

#[test]
fn bitmap_blocks_of_a_group_are_paid_once() {
    let growth = Growth { block_size: 2, block_cost: 2, group: Some((4, 1)) };
    // A group of four blocks costs 4·2+1 = 9.
    for (free, blocks) in [(0, 0), (2, 0), (3, 1), (8, 3), (9, 4), (11, 4), (12, 5), (18, 8)] {
        assert_eq!(super::backing::blocks_for(free, &growth), blocks, "{free}");
    }
}

struct FreeList(Vec<Range<u64>>);

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
    fn usage(&self) -> Result<Usage> {
        Ok(Usage::default())
    }
    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let _ = self.0.iter().cloned().try_for_each(sink);
        Ok(())
    }
}

/// The same figures from a map with one entry per byte.
fn naive(layer: &Thin, start: u64, free: &[Range<u64>], host_free: u64) -> u64 {
    let (mut backed, mut gains) = (0, vec![0_u64; layer.allocated.len()]);
    for at in free.iter().cloned().flatten().map(|at| at + start) {
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
        let counted = Free::count(&layer, None, start, &FreeList(ranges.clone())).unwrap();
        for host_free in [0, 32, 33, 100, 330, 10_000] {
            assert_eq!(
                counted.achievable(host_free, &layer.growth),
                naive(&layer, start, &ranges, host_free),
                "{ranges:?} {start}"
            );
        }
    }
}

#[test]
fn report_is_valid_toml_with_the_same_data_as_json() {
    let layer = Thin::new(100 * GIB, 32 * MIB, 32 * MIB, |block| block < 30 * 32);
    let mut report = report(&layer, 30 * GIB, 15 * GIB);
    report.parents = vec!["C:\\a \"b\"\n.vhdx".into()];
    report.volumes =
        vec![VolumeReport { name: "p3".into(), label: "Wörk\u{1}".into(), ..VolumeReport::default() }];
    let toml: toml::Value = toml::from_str(&report.to_toml()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    for key in ["virtual_size", "backed", "achievable_size", "shortfall", "host_free", "growth_to_full"] {
        assert_eq!(toml[key].as_integer(), json[key].as_i64(), "{key}");
    }
    assert_eq!(toml["parents"][0].as_str(), Some(report.parents[0].as_str()));
    assert_eq!(toml["volume"]["p3"]["label"].as_str(), Some("Wörk\u{1}"));
}

#[test]
fn sizes_for_people_round_sensibly() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1_048_575, "1.0 MiB"),
        (45 * GIB, "45.0 GiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(human(bytes), text);
    }
}
