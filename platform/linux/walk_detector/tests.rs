use super::*;

const KIB: u64 = 1 << 10;

/// The entries of a directory of `count` equal files, numbered from its own number on.
fn entries(directory: u64, count: u64, size: u64) -> Entries {
    let files = (1..=count).map(|i| File { node: directory + i, size }).collect();
    Entries { files, directories: Vec::new() }
}

fn nodes(files: &[File]) -> Vec<u64> {
    files.iter().map(|file| file.node).collect()
}

/// Lists a directory of three files; returns the stored ones.
fn list(walks: &mut WalkDetector, directory: u64) -> Vec<u64> {
    walks.listed(directory, true, &entries(directory, 3, KIB));
    nodes(&walks.ended(directory).store)
}

/// A detector that has seen enough directories listed and read to store files.
fn trusting() -> WalkDetector {
    let mut walks = WalkDetector::default();
    for directory in (1000..).step_by(10) {
        let stored = list(&mut walks, directory);
        if !stored.is_empty() {
            return walks;
        }
        assert!(directory < 1100, "never trusted");
        (1..=3).for_each(|i| drop(walks.read(directory + i)));
    }
    unreachable!("the range does not end")
}

#[test]
fn who_only_lists_is_handed_nothing() {
    let mut walks = WalkDetector::default();
    assert!((1000..9000).step_by(10).all(|directory| list(&mut walks, directory).is_empty()));
    // Nor for a program that reads without listing.
    assert!((0..1000).all(|node| walks.read(node) == Plan::default()));
}

#[test]
fn who_reads_what_was_listed_is_handed_the_rest_but_for_samples() {
    let mut walks = trusting();
    let mut samples = 0;
    for directory in (2000..2640).step_by(10) {
        match list(&mut walks, directory)[..] {
            [] => {
                samples += 1;
                walks.read(directory + 1);
            }
            [a, b, c] => assert_eq!((a, b, c), (directory + 1, directory + 2, directory + 3)),
            _ => panic!("a part of {directory}"),
        }
    }
    assert!((3..=4).contains(&samples), "{samples}");
}

#[test]
fn it_ends_soon_after_the_reading() {
    let mut walks = trusting();
    let stored = (2000..12_000).step_by(10).filter(|directory| !list(&mut walks, *directory).is_empty());
    assert!(stored.count() < 80);
    assert!(list(&mut walks, 20_000).is_empty());
}

#[test]
fn a_large_directory_is_stored_batch_by_batch() {
    let mut walks = trusting();
    walks.listed(5000, true, &entries(5000, 500, KIB));
    walks.listed(5000, false, &entries(5500, 500, KIB));
    let mut plan = walks.ended(5000);
    assert_eq!(nodes(&plan.prepare.files), (5033..=5064).collect::<Vec<_>>());
    let mut stored: Vec<u64> = nodes(&plan.store);
    // The files for which the kernel sends a READ.
    let mut asked = Vec::new();
    for node in 5001..=6000 {
        if !stored.contains(&node) {
            asked.push(node);
            plan = walks.read(node);
            assert!(plan.store.iter().all(|file| file.node > node + 1), "stored while it is read: {plan:?}");
            stored.extend(nodes(&plan.store));
        }
    }
    assert_eq!(stored.len() + asked.len(), 1000);
    assert!(asked.len() <= 32, "{asked:?}");
}

#[test]
fn files_read_in_another_order_are_not_stored() {
    let mut walks = trusting();
    walks.listed(5000, true, &entries(5000, 1000, KIB));
    let first = walks.ended(5000).store.len();
    assert_eq!(first, MAX_FILES - 1);
    let stored: usize = (5100..=5900).rev().map(|node| walks.read(node).store.len()).sum();
    assert_eq!(stored, 0);
}

#[test]
fn large_files_are_left_to_their_readers() {
    let mut walks = trusting();
    let mut mixed = entries(5000, 6, 100 * KIB);
    mixed.files[2].size = 10 << 30;
    mixed.files[3].size = 0;
    walks.listed(5000, true, &mixed);
    assert_eq!(nodes(&walks.ended(5000).store), [5001, 5002, 5005, 5006]);
    walks.listed(6000, true, &entries(6000, 100, MAX_FILE));
    let plan = walks.ended(6000);
    assert_eq!(nodes(&plan.store), [6001, 6002, 6004]);
    assert!(plan.prepare.files.iter().map(|file| file.size).sum::<u64>() <= MAX_BYTES);
}

#[test]
fn the_directories_after_the_one_listed_are_prepared_once() {
    let mut walks = trusting();
    let children: Vec<u64> = (0..1000).map(|i| 100_000 + i * 10).collect();
    walks.listed(50, true, &Entries { files: Vec::new(), directories: children.clone() });
    let mut prepared = walks.ended(50).prepare.directories;
    assert_eq!(prepared, children[..AHEAD]);
    for child in &children {
        prepared.extend(walks.listed(*child, true, &entries(*child, 3, KIB)).directories);
        if walks.ended(*child).store.is_empty() {
            walks.read(*child + 1);
        }
    }
    assert_eq!(prepared, children);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut walks = trusting();
    for directory in (0..100_u64).map(|i| i << 32) {
        for part in 0..100_u64 {
            walks.listed(directory, part == 0, &entries(directory + (part << 16), 1000, KIB));
        }
        walks.ended(directory);
        assert!(walks.places.len() <= MAX_REMEMBERED && walks.directories.len() <= MAX_DIRECTORIES);
    }
    // One file under very many names.
    let mut walks = WalkDetector::default();
    let same = Entries { files: vec![File { node: 9, size: 1 }; 1000], directories: vec![8; 1000] };
    (0..100).for_each(|part| drop(walks.listed(7, part == 0, &same)));
    assert_eq!((walks.directories[0].entries.len(), walks.places.len()), (MAX_REMEMBERED, 2));
    let mut walks = WalkDetector::default();
    // An entry that is listed twice belongs to the later listing.
    for _ in 0..100 {
        walks.listed(7, true, &entries(7, 10, KIB));
    }
    assert_eq!(walks.places.values().filter(|place| place.directory == walks.listings).count(), 10);
}
