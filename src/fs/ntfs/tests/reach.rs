//! Tests of which entry leads into a directory, and of orphans.

use super::{super::directory::READ_AHEAD, *};
use crate::fs::{
    Name, NodeKind, Xattrs,
    orphans::{BIT, DIRECTORY as ORPHANS, View},
    reach::{MISPLACED, settle},
    testing::all_paths,
};

/// A directory with the home `parent` and `name`, and with entries that lead to other records.
fn folder(image: &mut Image, number: u64, parent: u64, name: &str, entries: &[(&str, u64)]) {
    let own = resident(code::FILE_NAME, "", &file_name(1 << 48 | parent, name, 1, DIRECTORY));
    let mut index: Vec<_> = entries
        .iter()
        .map(|(name, to)| {
            let is = if *to == FILE { 0 } else { DIRECTORY };
            index_entry(1 << 48 | to, &file_name(1 << 48 | number, name, 1, is), None)
        })
        .collect();
    index.push(index_entry(0, &[], None));
    image.record(number, 3, 0, &[own, index_root(&index, false)]);
}

fn all(fs: &dyn FileSystem) -> Vec<String> {
    all_paths(fs, 100, &mut |_, _, _| {}).0
}

fn orphans(image: &Image) -> View {
    View::new(Arc::new(image.open()))
}

fn find(fs: &dyn FileSystem, path: &[&str]) -> Result<Option<NodeId>> {
    path.iter().try_fold(Some(fs.root()), |dir, name| match dir {
        Some(dir) => fs.lookup(dir, NameBuf::literal(name).as_name()),
        None => Ok(None),
    })
}

#[test]
fn a_directory_is_entered_from_the_place_that_its_record_states() {
    let mut image = Image::new();
    folder(&mut image, ROOT, ROOT, ".", &[("a", 17), ("b", 17), ("c", 18), ("d", 19), ("me", ROOT)]);
    folder(&mut image, 17, ROOT, "a", &[("file", FILE)]);
    // Its home is in the first one, and its entries lead back to the root, to itself and to its parent.
    folder(&mut image, 18, 17, "c", &[("a", 17), ("c", 18), ("up", ROOT), ("file", FILE)]);
    // Its parent's record number is right, but the sequence number is that of another directory.
    let own = resident(code::FILE_NAME, "", &file_name(7 << 48 | ROOT, "d", 1, DIRECTORY));
    image.record(19, 3, 0, &[own, index_root(&[index_entry(0, &[], None)], false)]);
    let volume = image.open();
    assert_eq!(all(&volume), ["/a", "/a/file", "/b", "/b!", "/c", "/c!", "/d", "/d!"]);
    // A lookup and a listing return the same nodes; marked ones have the directory's attributes.
    for (name, marked) in [("a", false), ("b", true), ("c", true), ("d", true)] {
        let node = find(&volume, &[name]).unwrap().unwrap();
        assert_eq!(node.0 & MISPLACED != 0, marked, "{name}");
        assert_eq!(volume.stat(node).unwrap().kind, NodeKind::Directory);
        assert_eq!(is_corrupt(volume.lookup(node, Name(&[0x61]))), marked, "{name}");
    }
    // Orphans: their entries are listed below them; directories whose home is elsewhere cannot be entered.
    let view = orphans(&image);
    let found = all(&view);
    let wanted = ["/18-c", "/18-c/a", "/18-c/a!", "/18-c/file", "/19-d"];
    assert_eq!(found, wanted);
    assert_eq!(
        view.xattrs().xattr(find(&view, &["18"]).unwrap().unwrap(), "user.vhdmount.path").unwrap().unwrap(),
        b"a/c"
    );
}

#[test]
fn an_entry_that_calls_a_directory_a_file_does_not_lead_into_it() {
    let mut image = Image::new();
    let key = file_name(1 << 48 | ROOT, "other", 1, 0);
    image
        .directory(&[index_root(&[index_entry(1 << 48 | 17, &key, None), index_entry(0, &[], None)], false)]);
    folder(&mut image, 17, ROOT, "name", &[]);
    let volume = image.open();
    let node = find(&volume, &["other"]).unwrap().unwrap();
    assert!(node.0 & MISPLACED != 0 && is_corrupt(volume.lookup(node, Name(&[0x61]))));
}

#[test]
fn two_names_at_every_level_do_not_multiply_the_work() {
    let mut image = Image::new();
    let chain = [ROOT, 17, 18, 19, 20, 22, 23];
    for (at, number) in chain.iter().enumerate() {
        let (parent, name) = (chain[at.saturating_sub(1)], if at == 0 { "." } else { "a" });
        let next = chain.get(at + 1).map(|next| [("a", *next), ("b", *next), ("c", *next)]);
        folder(&mut image, *number, parent, name, next.as_ref().map_or(&[], |next| &next[..]));
    }
    let volume = image.open();
    let (paths, entered) = all_paths(&volume, 100, &mut |_, _, _| {});
    assert_eq!(entered, 1 + 3 * 6, "each entry is tried once");
    assert_eq!(paths.iter().filter(|path| !path.ends_with('!')).count(), 18);
    assert_eq!(all(&orphans(&image)), ["/21-file"], "every directory has its way");
}

#[test]
fn directories_that_are_each_others_parents_are_shown_once() {
    let mut image = Image::new();
    image.directory(&[index_root(&[index_entry(0, &[], None)], false)]);
    folder(&mut image, 17, 19, "x", &[("y", 18)]);
    folder(&mut image, 18, 17, "y", &[("z", 19)]);
    folder(&mut image, 19, 18, "z", &[("x", 17), ("file", FILE)]);
    // Members of a cycle that no directory lists; and a directory that is its own parent.
    folder(&mut image, 20, 22, "p", &[]);
    folder(&mut image, 22, 20, "q", &[]);
    folder(&mut image, 23, 23, "self", &[("self", 23)]);
    let found = all(&orphans(&image));
    let wanted = [
        "/17-x",
        "/17-x/y",
        "/17-x/y/z",
        "/17-x/y/z/file",
        "/17-x/y/z/x",
        "/17-x/y/z/x!",
        "/20-p",
        "/20-p/22-q",
        "/23-self",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn what_a_directory_does_not_list_is_an_orphan() {
    let mut image = Image::new();
    image.directory(&[index_root(&[index_entry(0, &[], None)], false)]);
    folder(&mut image, 17, ROOT, "d", &[]);
    let name = resident(code::FILE_NAME, "", &file_name(1 << 48 | 17, "file", 1, 0));
    image.record(FILE, 1, 0, &[name, resident(code::DATA, "", b"content")]);
    // Another file uses its parent's record now.
    folder(&mut image, 18, FILE, "lost", &[]);
    let view = orphans(&image);
    assert_eq!(all(&view), ["/17-d", "/17-d/21-file", "/18-lost"]);
    let node = find(&view, &["17-d", "21-file"]).unwrap().unwrap();
    assert_eq!(find(&view, &["17", "21"]).unwrap(), Some(node));
    assert_eq!(node, NodeId(FILE | BIT));
    assert_eq!(view.parent(node).unwrap(), NodeId(17 | BIT));
    assert_eq!(view.parent(NodeId(17 | BIT)).unwrap(), ORPHANS);
    let mut content = [0; 7];
    view.open(node).unwrap().read_exact_at(0, &mut content).unwrap();
    assert_eq!(&content, b"content");
    for absent in [&["21"][..], &["17-D"], &["17", "18"], &["17", "file"], &["17", "21-"], &["5"]] {
        assert_eq!(find(&view, absent).unwrap(), None, "{absent:?}");
    }
}

#[test]
fn a_volume_without_its_root_shows_what_is_left() {
    for damage in [&b"BAAD"[..], &[0; RECORD]] {
        let mut image = Image::new();
        folder(&mut image, 17, ROOT, "d", &[("file", FILE)]);
        image.put(Image::at(ROOT), damage);
        let volume = image.open();
        let problem = &volume.volume().problems;
        assert!(problem.iter().any(|text| text.contains("root directory is lost")), "{problem:?}");
        assert_eq!(volume.stat(volume.root()).unwrap().kind, NodeKind::Directory);
        assert_eq!(volume.parent(volume.root()).unwrap(), volume.root());
        assert!(volume.read_dir(volume.root(), DirCursor(0), &mut |_| ControlFlow::Continue(())).is_err());
        assert!(volume.orphans().unwrap().is_main());
        assert_eq!(all(&orphans(&image)), ["/17-d", "/17-d/file"]);
    }
    assert!(!Image::new().open().orphans().unwrap().is_main());
}

#[test]
fn the_search_reads_the_table_and_each_directory_once() {
    let mut image = Image::new();
    for number in [17, 18, 19, 20, 22, 23] {
        folder(&mut image, number, 17, "d", &[("a", 17), ("b", 18), ("c", 19), ("d", number), ("f", FILE)]);
    }
    let stored = image.0.len() as u64;
    let counted = Arc::new(Counted::new(Arc::new(MemorySource(image.0))));
    let volume = Arc::new(open(counted.clone()).unwrap());
    let view = View::new(volume.clone());
    counted.take();
    let found = all(&view);
    let (_, read) = counted.take();
    assert!(!found.is_empty() && read <= 4 * stored, "{read} bytes of {stored}");
    assert_eq!(all(&view), found);
    let (_, again) = counted.take();
    assert!(again <= stored, "{again} bytes for what is known");
}

#[test]
fn a_link_is_followed_from_the_directory_that_its_record_names() {
    let mut image = Image::new();
    folder(&mut image, 17, ROOT, "d", &[("file", FILE)]);
    let target = [&2_u32.to_le_bytes()[..], b"../../x"].concat();
    let length = u16::try_from(target.len()).unwrap().to_le_bytes();
    let point = [&0xa000_001d_u32.to_le_bytes()[..], &length, &[0; 2], &target].concat();
    let link = |names: &[(u64, u8)]| -> Vec<_> {
        let names = names.iter().map(|(parent, namespace)| {
            resident(code::FILE_NAME, "", &file_name(1 << 48 | parent, "file", *namespace, 0x400))
        });
        names.chain([resident(code::DATA, "", b""), resident(code::REPARSE_POINT, "", &point)]).collect()
    };
    let at = |volume: &Ntfs, path: &[&str]| {
        let node = find(volume, path).unwrap().unwrap();
        assert_eq!(volume.stat(node).unwrap().kind, NodeKind::Symlink);
        node.0 & MISPLACED == 0
    };
    // The attributes in the root's entry decide nothing: a file, a link, a directory.
    for attributes in [0, 0x400, DIRECTORY] {
        let key = file_name(1 << 48 | ROOT, "file", 1, attributes);
        let entries = [
            index_entry(1 << 48 | 17, &file_name(1 << 48 | ROOT, "d", 1, DIRECTORY), None),
            index_entry(1 << 48 | FILE, &key, None),
            index_entry(0, &[], None),
        ];
        image.directory(&[index_root(&entries, false)]);
        // The DOS name, which comes first and is in no listing, is in another directory: only the other name counts.
        for (names, in_root, below) in [
            (&[(17, 1)][..], false, true),
            (&[(ROOT, 1)], true, false),
            (&[(17, 2), (ROOT, 1)], true, false),
            (&[(ROOT, 2), (17, 1)], false, true),
        ] {
            image.record(FILE, 1, 0, &link(names));
            let volume = image.open();
            assert_eq!((at(&volume, &["file"]), at(&volume, &["d", "file"])), (in_root, below), "{names:?}");
            assert_eq!(volume.parent(NodeId(FILE)).unwrap(), NodeId(if in_root { ROOT } else { 17 }));
            assert!(volume.directory(find(&volume, &["file"]).unwrap().unwrap()).is_err());
            // After `stat` has identified a link, a listing leads to the same node as a look-up.
            let mut listed = Vec::new();
            let root = volume.root();
            let read = volume.read_dir(root, DirCursor(0), &mut |entry| {
                listed.push((entry.name.to_owned(), entry.node, entry.kind));
                ControlFlow::Continue(())
            });
            read.unwrap();
            let (name, node, kind) =
                listed.iter().find(|(name, ..)| name.to_string() == "file").expect("it is listed");
            let stat = volume.stat(*node).unwrap();
            let settled = settle(&volume, root, name.as_name(), *node, *kind, &stat).unwrap();
            assert_eq!(Some(settled), find(&volume, &["file"]).unwrap(), "{names:?}");
        }
    }
}

/// A directory whose index has `count` blocks from `cluster` on, however many other directories share them.
fn folder_of_blocks(image: &mut Image, number: u64, name: &str, cluster: u16, count: u16) {
    let own = resident(code::FILE_NAME, "", &file_name(1 << 48 | ROOT, name, 1, DIRECTORY));
    let pairs = [&[0x22][..], &count.to_le_bytes(), &cluster.to_le_bytes(), &[0]].concat();
    let size = u64::from(count) * CLUSTER as u64;
    let vcns = 0..=u64::from(count) - 1;
    let index = Extent { vcns, pairs: &pairs, size, valid: size, flags: 0, unit: 0 };
    let index = non_resident(code::INDEX_ALLOCATION, "$I30", &index);
    image.record(number, 3, 0, &[own, index_root(&[index_entry(0, &[], Some(0))], true), index]);
}

#[test]
fn directories_with_the_same_index_blocks_list_no_more_than_is_stored() {
    const DIRS: [u64; 6] = [17, 18, 19, 20, 22, 23];
    let mut image = Image::new();
    image.0.resize(4096 * CLUSTER, 0);
    image.0[0x28..0x30].copy_from_slice(&(4095_u64 * 2).to_le_bytes());
    // Names of one directory, and empty blocks.
    for vcn in 0..300 {
        let key = file_name(1 << 48 | 17, &format!("{vcn}"), 1, 0);
        let block = [index_entry(1 << 48 | FILE, &key, None), index_entry(0, &[], None)];
        image.put((200 + usize::try_from(vcn).unwrap()) * CLUSTER, &index_block(vcn, &block, false));
    }
    for vcn in 0..3000 {
        let block = index_block(vcn, &[index_entry(0, &[], None)], false);
        image.put((1000 + usize::try_from(vcn).unwrap()) * CLUSTER, &block);
    }
    let names = DIRS.map(|number| format!("d{number}"));
    let entries: Vec<_> = names.iter().map(String::as_str).zip(DIRS).collect();
    let root: Vec<_> = entries
        .iter()
        .map(|(name, to)| index_entry(1 << 48 | to, &file_name(1 << 48 | ROOT, name, 1, DIRECTORY), None))
        .chain([index_entry(0, &[], None)])
        .collect();
    image.directory(&[index_root(&root, false)]);
    for (cluster, count, most) in [(200, 300, 256), (1000, 3000, 1100)] {
        for (name, number) in &entries {
            folder_of_blocks(&mut image, *number, name, cluster, count);
        }
        let counted = Arc::new(Counted::new(Arc::new(MemorySource(image.0.clone()))));
        let volume = open(counted.clone()).unwrap();
        for (name, number) in &entries {
            let dir = find(&volume, &[name]).unwrap().unwrap();
            counted.take();
            let mut found = 0;
            let listed = volume.read_dir(dir, DirCursor(0), &mut |_| {
                found += 1;
                ControlFlow::Continue(())
            });
            let (operations, bytes) = counted.take();
            // The owner lists all of its own; any other directory ends after a fixed number of blocks without own entries.
            if cluster == 200 && *number == 17 {
                listed.unwrap();
                assert_eq!(found, 300);
                continue;
            }
            assert!(is_corrupt(listed) && found == 0, "{name}: {found}");
            let most = most + READ_AHEAD / CLUSTER as u64;
            assert!(operations <= most && bytes <= most * CLUSTER as u64, "{name}: {operations}, {bytes}");
        }
    }
}
