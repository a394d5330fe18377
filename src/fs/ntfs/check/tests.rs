//! What is found does not depend on how many passes it takes; hostile volumes end.

use super::{
    super::{
        Ntfs,
        attribute::code,
        tests::{Image, data, resident},
    },
    *,
};
use crate::{check::Severity, fs::findings::Collected};

const FILE: u64 = 21;

fn findings(volume: &Ntfs, bounds: Bounds) -> Vec<(Severity, String, String)> {
    let mut collected = Collected::default();
    examine(volume, &mut collected, bounds);
    let found = collected.0.into_iter().map(|found| (found.severity, found.structure, found.problem));
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

/// What one pass finds, after making sure that several find the same.
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
    // The volume has no $Bitmap, no mirror, no $Volume: enough is found in any case.
    let sound = in_any_passes(&Image::new());
    let beside = |image: &Image| -> Vec<_> {
        in_any_passes(image).into_iter().filter(|found| !sound.contains(found)).collect()
    };

    let mut shared = Image::new();
    // Cluster 60 on is the third extent of the table.
    shared.file(&[data(0..=1, &[0x11, 2, 60, 0], 2000)]);
    let found = beside(&shared);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].2.starts_with("2 clusters from 0x3c on belong to MFT record 0"), "{found:?}");
    assert!(found[0].2.ends_with("MFT record 21 (/file)"), "{found:?}");

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
