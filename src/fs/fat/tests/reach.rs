//! Tests of which entry leads into a directory, of directories without an entry, and of deleted ones.

use std::collections::BTreeSet;

use super::*;
use crate::fs::{
    DirEntry, NodeKind, Xattrs,
    deleted::{self, PATH},
    orphans,
    testing::all_paths,
};

const FOLDER: u8 = 0x10;

/// A directory of one cluster, whose `..` leads to `up`.
fn folder(image: &mut Image, first: u32, up: u32, entries: &[(&[u8; 11], u8, u32)]) {
    image.set(first, image.end());
    let at = image.cluster(first);
    image.slot(at, entry(b".          ", FOLDER, first, 0).as_bytes());
    image.slot(at + 32, entry(b"..         ", FOLDER, up, 0).as_bytes());
    for (index, (name, attr, first)) in entries.iter().enumerate() {
        image.slot(at + 64 + 32 * index, entry(name, *attr, *first, 0).as_bytes());
    }
}

/// Every path; a look-up of each listed name finds the listed node.
fn all(fs: &dyn FileSystem) -> Vec<String> {
    let mut visit = |dir, entry: &DirEntry<'_>, path: &str| {
        let found = fs.lookup(dir, entry.name).unwrap();
        assert!(found == Some(entry.node) || path.ends_with("TWICE"), "{path}");
    };
    all_paths(fs, 200, &mut visit).0
}

/// The Sleuth Kit's number of the slot at this byte.
fn number(image: &Image, at: usize) -> usize {
    let start = if image.width == Width::Fat32 { image.data } else { image.root };
    (at - start) / 32 + 3
}

#[test]
fn the_way_back_decides_which_entry_leads_into_a_directory() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.entry(0, b"A          ", FOLDER, 10, 0);
        image.entry(1, b"B          ", FOLDER, 11, 0);
        image.entry(2, b"OTHER      ", FOLDER, 10, 0);
        image.entry(3, b"STRAY      ", FOLDER, 12, 0);
        folder(&mut image, 10, 0, &[(b"UP         ", FOLDER, 10), (b"F          ", 0x20, 0)]);
        // One subdirectory is in its own place, another one is elsewhere.
        folder(&mut image, 11, 0, &[(b"IN         ", FOLDER, 13), (b"A          ", FOLDER, 10)]);
        // Its `..` leads nowhere, but no other entry claims it.
        folder(&mut image, 12, 99, &[(b"IN         ", FOLDER, 13)]);
        folder(&mut image, 13, 11, &[(b"DEEP       ", 0x20, 0)]);
        let fs = image.open();
        let wanted = [
            "/A",
            "/A/F",
            "/A/UP",
            "/A/UP!",
            "/B",
            "/B/A",
            "/B/A!",
            "/B/IN",
            "/B/IN/DEEP",
            "/OTHER",
            "/OTHER!",
            "/STRAY",
            "/STRAY/IN",
            "/STRAY/IN!",
        ];
        assert_eq!(all(&fs), wanted, "{width:?}");
        assert!(all(&orphans::View::new(Arc::new(image.open()))).is_empty(), "{width:?}");
    }
}

#[test]
fn two_entries_at_every_level_do_not_multiply_the_work() {
    for way_back in [true, false] {
        let mut image = Image::new(Width::Fat16);
        for at in 0..30 {
            let entries: [(&[u8; 11], u8, u32); 2] =
                [(b"X          ", FOLDER, 11 + at), (b"Y          ", FOLDER, 11 + at)];
            let up = if at == 0 { 0 } else { 9 + at };
            folder(
                &mut image,
                10 + at,
                if way_back { up } else { 77 },
                &entries[..if at == 29 { 0 } else { 2 }],
            );
        }
        image.entry(0, b"X          ", FOLDER, 10, 0);
        image.entry(1, b"Y          ", FOLDER, 10, 0);
        assert_eq!(all(&image.open()).len(), 30 * 2 + 30, "each is listed, one of two is not entered");
    }
}

#[test]
fn directories_of_lost_chains_are_orphans() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.entry(0, b"KEPT       ", FOLDER, 10, 0);
        folder(&mut image, 10, 0, &[]);
        folder(&mut image, 20, 19, &[(b"IN         ", FOLDER, 15), (b"F          ", 0x20, 0)]);
        folder(&mut image, 15, 20, &[(b"DEEP       ", 0x20, 0)]);
        // A cycle: each leads to the other.
        folder(&mut image, 30, 31, &[(b"TO31       ", FOLDER, 31)]);
        folder(&mut image, 31, 30, &[(b"TO30       ", FOLDER, 30)]);
        // A lost file is no orphan directory.
        image.chain(&[40, 41]);
        let view = orphans::View::new(Arc::new(image.open()));
        let top = number(&image, image.cluster(20));
        let circle = number(&image, image.cluster(31) + 64);
        let mut wanted = vec![
            format!("/{top}"),
            format!("/{top}/F"),
            format!("/{top}/IN"),
            format!("/{top}/IN/DEEP"),
            format!("/{circle}-TO30"),
            format!("/{circle}-TO30/TO31"),
            format!("/{circle}-TO30/TO31/TO30"),
            format!("/{circle}-TO30/TO31/TO30!"),
        ];
        wanted.sort();
        assert_eq!(all(&view), wanted, "{width:?}");
        let names = NameBuf::literal(&top.to_string());
        let dir = view.lookup(view.root(), names.as_name()).unwrap().unwrap();
        assert_eq!(view.parent(dir).unwrap(), view.root());
        let below = view.lookup(dir, NameBuf::literal("in").as_name()).unwrap().unwrap();
        assert_eq!(view.parent(below).unwrap(), dir);
        assert_eq!(all(&image.open()), ["/KEPT"]);
    }
}

/// The deleted files with their paths, or `?` where a path is unknown.
fn deleted(image: &Image) -> BTreeSet<String> {
    let view = deleted::View::new(Arc::new(image.open()));
    let mut found = BTreeSet::new();
    view.read_dir(view.root(), DirCursor(0), &mut |entry| {
        let name = entry.name.to_string();
        let (_, name) = name.split_once('-').unwrap();
        let path =
            view.xattrs().xattr(entry.node, PATH).unwrap().map(|path| String::from_utf8(path).unwrap());
        found.insert(path.unwrap_or_else(|| format!("?/{name}")));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn delete(image: &mut Image, at: usize) {
    image.bytes[at] = 0xe5;
}

#[test]
fn the_way_back_decides_between_deleted_entries_and_orphans_are_looked_for() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.entry(0, b"XOLD       ", FOLDER, 20, 0);
        image.entry(1, b"KEPT       ", FOLDER, 10, 0);
        folder(&mut image, 10, 0, &[(b"XNEW       ", FOLDER, 20)]);
        // Moved to the second directory, and deleted there.
        folder(&mut image, 20, 10, &[(b"F1         ", 0x20, 0)]);
        // No entry leads to these any more.
        folder(&mut image, 30, 29, &[(b"F2         ", 0x20, 0), (b"SUB        ", FOLDER, 25)]);
        folder(&mut image, 25, 30, &[(b"F3         ", 0x20, 0)]);
        [20, 25, 30].into_iter().for_each(|cluster| image.set(cluster, 0));
        let (old, new) = (image.root, image.cluster(10) + 64);
        delete(&mut image, old);
        delete(&mut image, new);
        let wanted = ["?/F2", "?/F3", "?/SUB", "KEPT/_NEW", "KEPT/_NEW/F1", "_OLD"];
        assert_eq!(deleted(&image), wanted.map(str::to_owned).into(), "{width:?}");
        // Without a better entry, this one gets the directory.
        image.bytes[new..][..32].fill(0);
        assert!(deleted(&image).contains("_OLD/F1"), "{width:?}");
    }
}

#[test]
fn long_names_outlive_their_short_slots() {
    let short = b"ALONG~1 TXT";
    let slots = long_slots("a long name.txt", short);
    let mut image = Image::new(Width::Fat16);
    let root = image.root;
    // A name of which only the short slot is marked; then one whose slots are all marked, and whose short slot another file
    // uses.
    for (index, slot) in slots.iter().enumerate() {
        image.slot(root + 32 * index, slot);
        image.slot(root + 32 * (3 + index), slot);
        delete(&mut image, root + 32 * (3 + index));
    }
    image.entry(2, short, 0x20, 0, 0);
    delete(&mut image, root + 64);
    image.entry(5, b"NEW     TXT", 0x20, 0, 0);
    let view = deleted::View::new(Arc::new(image.open()));
    let numbers = [number(&image, root + 64), number(&image, root + 4 * 32)];
    for (at, number) in numbers.into_iter().enumerate() {
        let name = NameBuf::literal(&format!("{number}-a long name.txt"));
        let node = view.lookup(view.root(), name.as_name()).unwrap().unwrap_or_else(|| panic!("{name:?}"));
        assert_eq!(view.xattrs().xattr(node, "user.vhdmount.state").is_ok(), at == 0);
        assert_eq!(view.open(node).is_ok(), at == 0);
    }
    assert_eq!(all(&image.open()), ["/NEW.TXT"]);
}

/// The number of entries in all directories, each entered once.
fn listed(fs: &Fat) -> (u64, u64) {
    let (mut entries, mut damaged, mut todo) = (0, 0, vec![ROOT]);
    while let Some(dir) = todo.pop() {
        let read = fs.read_dir(dir, DirCursor(0), &mut |entry| {
            entries += 1;
            if entry.kind == NodeKind::Directory {
                todo.push(entry.node);
            }
            ControlFlow::Continue(())
        });
        damaged += u64::from(read.is_err());
    }
    (entries, damaged)
}

#[test]
fn directories_in_each_others_clusters_list_no_more_than_is_stored() {
    const CLUSTERS: u32 = 1900;
    const APART: u32 = 31;
    for way_back in [true, false] {
        let mut image = Image::new(Width::Fat16);
        let all: Vec<u32> = (10..10 + CLUSTERS).collect();
        image.chain(&all);
        for cluster in all {
            let at = image.cluster(cluster);
            (0..SECTOR / 32).for_each(|slot| {
                image.slot(at + 32 * slot, entry(b"F          ", 0x20, 0, 0).as_bytes());
            });
        }
        let heads: Vec<u32> = (10..10 + CLUSTERS).step_by(usize::try_from(APART).unwrap()).take(60).collect();
        // The order of the entries differs from that of the clusters.
        for (index, head) in heads.iter().enumerate() {
            let name: [u8; 11] = format!("D{:<10}", index * 37 % 60).into_bytes().try_into().unwrap();
            image.entry(index * 37 % 60, &name, FOLDER, *head, 0);
            if way_back {
                let at = image.cluster(*head);
                image.slot(at, entry(b".          ", FOLDER, *head, 0).as_bytes());
                image.slot(at + 32, entry(b"..         ", FOLDER, 0, 0).as_bytes());
            }
        }
        let volume = Arc::new(Counted::new(Arc::new(MemorySource(image.bytes.clone()))));
        let fs = open(volume.clone()).unwrap();
        volume.take();
        let (entries, damaged) = listed(&fs);
        let slots = u64::from(CLUSTERS) * SECTOR as u64 / 32;
        // Each entry once, and those in the root.
        assert!(entries > slots * 9 / 10 && entries <= slots + 60, "{way_back}: {entries} of {slots}");
        assert!(damaged >= 59, "those that run into another one say so");
        let (operations, bytes) = volume.take();
        let stored = image.bytes.len() as u64;
        assert!(
            operations <= stored / 64 && bytes <= stored * 8,
            "{way_back}: {operations}, {bytes} of {stored}"
        );
        // The check does not walk them repeatedly either.
        let mut collected = crate::fs::findings::Collected::default();
        crate::fs::check(&fs, &mut collected).unwrap();
        let (operations, bytes) = volume.take();
        assert!(
            operations <= stored / 64 && bytes <= stored * 8,
            "{way_back}: {operations}, {bytes} of {stored}"
        );
    }
}
