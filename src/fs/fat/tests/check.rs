//! The check reports each kind of damage as such, and nothing else.

use super::*;
use crate::{
    bytes::{Extent, ExtentKind},
    check::Severity::{self, Error, Note, Warning},
    fs::findings::Collected,
};

fn findings(fs: &Fat) -> Vec<(Severity, String, String)> {
    let mut collected = Collected::default();
    crate::fs::check(fs, &mut collected).unwrap();
    collected.0.into_iter().map(|found| (found.severity, found.structure, found.problem)).collect()
}

/// Asserts exactly these findings: severity, structure, a part of the problem.
fn expect(image: &Image, expected: &[(Severity, &str, &str)]) {
    let found = findings(&image.open());
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|((severity, structure, problem), expected)| {
            *severity == expected.0 && structure == expected.1 && problem.contains(expected.2)
        });
    assert!(same, "{:?}: {found:#?}\nexpected {expected:#?}", image.width);
}

/// A volume with a file of two clusters, and no `FSInfo`.
fn sound(width: Width) -> Image {
    let mut image = Image::new(width);
    if width == Width::Fat32 {
        [0, 6 * SECTOR].iter().for_each(|at| image.bytes[at + 48] = 0);
    }
    image.chain(&[10, 11]);
    image.entry(0, b"A       BIN", 0x20, 10, 600);
    expect(&image, &[]);
    image
}

#[test]
fn clusters_without_an_owner_are_counted() {
    for width in WIDTHS {
        let mut image = sound(width);
        image.chain(&[20, 22, 21]);
        image.chain(&[30]);
        let problem =
            "4 clusters (2048 bytes) in 2 chains belong to no file or directory, the first: cluster 20";
        expect(&image, &[(Warning, "table", problem)]);
        image.entry(1, b"B          ", 0, 20, 1100);
        image.entry(2, b"C          ", 0, 30, 1);
        expect(&image, &[]);
        let bad = image.end() & !0xf | 7;
        image.set(40, bad);
        expect(&image, &[(Note, "table", "1 clusters are marked as bad")]);
    }
}

#[test]
fn cross_linked_chains_name_their_owners_and_what_these_are() {
    for width in WIDTHS {
        let mut image = sound(width);
        image.set(20, 11);
        image.entry(1, b"B          ", 0, 20, 1000);
        let problem = "from cluster 11 on they belong to file /A.BIN and file /B";
        expect(&image, &[(Error, "cross-linked clusters", problem)]);
    }
}

#[test]
fn chains_must_hold_the_size_and_end() {
    for width in WIDTHS {
        let image = sound(width);
        let entry = |size: u32, patch: &dyn Fn(&mut Image)| {
            let mut image = image.clone();
            image.entry(0, b"A       BIN", 0x20, 10, size);
            patch(&mut image);
            image
        };
        let whole = entry(1100, &|_| {});
        expect(&whole, &[(Error, "directory entry", "file /A.BIN: 1100 bytes, 3 clusters; its chain has 2")]);
        let long = entry(512, &|_| {});
        expect(&long, &[(Warning, "directory entry", "file /A.BIN: 512 bytes, 1 clusters; its chain has 2")]);
        let free = entry(1100, &|image| image.set(11, 0));
        expect(&free, &[(Error, "directory entry", "after 2 clusters: cluster 11 is marked as free")]);
        let bad = entry(1100, &|image| image.set(11, image.end() & !0xf | 7));
        expect(&bad, &[(Error, "directory entry", "is marked as bad"), (Note, "table", "1 clusters")]);
        let outside = entry(600, &|image| image.set(11, image.clusters + 2));
        expect(&outside, &[(Warning, "directory entry", "which does not exist")]);
        let circle = entry(5000, &|image| image.set(11, 10));
        expect(&circle, &[(Error, "directory entry", "after 2 clusters it comes back to cluster 10")]);
        let nowhere = entry(600, &|image| image.entry(0, b"A          ", 0x20, 1, 600));
        expect(
            &nowhere,
            &[
                (
                    Error,
                    "directory entry",
                    "file /A: 600 bytes; its chain is damaged: it begins at cluster 1",
                ),
                (Warning, "table", "2 clusters"),
            ],
        );
    }
}

#[test]
fn copies_of_the_table_are_compared() {
    for width in WIDTHS {
        let mut image = sound(width);
        image.set_in(1, 10, 0);
        image.set_in(1, 77, 5);
        expect(&image, &[(Warning, "FAT 2", "2 entries are not those of FAT 1, the first: cluster 10")]);
        image.set_in(1, 10, 11);
        image.set_in(1, 77, 0);
        image.bytes[image.fat + image.fat_len] ^= 1;
        expect(
            &image,
            &[
                (Warning, "FAT 2", "0xf8, but the first entry is"),
                (Warning, "FAT 2", "1 entries are not those of FAT 1, the first: cluster 0"),
            ],
        );
    }
    let image = sound(Width::Fat16);
    let range = image.fat as u64 + image.fat_len as u64..image.fat as u64 + image.fat_len as u64 + 512;
    let fs = open(Arc::new(Faulty::new(Arc::new(MemorySource(image.bytes)), vec![range]))).unwrap();
    let found = findings(&fs);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, &*found[0].1), (Warning, "FAT 2"));
}

#[test]
fn directories_know_where_they_are() {
    for width in WIDTHS {
        let mut image = sound(width);
        image.chain(&[50]);
        image.chain(&[51]);
        image.entry(1, b"OUTER      ", 0x10, 50, 0);
        let (outer, inner) = (image.cluster(50), image.cluster(51));
        image.slot(outer, entry(b".          ", 0x10, 50, 0).as_bytes());
        image.slot(outer + 32, entry(b"..         ", 0x10, 0, 0).as_bytes());
        image.slot(outer + 64, entry(b"INNER      ", 0x10, 51, 0).as_bytes());
        image.slot(inner, entry(b".          ", 0x10, 51, 0).as_bytes());
        image.slot(inner + 32, entry(b"..         ", 0x10, 50, 0).as_bytes());
        expect(&image, &[]);
        let mut elsewhere = image.clone();
        elsewhere.slot(inner + 32, entry(b"..         ", 0x10, 49, 0).as_bytes());
        expect(
            &elsewhere,
            &[(Warning, "directory entry", "directory /OUTER/INNER: `..` leads to cluster 49, not to 50")],
        );
        let mut itself = image.clone();
        itself.slot(inner, entry(b".          ", 0x10, 52, 0).as_bytes());
        expect(&itself, &[(Warning, "directory entry", "`.` leads to cluster 52, not to 51")]);
        let mut without = image.clone();
        without.slot(inner, entry(b"FILE       ", 0, 0, 0).as_bytes());
        without.slot(inner + 32, entry(b"FILE2      ", 0, 0, 0).as_bytes());
        expect(
            &without,
            &[(Warning, "directory entry", "directory /OUTER/INNER: `.` and `..` are not its first entries")],
        );
        let mut label = image.clone();
        label.slot(inner + 64, entry(b"LABEL      ", 0x08, 0, 0).as_bytes());
        expect(&label, &[(Warning, "directory entry", "directory /OUTER/INNER: a volume label in slot 2")]);
        let mut sized = image.clone();
        sized.slot(outer + 64, entry(b"INNER      ", 0x10, 51, 7).as_bytes());
        expect(&sized, &[(Warning, "directory entry", "directory /OUTER/INNER: has a size of 7 bytes")]);
        // Its own ancestor inside it: entered once, reported once.
        let mut circle = image.clone();
        circle.slot(inner + 64, entry(b"CIRCLE     ", 0x10, 50, 0).as_bytes());
        let problem = "from cluster 50 on they belong to directory /OUTER and directory /OUTER/INNER/CIRCLE";
        expect(&circle, &[(Error, "cross-linked clusters", problem)]);
        let mut empty = image.clone();
        empty.slot(outer + 64, entry(b"INNER      ", 0x10, 0, 0).as_bytes());
        expect(
            &empty,
            &[
                (Error, "directory entry", "directory /OUTER/INNER: no clusters"),
                (Warning, "table", "1 clusters"),
            ],
        );
    }
}

#[test]
fn names_are_examined() {
    let mut image = sound(Width::Fat12);
    image.entry(1, b"A       BIN", 0, 0, 0);
    expect(&image, &[(Error, "directory entry", "file /A.BIN: a second entry with this name")]);
    image.entry(1, b"A:      BIN", 0, 0, 0);
    expect(&image, &[(Warning, "directory entry", "file /A:.BIN: the short name \"A:      BIN\"")]);
    image.entry(1, b"\x05       BIN", 0, 0, 0);
    expect(&image, &[]);
    let slots = long_slots("a long name of two pieces", b"ALONGN~1   ");
    image.slot(image.root + 32, &slots[0]);
    image.slot(image.root + 64, &slots[1]);
    image.entry(3, b"ALONGN~1   ", 0, 0, 0);
    expect(&image, &[]);
    let mut twice = image.clone();
    let again = long_slots("A LONG name of two pieces", b"ALONGN~2   ");
    twice.slot(image.root + 128, &again[0]);
    twice.slot(image.root + 160, &again[1]);
    twice.entry(6, b"ALONGN~2   ", 0, 0, 0);
    expect(&twice, &[(Error, "directory entry", "a second entry with this name")]);
    let mut other = image.clone();
    other.entry(3, b"ALONGN~2   ", 0, 0, 0);
    expect(&other, &[(Warning, "directory entry", "2 pieces of a long name before slot 3")]);
    let mut end = image.clone();
    end.bytes[image.root + 96..image.root + 128].fill(0);
    expect(&end, &[(Warning, "directory entry", "2 pieces of a long name at the end")]);
    image.entry(4, b"ONE        ", 0x08, 0, 0);
    expect(&image, &[]);
    image.entry(5, b"TWO        ", 0x08, 0, 0);
    expect(&image, &[(Warning, "directory entry", "root directory: a volume label in slot 5")]);
    let mut labels = sound(Width::Fat16);
    labels.bytes[43..54].copy_from_slice(b"IN BOOT    ");
    labels.entry(1, b"IN ROOT    ", 0x08, 0, 0);
    expect(
        &labels,
        &[(Note, "volume label", "\"IN BOOT    \" in the boot sector, \"IN ROOT    \" in the root")],
    );
}

#[test]
fn sectors_of_fat32_have_copies_and_hints() {
    let mut image = sound(Width::Fat32);
    image.bytes[6 * SECTOR + 3] ^= 1;
    expect(&image, &[(Warning, "boot sector copy in sector 6", "1 bytes differ, the first at 0x3")]);
    image.bytes[6 * SECTOR + 3] ^= 1;
    [0, 6 * SECTOR].iter().for_each(|at| image.bytes[at + 48] = 1);
    expect(&image, &[(Warning, "FSInfo", "signatures")]);
    image.bytes[SECTOR..SECTOR + 4].copy_from_slice(b"RRaA");
    image.bytes[SECTOR + 484..SECTOR + 488].copy_from_slice(b"rrAa");
    let free = u32::try_from(image.open().space().usage().unwrap().free / 512).unwrap();
    for (stated, next, wrong) in [
        (free, 12, 0),
        (u32::MAX, u32::MAX, 0),
        (free + 1, 12, 1),
        (free, image.clusters + 2, 1),
        (free, 0, 0),
    ] {
        image.bytes[SECTOR + 488..SECTOR + 492].copy_from_slice(&stated.to_le_bytes());
        image.bytes[SECTOR + 492..SECTOR + 496].copy_from_slice(&next.to_le_bytes());
        let found = findings(&image.open());
        assert_eq!(found.len(), wrong, "{found:?}");
        assert!(
            found.iter().all(|(severity, structure, _)| (*severity, &**structure) == (Warning, "FSInfo"))
        );
    }
    let mut unsigned = sound(Width::Fat16);
    unsigned.bytes[510] = 0;
    expect(&unsigned, &[(Note, "boot sector", "55AA")]);
    let mut cut = sound(Width::Fat12);
    cut.bytes.truncate(350 * SECTOR);
    expect(&cut, &[(Error, "volume", "204800 bytes are claimed, 179200 are stored")]);
}

#[test]
fn volume_in_use_is_reported_once() {
    for (width, clean) in [(Width::Fat16, 0x8000), (Width::Fat32, 0x0800_0000)] {
        let mut image = sound(width);
        image.set(1, image.end() & !clean);
        expect(&image, &[(Warning, "volume", "not cleanly unmounted")]);
        image.set(1, image.end() & !(clean >> 1));
        expect(&image, &[(Warning, "boot sector", "the last user met disk errors")]);
    }
}

#[test]
fn damage_everywhere_is_examined_to_the_end() {
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap()
    };
    for width in WIDTHS {
        let image = sound(width);
        let mut found = 0;
        for _ in 0..300 {
            let mut damaged = image.clone();
            // The tables, and the directories behind them.
            let places = image.fat..image.data + 20 * SECTOR;
            for _ in 0..60 {
                damaged.bytes[places.start + random() % places.len()] = random().to_le_bytes()[0];
            }
            found += usize::from(!findings(&damaged.open()).is_empty());
        }
        assert!(found > 250, "{found}");
    }
}

/// A volume of which only the first part is stored: the rest is a hole, or beyond the end.
struct Thin {
    stored: Vec<u8>,
    size: u64,
}

impl ByteSource for Thin {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        buf.fill(0);
        let stored = usize::try_from(offset).ok().and_then(|at| self.stored.get(at..)).unwrap_or_default();
        buf.iter_mut().zip(stored).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let stored = self.stored.len() as u64;
        Ok(match stored.checked_sub(offset) {
            Some(len @ 1..) => Extent { kind: ExtentKind::Data, len },
            _ => Extent { kind: ExtentKind::Hole, len: self.size.saturating_sub(offset) },
        })
    }
}

type Scan = fn(Arc<Fat>);

/// The operations that scan every entry of the table.
const SCANS: [(&str, Scan); 4] = [
    ("check", |fs| {
        let mut found = Collected::default();
        crate::fs::check(&*fs, &mut found).unwrap();
        assert!(!found.0.is_empty());
    }),
    ("orphans", |fs| {
        let _ = fs.orphans().unwrap().each(0, &mut |_| ControlFlow::Continue(()));
    }),
    ("deleted", |fs| {
        let _ = fs.deleted().unwrap().each(0, &mut |_| ControlFlow::Continue(()));
    }),
    ("usage", |fs| {
        let _ = fs.space().usage();
    }),
];

#[test]
fn the_work_of_looking_at_the_whole_table_is_bounded_by_what_is_stored() {
    // FAT32 with the maximum number of clusters, in two tables of 1 GiB each.
    let mut stored = Image::new(Width::Fat32).bytes[..64 << 10].to_vec();
    stored[13] = 16;
    stored[19..21].fill(0);
    stored[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    stored[36..40].copy_from_slice(&2_097_152_u32.to_le_bytes());
    let claimed = u64::from(u32::MAX) * 512;
    let factor = |count: u64, by: u64| count <= stored.len() as u64 * by;
    for (size, (name, scan)) in
        [claimed, 64 << 10, 3 << 30].into_iter().flat_map(|size| SCANS.map(|scan| (size, scan)))
    {
        let volume = Arc::new(Counted::new(Arc::new(Thin { stored: stored.clone(), size })));
        let fs = Arc::new(open(volume.clone()).unwrap());
        volume.take();
        scan(fs);
        let (operations, bytes) = volume.take();
        // One for each 16 stored bytes; pieces of 1 MiB are read around them.
        assert!(operations <= stored.len() as u64 / 16, "{name}: {operations} of {size}");
        assert!(factor(bytes, 128), "{name}: {bytes} of {size}");
    }
}
