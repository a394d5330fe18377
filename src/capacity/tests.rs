mod format_overhead;
mod free_list;
mod free_space;

use super::*;
use std::sync::Arc;

use crate::{
    bytes::ByteSource,
    container::{Format, Growth, Kind, LayerInfo, Place, Segment, Structures},
    fs::*,
    host::{Held, System},
    volume::{Placed, tests::Scattered},
};

use std::ops::{ControlFlow, Range};

pub(crate) use self::free_list::FreeList;

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
fn holes_and_shared_space_of_the_host_file_are_distinguished_from_its_own_byte_by_byte() {
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
fn the_running_system_distinguishes_holes_from_data() {
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
        return;
    }
    for map in [sought, System.map(&host, &space).unwrap()] {
        assert_eq!((map.at(0), map.occupied(0..8 * MIB)), ((None, MIB), 3 * MIB), "{map:?}");
        assert_eq!((map.at(MIB).0, map.at(5 * MIB)), (Some(Held::Own), (Some(Held::Own), MIB)));
    }
    assert!(!space.filesystem.name().is_empty() && space.unit > 0, "{space:?}");
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
