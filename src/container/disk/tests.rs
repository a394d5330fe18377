use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::{
    Error,
    bytes::MemorySource,
    container::{Growth, LayerInfo, Segment, raw},
};

/// Counts reads, so that a test sees what was joined.
struct Counting(MemorySource, AtomicUsize);

impl ByteSource for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.1.fetch_add(1, Relaxed);
        self.0.read_exact_at(offset, buf)
    }
}

/// Segments from a list: place and length, in order.
struct Listed {
    source: Arc<dyn ByteSource>,
    segments: Vec<(Place, u64)>,
    info: LayerInfo,
}

impl Listed {
    fn layer(source: Arc<dyn ByteSource>, segments: &[(Place, u64)]) -> Arc<dyn Layer> {
        let info = raw::open(source.clone(), "", None).info().clone();
        Arc::new(Self { source, segments: segments.to_vec(), info })
    }
}

impl Layer for Listed {
    fn virtual_size(&self) -> u64 {
        self.segments.iter().map(|(_, len)| len).sum()
    }

    fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }

    fn resolve(&self, offset: u64) -> Result<Segment> {
        let mut start = 0;
        for (place, len) in &self.segments {
            if offset < start + len {
                let into = offset - start;
                let place = if let Place::File(at) = place { Place::File(at + into) } else { *place };
                return Ok(Segment { place, len: len - into });
            }
            start += len;
        }
        Err(Error::invalid("beyond the end"))
    }

    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.resolve(offset)
    }

    fn growth(&self) -> Growth {
        Growth { block_size: 1, block_cost: 1, group: None }
    }

    fn info(&self) -> &LayerInfo {
        &self.info
    }
}

fn counting(first: u8) -> Arc<Counting> {
    Arc::new(Counting(MemorySource((first..first + 100).collect()), AtomicUsize::new(0)))
}

#[test]
fn adjacent_blocks_are_one_read() {
    let file = counting(0);
    let places = [(Place::File(10), 10), (Place::File(20), 10), (Place::File(50), 10)];
    let disk = Disk::new(vec![Listed::layer(file.clone(), &places)]);
    file.1.store(0, Relaxed);
    let mut buf = [0; 30];
    disk.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(file.1.load(Relaxed), 2);
    assert_eq!((buf[0], buf[19], buf[20]), (10, 29, 50));
    disk.read_exact_at(5, &mut buf[..10]).unwrap();
    assert_eq!((file.1.load(Relaxed), buf[0], buf[9]), (3, 15, 24));
}

#[test]
fn each_layer_gives_what_the_one_above_lacks() {
    let (top, middle, base) = (counting(0), counting(50), counting(100));
    let disk = Disk::new(vec![
        Listed::layer(top, &[(Place::File(0), 4), (Place::Parent, 10), (Place::Zero, 2), (Place::Parent, 8)]),
        Listed::layer(middle, &[(Place::Parent, 8), (Place::File(0), 10)]),
        Listed::layer(base, &[(Place::File(0), 10), (Place::Parent, 2)]),
    ]);
    let mut buf = [9; 24];
    disk.read_exact_at(0, &mut buf).unwrap();
    let expected = [0, 1, 2, 3, 104, 105, 106, 107, 50, 51, 52, 53, 54, 55, 0, 0, 58, 59, 0, 0, 0, 0, 0, 0];
    assert_eq!(buf, expected);
    // Every part of it alone.
    for start in 0..24_usize {
        for end in start..24 {
            let mut part = vec![9; end - start];
            disk.read_exact_at(start as u64, &mut part).unwrap();
            assert_eq!(part, expected[start..end]);
        }
    }
}

#[test]
fn extents_distinguish_holes_and_join_equals() {
    let (top, base) = (counting(0), counting(50));
    let disk = Disk::new(vec![
        Listed::layer(top, &[(Place::File(0), 4), (Place::Parent, 10), (Place::Zero, 2), (Place::Parent, 8)]),
        Listed::layer(base, &[(Place::File(9), 9), (Place::Parent, 1)]),
    ]);
    let extents: Vec<_> = [0, 3, 9, 23, 24].into_iter().map(|at| disk.extent_at(at).unwrap()).collect();
    let (data, hole) = (ExtentKind::Data, ExtentKind::Hole);
    assert_eq!(extents[0], Extent { kind: data, len: 9 });
    assert_eq!(extents[1], Extent { kind: data, len: 6 });
    assert_eq!(extents[2], Extent { kind: hole, len: 15 });
    assert_eq!(extents[3], Extent { kind: hole, len: 1 });
    assert_eq!(extents[4], Extent { kind: hole, len: 0 });
}

#[test]
fn reads_beyond_the_end_are_refused() {
    let disk = Disk::new(vec![Listed::layer(counting(0), &[(Place::File(0), 4)])]);
    assert!(matches!(disk.read_exact_at(1, &mut [0; 4]), Err(Error::Invalid(_))));
    assert!(matches!(disk.read_exact_at(u64::MAX, &mut [0; 4]), Err(Error::Invalid(_))));
    disk.read_exact_at(4, &mut []).unwrap();
}
