//! A volume in any number of stretches, for the tests of what counts bytes of the disk; the expansion of volumes.

use std::ops::Range;

use super::*;
use crate::bytes::MemorySource;

/// A volume in stretches of the disk, in any order: for tests.
pub(crate) struct Scattered(Vec<(Option<u64>, u64)>);

impl Scattered {
    /// Made of these, each with its first byte on the disk and its length; all of its bytes are zeros.
    pub(crate) fn volume(stretches: Vec<(Option<u64>, u64)>) -> Volume {
        let scattered = Arc::new(Self(stretches));
        let (bytes, placement): (Arc<dyn ByteSource>, Arc<dyn Placement>) = (scattered.clone(), scattered);
        Volume { id: None, name: "p1".into(), bytes, origin: Origin::WholeDisk, placement }
    }
}

impl ByteSource for Scattered {
    fn size(&self) -> u64 {
        self.0.iter().map(|(_, len)| len).sum()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> crate::Result<()> {
        crate::bytes::check_range(self.size(), offset, buf.len())?;
        buf.fill(0);
        Ok(())
    }
}

impl Placement for Scattered {
    fn place(&self, mut offset: u64) -> Placed {
        for (start, len) in &self.0 {
            match (start, offset.checked_sub(*len)) {
                (_, Some(rest)) => offset = rest,
                (Some(start), None) => return Placed::Disk { offset: start + offset, len: len - offset },
                (None, None) => return Placed::Nowhere { len: len - offset },
            }
        }
        Placed::Nowhere { len: u64::MAX }
    }
}

fn pieces(count: u32) -> Vec<Piece> {
    let disk: Arc<dyn ByteSource> = Arc::new(MemorySource(vec![0; 100]));
    let piece = |number: u32| Piece {
        id: None,
        name: format!("p{number}"),
        origin: Origin::Partition(number),
        bytes: Window::new(disk.clone(), u64::from(number), 1),
    };
    (1..=count).map(piece).collect()
}

fn names(volumes: &[Volume]) -> Vec<&str> {
    volumes.iter().map(|volume| &*volume.name).collect()
}

/// Makes a volume of each other one, as long as its name is short.
struct Inner(usize);

impl Format for Inner {
    fn known(&self) -> Known {
        Known { name: "inner", hint: "" }
    }
    fn detect(&self, _: &Look<'_>) -> crate::Result<bool> {
        Ok(false)
    }
    fn volumes(&self, all: &[Volume], fresh: Range<usize>) -> Vec<Volume> {
        let inside = all[fresh].iter().filter(|volume| volume.name.len() < self.0);
        inside.map(|volume| Volume { name: format!("{}i", volume.name), ..volume.clone() }).collect()
    }
}

#[test]
fn volumes_inside_volumes_are_found_until_nothing_new_appears() {
    let volumes = expand_with(&[&Inner(4)], pieces(2));
    assert_eq!(names(&volumes), ["p1", "p2", "p1i", "p2i", "p1ii", "p2ii"]);
    assert_eq!(names(&expand(pieces(3))), ["p1", "p2", "p3"]);
}

#[test]
fn volumes_without_an_end_are_bounded_and_no_partition_is_lost() {
    assert_eq!(expand_with(&[&Inner(usize::MAX), &Inner(usize::MAX)], pieces(1)).len(), MAX_VOLUMES);
    assert_eq!(expand_with(&[&Inner(usize::MAX)], pieces(10_000)).len(), 10_000);
}
