//! Findings do not depend on the number of passes; the check of hostile volumes ends.

use super::*;
use crate::{
    bytes::{ByteSource, Extent, ExtentKind, check_range},
    check::Severity,
    fs::{
        findings::Collected,
        ntfs::{
            Ntfs,
            attributes::code,
            open,
            tests::{Image, data, resident},
        },
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const FILE: u64 = 21;

fn findings(volume: &Ntfs, bounds: Bounds) -> Vec<(Severity, String, String)> {
    let mut collected = Collected::default();
    examine(volume, &mut collected, bounds);
    let found = collected.0.into_iter().map(|found| (found.severity, found.structure, found.problem));
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

/// The findings of one pass, after a comparison with those of several.
fn in_any_passes(image: &Image) -> Vec<(Severity, String, String)> {
    let volume = image.open();
    let at_once = findings(&volume, BOUNDS);
    for (records, clusters) in [(5, 64), (7, 16), (24, 3), (1, 1)] {
        assert_eq!(findings(&volume, Bounds { records, clusters }), at_once, "{records}, {clusters}");
    }
    at_once
}

#[test]
fn passes_find_together_what_one_finds() {
    // The volume has no $Bitmap, no mirror, no $Volume: there are findings in any case.
    let sound = in_any_passes(&Image::new());
    let beside = |image: &Image| -> Vec<_> {
        let found = in_any_passes(image).into_iter().filter(|found| !sound.contains(found));
        found.filter(|(_, _, problem)| !problem.contains("the entry states")).collect()
    };

    let mut shared = Image::new();
    // Clusters from 60 on are the third extent of the table.
    shared.file(&[data(0..=1, &[0x11, 2, 60, 0], 2000)]);
    let found = beside(&shared);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].2.starts_with("2 clusters from 0x3c on belong to MFT record 0"), "{found:?}");
    assert!(found[0].2.ends_with("MFT record 21 (file /file)"), "{found:?}");

    let mut deleted = Image::new();
    deleted.0[Image::at(FILE) + 22] = 0;
    let found = beside(&deleted);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].2.contains("\"file\" leads to MFT record 21, which is not in use"));

    let mut reused = Image::new();
    reused.0[Image::at(FILE) + 16] = 9;
    assert_eq!(beside(&reused).len(), 2);

    // An extension record that its base does not list.
    let mut stray = Image::new();
    let extension = Image::at(15);
    stray.0.copy_within(extension..extension + 1024, Image::at(19));
    let found = beside(&stray);
    assert!(found.iter().any(|(_, structure, _)| structure == "MFT record 19"), "{found:#?}");
}

/// A volume of which only the first part is stored; counts its reads and extent queries.
struct Thin {
    stored: Vec<u8>,
    size: u64,
    operations: AtomicU64,
    bytes: AtomicU64,
}

impl ByteSource for Thin {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(0);
        let stored = usize::try_from(offset).ok().and_then(|at| self.stored.get(at..)).unwrap_or_default();
        buf.iter_mut().zip(stored).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        Ok(match (self.stored.len() as u64).checked_sub(offset) {
            Some(len @ 1..) => Extent { kind: ExtentKind::Data, len },
            _ => Extent { kind: ExtentKind::Hole, len: self.size.saturating_sub(offset) },
        })
    }
}

#[test]
fn the_work_of_an_examination_is_bounded_by_what_is_stored() {
    const CLUSTERS: u64 = 1 << 32;
    // The table's last extent is the whole volume: 2^32 records, in a hole or beyond the end.
    let mut image = Image::new();
    image.0[0x28..0x30].copy_from_slice(&(2 * CLUSTERS).to_le_bytes());
    let extra = [0x15, 0xf0, 0xff, 0xff, 0xff, 0, 60, 0];
    image.table(&data(20..=20 + 0xffff_ffef, &extra, 0), (20 + 0xffff_ffef) * 1024);
    let stored = image.0.len() as u64;
    for size in [CLUSTERS * 1024, stored] {
        let (operations, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let volume = Arc::new(Thin { stored: image.0.clone(), size, operations, bytes });
        let opened = open(volume.clone()).unwrap();
        assert!(opened.mft.records() > 1 << 31);
        let found = findings(&opened, BOUNDS);
        assert!(found.len() < 200, "{found:#?}");
        let (operations, bytes) =
            (volume.operations.load(Ordering::Relaxed), volume.bytes.load(Ordering::Relaxed));
        // One for each 16 stored bytes, each byte 256 times: the table is read in each of 16 passes.
        assert!(operations <= stored / 16, "{operations} of {size}");
        assert!(bytes <= stored * 256, "{bytes} of {size}");
    }
}

#[test]
fn run_lists_that_claim_everything_again_and_again_end() {
    let mut image = Image::new();
    let attributes: Vec<_> = (0..9)
        .map(|_| data(0..=99, &[0x11, 100, 1, 0], 100))
        .chain([resident(code::DATA, "x", b"")])
        .collect();
    image.file(&attributes);
    let found = findings(&image.open(), BOUNDS);
    let of_file = found.iter().filter(|(_, structure, _)| structure == "cross-linked clusters");
    assert!((1..20).contains(&of_file.count()), "{found:#?}");
}
