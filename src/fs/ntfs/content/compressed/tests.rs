use super::*;
use crate::{
    bytes::{MemorySource, testing::Faulty},
    codec::lznt1::tests::compress,
};

const UNIT: usize = 16384;
const CLUSTER: usize = 1024;

/// A file of five units: LZNT1, raw in two runs, a hole, LZNT1 in two runs, raw and truncated by the end of the runs.
fn sample() -> (Vec<u8>, Vec<u8>, RunList) {
    let text =
        |seed: usize| (0..UNIT).map(|i| ((i * i / 100 + seed) % 7).to_le_bytes()[0]).collect::<Vec<u8>>();
    let noise = |len: usize| (0..len).map(|i| (i * 7919 % 251).to_le_bytes()[0]).collect::<Vec<u8>>();
    let (mut content, mut disk, mut runs) = (Vec::new(), vec![0xdd; 3 * CLUSTER], RunList::new());
    let mut store = |bytes: &[u8], runs: &mut RunList| {
        let position = disk.len() as u64;
        disk.extend(bytes);
        disk.resize(disk.len().next_multiple_of(CLUSTER), 0);
        runs.push(disk.len() as u64 - position, Some(position)).unwrap();
        // The next run is not adjacent.
        disk.extend([0xdd; CLUSTER]);
    };
    let pad = |runs: &mut RunList| {
        runs.push(runs.len().next_multiple_of(UNIT as u64) - runs.len(), None).unwrap();
    };
    content.extend(text(0));
    store(&compress(&text(0)), &mut runs);
    pad(&mut runs);
    content.extend(noise(UNIT));
    store(&noise(UNIT)[..5 * CLUSTER], &mut runs);
    store(&noise(UNIT)[5 * CLUSTER..], &mut runs);
    content.extend(vec![0; UNIT]);
    runs.push(UNIT as u64, None).unwrap();
    content.extend(text(3));
    let packed = compress(&text(3));
    assert!(packed.len() > CLUSTER && packed.len() < UNIT - CLUSTER);
    store(&packed[..CLUSTER], &mut runs);
    store(&packed[CLUSTER..], &mut runs);
    pad(&mut runs);
    content.extend(&noise(2500));
    store(&noise(2500), &mut runs);
    (content, disk, runs)
}

fn source(disk: Vec<u8>, runs: RunList, size: usize, valid: usize) -> CompressedSource {
    let (volume, cache) = (Arc::new(MemorySource(disk)), Arc::new(Cache::new(1 << 20)));
    let unit = u32::try_from(UNIT).unwrap();
    CompressedSource::new(volume, Arc::new(runs), size as u64, valid as u64, unit, cache, 1)
}

fn read(source: &CompressedSource, offset: usize, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0xee; len];
    source.read_exact_at(offset as u64, &mut buf).map(|()| buf)
}

#[test]
fn every_kind_of_unit_reads_at_every_alignment() {
    let (content, disk, runs) = sample();
    let source = source(disk, runs, content.len(), content.len());
    assert!(read(&source, 0, content.len()).unwrap() == content);
    for offset in (0..content.len()).step_by(1111) {
        for len in [0, 1, 700, UNIT, UNIT + 1, 2 * UNIT, 3 * UNIT + 5] {
            let len = len.min(content.len() - offset);
            assert!(read(&source, offset, len).unwrap() == content[offset..offset + len], "{offset} {len}");
        }
    }
    assert!(matches!(read(&source, content.len(), 1), Err(Error::Invalid(_))));
}

#[test]
fn uninitialized_tail_reads_as_zeros() {
    let (mut content, disk, runs) = sample();
    let source = source(disk, runs, content.len(), UNIT + 5000);
    content[UNIT + 5000..].fill(0);
    assert!(read(&source, 0, content.len()).unwrap() == content);
    assert_eq!(source.extent_at(UNIT as u64 + 6000).unwrap().kind, ExtentKind::Hole);
}

#[test]
fn only_whole_holes_are_reported_as_holes() {
    let (content, disk, runs) = sample();
    let source = source(disk, runs, content.len(), content.len());
    let (mut offset, mut kinds) = (0, Vec::new());
    while offset < source.size() {
        let extent = source.extent_at(offset).unwrap();
        kinds.push((offset, extent.kind == ExtentKind::Hole));
        offset += extent.len;
    }
    let unit = UNIT as u64;
    assert_eq!(offset, source.size());
    assert_eq!(kinds, [(0, false), (unit, false), (2 * unit, true), (3 * unit, false), (4 * unit, false)]);
    assert_eq!(source.extent_at(2 * unit + 100).unwrap(), Extent { kind: ExtentKind::Hole, len: unit - 100 });
    assert_eq!(source.extent_at(offset).unwrap().len, 0);
}

#[test]
fn damage_is_local_to_its_unit() {
    let (content, mut disk, runs) = sample();
    // The first chunk's header: longer than its data.
    disk[3 * CLUSTER] = 0xff;
    disk[3 * CLUSTER + 1] = 0xbf;
    let source = source(disk, runs, content.len(), content.len());
    for (offset, len) in [(0, 1), (0, UNIT), (UNIT - 1, 2)] {
        let error = read(&source, offset, len).unwrap_err();
        assert!(matches!(&error, Error::Corrupt(_)) && error.to_string().contains("unit 0"), "{error}");
    }
    assert!(read(&source, UNIT, content.len() - UNIT).unwrap() == content[UNIT..]);
}

#[test]
fn contradicting_runs_are_errors() {
    let (content, disk, _) = sample();
    let mut hole_first = RunList::new();
    hole_first.push(CLUSTER as u64, None).unwrap();
    hole_first.push((UNIT - CLUSTER) as u64, Some(0)).unwrap();
    let damaged = source(disk.clone(), hole_first, UNIT, UNIT);
    assert!(read(&damaged, 0, 10).unwrap_err().to_string().contains("data after a hole"));
    assert_eq!(damaged.extent_at(0).unwrap().kind, ExtentKind::Data);
    let mut short = RunList::new();
    short.push(UNIT as u64, Some(0)).unwrap();
    let short = source(disk, short, content.len(), content.len());
    assert!(read(&short, 0, UNIT).is_ok());
    assert!(read(&short, UNIT, 1).is_err());
}

#[test]
fn a_failed_read_is_not_cached() {
    let (content, disk, runs) = sample();
    let volume: Arc<dyn ByteSource> =
        Arc::new(Faulty::new(Arc::new(MemorySource(disk)), std::iter::once(0..4096).collect()));
    let (runs, cache) = (Arc::new(runs), Arc::new(Cache::new(1 << 20)));
    let (size, unit) = (content.len() as u64, u32::try_from(UNIT).unwrap());
    let source = CompressedSource::new(volume, runs, size, size, unit, cache.clone(), 1);
    assert!(matches!(read(&source, 5, 5), Err(Error::Io { .. })));
    assert!(cache.get(&(1, 0)).is_none());
    assert!(read(&source, 3 * UNIT + 1, 100).unwrap() == content[3 * UNIT + 1..][..100]);
    assert!(cache.get(&(1, 3)).is_some());
}
