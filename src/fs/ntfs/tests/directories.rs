//! Tests of directory indexes: circles, misplaced blocks, holes, cursors.

use super::*;

/// A root directory whose tree has one block, which names itself as its child.
fn circle(block_vcn: u64) -> Image {
    let mut image = Image::new();
    let key = |name| file_name(1 << 48 | ROOT, name, 1, 0);
    let block = [index_entry(1 << 48 | FILE, &key("file"), Some(0)), index_entry(0, &[], Some(0))];
    image.put(100 * CLUSTER, &index_block(block_vcn, &block, true));
    let extent =
        Extent { vcns: 0..=0, pairs: &[0x11, 1, 100, 0], size: 1024, valid: 1024, flags: 0, unit: 0 };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &extent),
        resident(code::BITMAP, "$I30", &[1, 0, 0, 0, 0, 0, 0, 0]),
    ]);
    image
}

#[test]
fn circles_in_a_directory_end() {
    let volume = circle(0).open();
    let (names, listed) = names(&volume);
    assert_eq!(names, ["file"]);
    listed.unwrap();
    assert_eq!(lookup(&volume, "file").unwrap(), Some(NodeId(FILE)));
    assert_eq!(lookup(&volume, "FILE").unwrap(), Some(NodeId(FILE)));
    assert_eq!(lookup(&volume, "absent").unwrap(), None);
}

#[test]
fn misplaced_index_blocks_are_damage() {
    let volume = circle(8).open();
    let (names, listed) = names(&volume);
    assert!(names.is_empty() && is_corrupt(listed));
    assert!(is_corrupt(lookup(&volume, "absent")));
}

#[test]
fn entries_of_reused_records_are_damage() {
    let mut image = Image::new();
    let key = file_name(1 << 48 | ROOT, "file", 1, 0);
    let entries = [index_entry(2 << 48 | FILE, &key, None), index_entry(0, &[], None)];
    image.directory(&[index_root(&entries, false)]);
    assert!(is_corrupt(lookup(&image.open(), "file")));
}

#[test]
fn endless_holes_cost_no_time() {
    // An index of 2^50 bytes, of which one cluster exists, and a bitmap that is a single hole.
    let mut image = circle(0);
    let size = 1_u64 << 50;
    let pairs = [0x06, 0, 0, 0, 0, 0, 1, 0x11, 1, 100, 0];
    let index = Extent { vcns: 0..=1 << 40, pairs: &pairs, size, valid: size, flags: 0x8000, unit: 0 };
    let bitmap = Extent {
        vcns: 0..=(1 << 40) - 1,
        pairs: &pairs[..7],
        size: size / 8192,
        valid: 0,
        flags: 0,
        unit: 0,
    };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
        non_resident(code::BITMAP, "$I30", &bitmap),
    ]);
    let volume = image.open();
    assert!(names(&volume).0.is_empty());
    assert!(lookup(&volume, "absent").is_err() || lookup(&volume, "absent").unwrap().is_none());
}

/// A volume of 4 TiB: the clusters of an image, followed by zeros.
struct Sparse(Vec<u8>);

impl ByteSource for Sparse {
    fn size(&self) -> u64 {
        4 << 40
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (to, at) in buf.iter_mut().zip(offset..) {
            *to = usize::try_from(at).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0);
        }
        Ok(())
    }
}

#[test]
fn unused_blocks_are_not_visited_one_by_one() {
    // An index of 2^31 blocks, all of them allocated, and a bitmap without any block in use.
    let mut image = Image::new();
    image.0[0x28..0x30].copy_from_slice(&(1_u64 << 33).to_le_bytes());
    let size = 1_u64 << 41;
    let index = Extent {
        vcns: 0..=(1 << 31) - 1,
        pairs: &[0x15, 0, 0, 0, 0x80, 0, 100, 0],
        size,
        valid: size,
        flags: 0,
        unit: 0,
    };
    let bitmap = Extent {
        vcns: 0..=(1 << 18) - 1,
        pairs: &[0x13, 0, 0, 4, 100, 0],
        size: size / 8192,
        valid: 0,
        flags: 0,
        unit: 0,
    };
    image.directory(&[
        index_root(&[index_entry(0, &[], Some(0))], true),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
        non_resident(code::BITMAP, "$I30", &bitmap),
    ]);
    let counted = Arc::new(Counted::new(Arc::new(Sparse(image.0))));
    let (found, listed) = names(&open(counted.clone()).unwrap());
    listed.unwrap();
    assert!(found.is_empty());
    // The bitmap alone has 256 MiB: it is read once.
    let (operations, bytes) = counted.take();
    assert!(operations < 200_000 && bytes < 600 << 20, "{operations}, {bytes}");
}

#[test]
fn listing_ends_where_block_numbers_outgrow_the_cursor() {
    // A block behind a hole of 2^47 - 1 blocks: its cursor would be that of the root.
    let mut image = Image::new();
    let last = (1_u64 << 47) - 1;
    let key = |name| file_name(1 << 48 | ROOT, name, 1, 0);
    let block = [index_entry(1 << 48 | FILE, &key("file"), None), index_entry(0, &[], None)];
    image.put(100 * CLUSTER, &index_block(last, &block, false));
    let pairs = [0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x11, 1, 100, 0];
    let size = 1_u64 << 57;
    let index = Extent { vcns: 0..=last, pairs: &pairs, size, valid: size, flags: 0x8000, unit: 0 };
    image.directory(&[
        index_root(
            &[index_entry(1 << 48 | FILE, &key("other"), None), index_entry(0, &[], Some(last))],
            true,
        ),
        non_resident(code::INDEX_ALLOCATION, "$I30", &index),
    ]);
    let volume = image.open();
    let mut cursor = DirCursor::default();
    for _ in 0..10 {
        let mut next = None;
        let listed = volume.read_dir(NodeId(ROOT), cursor, &mut |entry| {
            next = Some(entry.next);
            ControlFlow::Break(())
        });
        let Some(next) = next else {
            assert!(is_corrupt(listed));
            return;
        };
        assert!(next.0 > cursor.0, "{next:?} after {cursor:?}");
        cursor = next;
    }
    panic!("the listing does not end");
}
