//! Tests of lookups in directories whose B+tree is damaged.

use super::{
    super::directory::{Directory, NameMap},
    *,
};
use crate::fs::ntfs::records::file::File;

const DIR: u64 = 17;
const FIRST: usize = 200;

/// A volume with the directory `dir`, whose root refers to the first of its index blocks. `None`: a block that is no index
/// block. Each name leads to another record.
fn with_blocks(blocks: &[Option<Vec<(String, u64)>>]) -> Image {
    let mut image = Image::new();
    let clusters = FIRST + blocks.len() + 1;
    image.0.resize((clusters + 1) * CLUSTER, 0);
    image.0[0x28..0x30].copy_from_slice(&(clusters as u64 * 2).to_le_bytes());
    let key = file_name(1 << 48 | ROOT, "dir", 1, DIRECTORY);
    image.directory(&[index_root(
        &[index_entry(1 << 48 | DIR, &key, None), index_entry(0, &[], None)],
        false,
    )]);
    for (vcn, names) in blocks.iter().enumerate() {
        let Some(names) = names else {
            image.put((FIRST + vcn) * CLUSTER, &[0xa5; CLUSTER]);
            continue;
        };
        let entry = |(name, to): &(String, u64)| {
            index_entry(1 << 48 | to, &file_name(1 << 48 | DIR, name, 1, 0), None)
        };
        let entries: Vec<_> = names.iter().map(entry).chain([index_entry(0, &[], None)]).collect();
        image.put((FIRST + vcn) * CLUSTER, &index_block(vcn as u64, &entries, false));
    }
    let count = u16::try_from(blocks.len()).unwrap();
    let pairs =
        [&[0x22][..], &count.to_le_bytes(), &u16::try_from(FIRST).unwrap().to_le_bytes(), &[0]].concat();
    let size = u64::from(count) * CLUSTER as u64;
    let extent =
        Extent { vcns: 0..=u64::from(count) - 1, pairs: &pairs, size, valid: size, flags: 0, unit: 0 };
    let own = resident(code::FILE_NAME, "", &key);
    let index = non_resident(code::INDEX_ALLOCATION, "$I30", &extent);
    image.record(DIR, 3, 0, &[own, index_root(&[index_entry(0, &[], Some(0))], true), index]);
    image
}

fn target(volume: &Ntfs, name: &str) -> Result<Option<u64>> {
    let found = volume.lookup(NodeId(DIR), NameBuf::literal(name).as_name());
    found.map(|node| node.map(|node| node.0))
}

#[test]
fn names_of_a_damaged_directory_are_looked_up_in_one_walk_over_its_blocks() {
    const NAMES: usize = 5;
    // Every fourth block is damaged, the one below the root included.
    let blocks: Vec<_> = (0..400)
        .map(|block| {
            (block % 4 != 0).then(|| (0..NAMES).map(|i| (format!("{block}-{i}"), FILE)).collect::<Vec<_>>())
        })
        .collect();
    let names: Vec<_> = blocks.iter().flatten().flatten().map(|(name, _)| name.clone()).collect();
    let counted = Arc::new(Counted::new(Arc::new(MemorySource(with_blocks(&blocks).0))));
    let volume = open(counted.clone()).unwrap();
    counted.take();
    for name in names.iter().chain(&names) {
        assert_eq!(target(&volume, name).unwrap(), Some(FILE), "{name}");
    }
    let (operations, bytes) = counted.take();
    let index = (blocks.len() * CLUSTER) as u64;
    assert!(operations <= 2 * blocks.len() as u64 && bytes <= 2 * index, "{operations}, {bytes} of {index}");
    // An absent name costs the descent, which fails again.
    (0..100).for_each(|i| assert!(is_corrupt(target(&volume, &format!("absent {i}")))));
    let (operations, bytes) = counted.take();
    assert!(operations <= 100 && bytes <= 100 * CLUSTER as u64, "{operations}, {bytes}");
}

#[test]
fn names_of_a_damaged_directory_are_found_as_in_a_sound_one() {
    let block = |names: &[(&str, u64)]| Some(names.iter().map(|(name, to)| ((*name).into(), *to)).collect());
    let blocks = [
        None,
        block(&[("two", 12), ("Name", 13), ("other", 14)]),
        block(&[("NAME", 18), ("name", 19), ("ÄRA", 20)]),
        block(&[("nAME", 22), ("name", 23)]),
    ];
    let volume = with_blocks(&blocks).open();
    // In any order: what was looked up before makes no difference.
    for _ in 0..2 {
        for (name, to) in [("NAME", 18), ("Name", 13), ("name", 19), ("nAME", 22), ("NaMe", 13), ("ära", 20)]
        {
            assert_eq!(target(&volume, name).unwrap(), Some(to), "{name}");
        }
    }
    let error = target(&volume, "absent").unwrap_err().to_string();
    assert!(error.starts_with("damaged index in MFT record 17: the name may be in a part"), "{error}");
}

#[test]
fn any_number_of_names_that_differ_only_in_case_are_each_found() {
    // The bits of a number, as the cases of ten letters.
    let spelt = |number: usize| -> String {
        (0..10).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'A' }).collect()
    };
    let names =
        |block: usize| (0..4).map(|i| (spelt(block * 4 + i), 1000 + (block * 4 + i) as u64)).collect();
    let blocks: Vec<_> = [None].into_iter().chain((0..255).map(|block| Some(names(block)))).collect();
    let volume = with_blocks(&blocks).open();
    for number in 0..255 * 4 {
        assert_eq!(target(&volume, &spelt(number)).unwrap(), Some(1000 + number as u64));
    }
    // The first listed one.
    assert_eq!(target(&volume, &spelt(1023)).unwrap(), Some(1000));
}

#[test]
fn a_map_has_no_more_names_than_its_limit() {
    let names = |block: u64| Some((0..4).map(|i| (format!("{block}-{i}"), 100 * block + i)).collect());
    let volume = with_blocks(&[None, names(1), names(2), names(3)]).open();
    let file = File::open(&volume.mft, DIR).unwrap();
    let directory = Directory::open(&file, &volume).unwrap();
    let map = NameMap::build(&directory, &volume, 6);
    let target = |name: &str| {
        let name = NameBuf::literal(name);
        map.similar(&directory, &volume, name.as_name().units()).map(|hit| hit.unwrap().reference.record())
    };
    assert_eq!((target("1-0").unwrap(), target("2-1").unwrap()), (100, 201));
    let error = target("2-2").unwrap_err().to_string();
    assert!(error.contains("only the first 6 names"), "{error}");
}
