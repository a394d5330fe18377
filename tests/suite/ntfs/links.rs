//! Links over volumes: drive letters and volume GUIDs are looked up in a registry hive that hivex wrote, on disks whose
//! volumes ntfs-3g filled; through the library and through a real mount.

pub(super) mod hives;
mod linux;

use self::hives::{database, empty_hive, gpt_device, hivexsh, mbr_device, seal, system_hive};

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Component, Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use vhdmount::{
    bytes::FileSource,
    guid::Guid,
    image::{Image, OpenOptions},
    registry::Hive,
    tree::{Namespace, Resolver, Tree},
};

use super::{
    Ntfs3g, make,
    metadata::{junction, set},
};

use crate::support::{demo::vhdmount, have, have_fuse, run, scratch, tool};

const MIB: u64 = 1 << 20;
const VOLUME: u64 = 16 * MIB;
/// Where the three volumes begin.
const STARTS: [u64; 3] = [MIB, MIB + VOLUME, MIB + 2 * VOLUME];

const PARTITIONS: [&str; 3] = [
    "11111111-2222-3333-4444-555555555501",
    "11111111-2222-3333-4444-555555555502",
    "11111111-2222-3333-4444-555555555503",
];

/// What Windows calls the second volume, which is not its partition's GUID.
const SECOND: &str = "deadbeef-0000-4000-8000-00000000000a";
const SIGNATURE: u32 = 0x1234_5678;

/// The three volumes: Windows with `hive`, and two that have the same folder.
fn volumes(folder: &Path, hive: Option<&[u8]>) -> Vec<PathBuf> {
    (0..3)
        .map(|number| {
            let own = folder.join(format!("volume{number}"));
            fs::create_dir_all(&own).unwrap();
            let image = make(&own, VOLUME, 512, 4096);
            let mounted = Ntfs3g::mount(&image, "rw");
            fill(&mounted.folder, number, hive);
            image
        })
        .collect()
}

fn fill(root: &Path, number: usize, hive: Option<&[u8]>) {
    let link = |name: &str, target: &str| {
        fs::create_dir(root.join(name)).unwrap();
        set(&root.join(name), "system.ntfs_reparse_data", &junction(target, target));
    };
    if number > 0 {
        fs::create_dir(root.join("Data")).unwrap();
        fs::write(root.join("Data/which"), format!("{number}")).unwrap();
        link("windows", r"\??\C:\Windows");
        return;
    }
    fs::create_dir_all(root.join("Windows/System32/config")).unwrap();
    fs::create_dir_all(root.join("Users/Public")).unwrap();
    if let Some(hive) = hive {
        fs::write(root.join("Windows/System32/config/SYSTEM"), hive).unwrap();
    }
    link("c", r"\??\C:\Users");
    link("through", r"\??\C:\c\Public");
    link("d", r"\??\D:\Data");
    link("e", r"\??\E:\Users");
    link("f", r"\??\F:\");
    link("z", r"\??\Z:\Data");
    link("mount", &format!(r"\??\Volume{{{SECOND}}}\"));
    link("by-partition", &format!(r"\??\Volume{{{}}}\Data", PARTITIONS[2]));
    link("unknown", r"\??\Volume{99999999-0000-4000-8000-00000000000a}\");
}

fn disk(folder: &Path, volumes: &[PathBuf], gpt: bool) -> PathBuf {
    let path = folder.join(if gpt { "gpt.raw" } else { "mbr.raw" });
    let file = fs::File::create(&path).unwrap();
    file.set_len(STARTS[2] + VOLUME + MIB).unwrap();
    for (volume, start) in volumes.iter().zip(STARTS) {
        file.write_all_at(&fs::read(volume).unwrap(), start).unwrap();
    }
    if gpt {
        let mut sgdisk = tool("sgdisk");
        for (number, (start, id)) in (1..).zip(STARTS.iter().zip(PARTITIONS)) {
            let (first, last) = (start / 512, (start + VOLUME) / 512 - 1);
            sgdisk.args(["-n", &format!("{number}:{first}:{last}"), "-t", &format!("{number}:0700")]);
            sgdisk.args(["-u", &format!("{number}:{id}")]);
        }
        run(sgdisk.arg(&path));
        return path;
    }
    let mut record = SIGNATURE.to_le_bytes().to_vec();
    record.extend([0, 0]);
    for start in STARTS {
        record.extend([0, 0, 0, 0, 7, 0, 0, 0]);
        for lba in [start / 512, VOLUME / 512] {
            record.extend(u32::try_from(lba).unwrap().to_le_bytes());
        }
    }
    record.resize(6 + 64, 0);
    record.extend([0x55, 0xaa]);
    file.write_all_at(&record, 440).unwrap();
    path
}

fn tree(disk: &Path, only: Option<u32>) -> Tree {
    Image::open(disk, &OpenOptions::default()).unwrap().tree(only).unwrap()
}

fn link(tree: &Tree, path: &str) -> String {
    let node = Resolver::new(tree).resolve(path.as_bytes(), false).unwrap().node;
    String::from_utf8(tree.read_link_text(node).unwrap()).unwrap()
}

/// What all disks with a readable database have in common.
fn check_known(tree: &Tree) {
    assert_eq!(link(tree, "p1/c"), "Users");
    assert_eq!(link(tree, "p1/through"), "c/Public");
    assert_eq!(link(tree, "p1/d"), "../p3/Data");
    assert_eq!(link(tree, "p1/e"), r"\??\E:\Users", "a partition of another disk");
    assert_eq!(link(tree, "p1/f"), r"\??\F:\", "an optical drive");
    assert_eq!(link(tree, "p1/z"), r"\??\Z:\Data", "two candidates");
    assert_eq!(link(tree, "p1/mount"), "../p2");
    assert_eq!(link(tree, "p1/unknown"), r"\??\Volume{99999999-0000-4000-8000-00000000000a}\");
    assert_eq!(link(tree, "p2/windows"), "../p1/Windows");
}

fn tools() -> bool {
    have(&["mkntfs", "ntfs-3g", "hivexsh", "sgdisk"]) && have_fuse()
}

#[test]
fn drive_letters_and_volumes_are_those_of_the_registry() {
    if !tools() {
        return;
    }
    let folder = scratch();
    let hive = system_hive(folder.path(), &database(gpt_device));
    let volumes = volumes(folder.path(), Some(&hive));
    let gpt = disk(folder.path(), &volumes, true);
    let whole = tree(&gpt, None);
    check_known(&whole);
    assert_eq!(link(&whole, "p1/by-partition"), "../p3/Data");
    let alone = tree(&gpt, Some(1));
    assert_eq!((link(&alone, "c"), link(&alone, "d")), ("Users".into(), r"\??\D:\Data".into()));

    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&gpt).arg(&at));
    let read = |path: &str| fs::read_to_string(at.join(path)).unwrap();
    let seen =
        (read("p1/d/which"), read("p1/mount/Data/which"), at.join("p3/windows/System32/config").is_dir());
    let target = fs::read_link(at.join("p1/mount")).unwrap();
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(seen, ("2".into(), "1".into(), true));
    assert_eq!(target, Path::new("../p2"));
}

#[test]
fn volumes_of_an_mbr_disk_are_known_by_signature_and_offset() {
    if !tools() {
        return;
    }
    let folder = scratch();
    let mut hive = system_hive(folder.path(), &database(mbr_device));
    // Not written completely: used all the same.
    hive[4] ^= 3;
    seal(&mut hive);
    let volumes = volumes(folder.path(), Some(&hive));
    let mbr = disk(folder.path(), &volumes, false);
    check_known(&tree(&mbr, None));
    // The same volumes on a disk that the database does not know: as without one.
    let gpt = tree(&disk(folder.path(), &volumes, true), None);
    assert_eq!(link(&gpt, "p1/e"), "Users");
    assert_eq!(link(&gpt, "p1/d"), r"\??\D:\Data");
    assert_eq!(link(&gpt, "p1/mount"), format!(r"\??\Volume{{{SECOND}}}\"));
    assert_eq!(link(&gpt, "p1/by-partition"), "../p3/Data");
}

#[test]
fn each_installation_knows_its_own_drives() {
    if !tools() {
        return;
    }
    let folder = scratch();
    let first = system_hive(folder.path(), &database(gpt_device));
    let second =
        system_hive(folder.path(), &[(r"\DosDevices\C:", gpt_device(1)), (r"\DosDevices\D:", gpt_device(0))]);
    let volumes = volumes(folder.path(), Some(&first));
    for (number, hive) in [(1, Some(&second)), (2, None)] {
        let mounted = Ntfs3g::mount(&volumes[number], "rw");
        for (name, target) in [("d", r"\??\D:\"), ("e", r"\??\E:\"), ("root", r"\??\C:\")] {
            fs::create_dir(mounted.folder.join(name)).unwrap();
            set(&mounted.folder.join(name), "system.ntfs_reparse_data", &junction(target, target));
        }
        if let Some(hive) = hive {
            let config = mounted.folder.join("Windows.new/System32/config");
            fs::create_dir_all(&config).unwrap();
            fs::write(config.join("SYSTEM"), hive).unwrap();
            // Beside the junction of this name there is no place for another.
            fs::remove_file(mounted.folder.join("windows")).unwrap();
            fs::rename(mounted.folder.join("Windows.new"), mounted.folder.join("Windows")).unwrap();
        }
    }
    let tree = tree(&disk(folder.path(), &volumes, true), None);
    assert_eq!(link(&tree, "p1/d"), "../p3/Data");
    assert_eq!((link(&tree, "p2/d"), link(&tree, "p2/root")), ("../p1".into(), ".".into()));
    // Without one of its own: what the others agree on.
    assert_eq!(link(&tree, "p3/d"), r"\??\D:\");
    assert_eq!(link(&tree, "p3/e"), r"\??\E:\");
}

#[test]
fn a_damaged_hive_leaves_the_links_to_what_exists() {
    if !tools() {
        return;
    }
    let folder = scratch();
    let mut hive = system_hive(folder.path(), &database(gpt_device));
    hive[4096..].fill(0xff);
    let volumes = volumes(folder.path(), Some(&hive));
    let tree = tree(&disk(folder.path(), &volumes, true), None);
    assert_eq!(link(&tree, "p1/c"), "Users");
    assert_eq!(link(&tree, "p1/d"), r"\??\D:\Data");
    // Not to itself; the link of that name on the third volume is a second candidate.
    assert_eq!(link(&tree, "p2/windows"), r"\??\C:\Windows");
}

#[test]
fn hives_read_as_hivex_reads_them() {
    if !have(&["hivexsh"]) {
        return;
    }
    let folder = scratch();
    let path = folder.path().join("hive");
    fs::write(&path, empty_hive()).unwrap();
    let mut script = String::new();
    for i in 0..600 {
        let value = format!(
            "setval 3\n@\nstring:default {i}\nName {i}\ndword:0x{i:x}\nlöng\nhex:3:{}\n",
            "61,".repeat(i) + "61"
        );
        script += &format!("add Key {i}\ncd Key {i}\n{value}cd ..\n");
    }
    hivexsh(&path, &(script + "commit\n"));
    let hive = Hive::open(Arc::new(FileSource::open(&path).unwrap())).unwrap();
    let root = hive.root().unwrap();
    let mut found = 0;
    hive.each_subkey(&root, &mut |key| drop(key.map(|_| found += 1))).unwrap();
    assert_eq!(found, 600);
    for i in (0..600_usize).step_by(37) {
        let key = hive.subkey(&root, &format!("kEY {i}")).unwrap().unwrap();
        let mut values = Vec::new();
        hive.each_value(&key, 10, &mut |value| values.push(value.unwrap())).unwrap();
        let text = |units: &[u16]| String::from_utf16(units).unwrap();
        let [default, number, long] = &values[..] else { panic!("{values:?}") };
        let expected: Vec<u8> = format!("default {i}\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!((text(&default.name), default.data_type, &default.data), (String::new(), 1, &expected));
        assert_eq!((text(&number.name), number.data_type), (format!("Name {i}"), 4));
        assert_eq!(number.data, u32::try_from(i).unwrap().to_le_bytes());
        assert_eq!((text(&long.name), &long.data), ("löng".to_owned(), &vec![0x61; i + 1]));
    }
}
