//! Tests of directories: names, labels, cursors, cycles.

use super::*;

#[test]
fn bad_sector_in_a_directory_hides_only_itself() {
    let mut image = Image::new(Width::Fat12);
    (0..64).for_each(|i| image.entry(i, b"A          ", 0, 0, 0));
    let bad = image.root as u64 + 512..image.root as u64 + 1024;
    let fs = open(Arc::new(Faulty::new(Arc::new(MemorySource(image.bytes)), vec![bad]))).unwrap();
    let (names, result) = list(&fs, fs.root());
    assert_eq!(names.len(), 16);
    assert!(matches!(result, Err(Error::Io { .. })));
    // The listing continues behind the damage.
    let mut more = 0;
    fs.read_dir(fs.root(), DirCursor(32), &mut |_| {
        more += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(more, 32);
}

#[test]
fn long_name_must_be_whole_and_belong_to_its_short_one() {
    let name = "a long name of 😀 more than 26 units.txt";
    let slots = long_slots(name, b"ALONGN~1TXT");
    let listed = |slots: &[[u8; 32]], short: &[u8; 11]| {
        let mut image = Image::new(Width::Fat12);
        slots.iter().enumerate().for_each(|(i, slot)| image.slot(image.root + i * 32, slot));
        image.entry(slots.len(), short, 0x20, 0, 0);
        list(&image.open(), ROOT).0
    };
    assert_eq!(slots.len(), 4);
    assert_eq!(listed(&slots, b"ALONGN~1TXT"), [name]);
    let fallback = ["ALONGN~1.TXT"];
    assert_eq!(listed(&slots, b"ALONGN~2TXT"), ["ALONGN~2.TXT"], "checksum");
    assert_eq!(listed(&slots[1..], b"ALONGN~1TXT"), fallback, "last piece missing");
    assert_eq!(listed(&slots[..3], b"ALONGN~1TXT"), fallback, "first piece missing");
    assert_eq!(listed(&[slots[0], slots[2], slots[3]], b"ALONGN~1TXT"), fallback, "gap");
    let mut deleted = slots.clone();
    deleted[2][0] = slot::DELETED;
    assert_eq!(listed(&deleted, b"ALONGN~1TXT"), fallback, "deleted piece");
    let orphans = [&slots[..2], &slots[..]].concat();
    assert_eq!(listed(&orphans, b"ALONGN~1TXT"), [name], "orphans before it");
    assert_eq!(listed(&long_slots(&"x".repeat(255), b"X          "), b"X          "), ["x".repeat(255)]);
    assert_eq!(listed(&long_slots(&"x".repeat(256), b"X          "), b"X          "), ["X"]);
    assert_eq!(listed(&long_slots("exactly 13 un", b"X          "), b"X          "), ["exactly 13 un"]);
}

#[test]
fn listing_continues_at_every_cursor() {
    let mut image = Image::new(Width::Fat12);
    let mut at = image.root;
    for i in 0..9_u8 {
        let short = [b'A' + i, b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' '];
        for slot in long_slots(&format!("file number {i} of several"), &short) {
            image.slot(at, &slot);
            at += 32;
        }
        image.slot(at, entry(&short, 0, 0, 0).as_bytes());
        at += 32;
    }
    let fs = image.open();
    let mut cursors = vec![DirCursor::default()];
    fs.read_dir(ROOT, DirCursor::default(), &mut |entry| {
        cursors.push(entry.next);
        ControlFlow::Continue(())
    })
    .unwrap();
    for (i, cursor) in cursors.iter().enumerate() {
        let mut names = Vec::new();
        fs.read_dir(ROOT, *cursor, &mut |entry| {
            names.push(entry.name.to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(names.len(), 9 - i);
        assert!(names.first().is_none_or(|name| *name == format!("file number {i} of several")));
    }
    assert!(fs.read_dir(ROOT, DirCursor(u64::MAX), &mut |_| panic!("nothing is there")).is_ok());
}

#[test]
fn short_names_have_their_case_bits_and_their_code_page() {
    let mut image = Image::new(Width::Fat12);
    let mut nt = entry(b"README  TXT", 0, 0, 0);
    for (i, bits) in [0, 0x08, 0x10, 0x18].into_iter().enumerate() {
        nt.nt_res = bits;
        image.slot(image.root + i * 32, nt.as_bytes());
    }
    image.entry(4, b"\x05\x8e\x9a A   \xe1  ", 0, 0, 0);
    image.entry(5, b"           ", 0, 0, 0);
    let fs = image.open();
    let names = ["README.TXT", "readme.TXT", "README.txt", "readme.txt", "σÄÜ A.ß"];
    assert_eq!(list(&fs, ROOT).0, names);
    let unique: std::collections::HashSet<_> = names[..4].iter().map(|name| find(&fs, name)).collect();
    assert_eq!(unique.len(), 4, "an exact match wins");
    let greek = Options { codepage: CodePage::from_number(1253).unwrap(), ..Options::default() };
    let fs = open_with(Arc::new(MemorySource(image.bytes)), greek).unwrap();
    assert_eq!(list(&fs, ROOT).0[4], "ε\u{8e}\u{9a} A.α");
}

#[test]
fn label_of_the_root_wins_and_is_not_listed() {
    let mut image = Image::new(Width::Fat32);
    assert_eq!(image.open().volume().label, "");
    image.bytes[71..82].copy_from_slice(b"IN BOOT    ");
    assert_eq!(image.open().volume().label, "IN BOOT");
    image.entry(0, b"IN ROOT \x8e  ", attr::VOLUME_ID, 0, 0);
    let fs = image.open();
    assert_eq!(fs.volume().label, "IN ROOT Ä");
    assert_eq!(fs.volume().serial, Some(VolumeSerial::Fat(0x1234_abcd)));
    assert_eq!(list(&fs, ROOT).0, [""; 0]);
}

#[test]
fn directory_cycles_are_not_entered_and_parents_found() {
    let mut image = Image::new(Width::Fat16);
    image.chain(&[10]);
    image.chain(&[11]);
    image.entry(3, b"OUTER      ", 0x10, 10, 0);
    let outer = image.cluster(10);
    image.slot(outer, entry(b".          ", 0x10, 10, 0).as_bytes());
    image.slot(outer + 32, entry(b"..         ", 0x10, 0, 0).as_bytes());
    image.slot(outer + 64, entry(b"INNER      ", 0x10, 11, 0).as_bytes());
    let inner = image.cluster(11);
    image.slot(inner, entry(b".          ", 0x10, 11, 0).as_bytes());
    image.slot(inner + 32, entry(b"..         ", 0x10, 10, 0).as_bytes());
    image.slot(inner + 64, entry(b"CYCLE      ", 0x10, 10, 0).as_bytes());
    (0..3).for_each(|i| image.entry(i, b"\xe5          ", 0, 0, 0));
    let fs = image.open();
    let at = |dir, name| fs.lookup(dir, NameBuf::literal(name).as_name()).unwrap().unwrap();
    let outer = at(ROOT, "outer");
    let inner = at(outer, "inner");
    assert_eq!(fs.parent(outer).unwrap(), ROOT);
    assert_eq!(fs.parent(inner).unwrap(), outer);
    let (names, listed) = list(&fs, at(inner, "cycle"));
    assert!(names.is_empty() && matches!(listed, Err(Error::Corrupt(_))), "it is entered from the root");
    assert_eq!(fs.parent(ROOT).unwrap(), ROOT);
    assert_eq!(list(&fs, outer).0, ["INNER"], "neither . nor ..");
}
