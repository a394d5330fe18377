//! Links over volumes: drive letters and volume GUIDs are looked up in a registry hive that hivex wrote, on disks whose
//! volumes ntfs-3g filled; through the library and through a real mount.

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

/// A hive without keys and values, for hivex to fill: a root key and its security descriptor.
pub(super) fn empty_hive() -> Vec<u8> {
    let word =
        |bytes: &mut [u8], at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let mut hive = vec![0; 8192];
    hive[..4].copy_from_slice(b"regf");
    for (at, value) in [(4, 1), (8, 1), (20, 1), (24, 5), (32, 1), (36, 32), (40, 4096), (44, 1)] {
        word(&mut hive, at, value);
    }
    hive[4096..4100].copy_from_slice(b"hbin");
    word(&mut hive, 4096 + 8, 4096);
    let (key, security, free) = (4096 + 32, 4096 + 32 + 88, 4096 + 32 + 88 + 48);
    word(&mut hive, key, (-88_i32).cast_unsigned());
    hive[key + 4..key + 8].copy_from_slice(b"nk\x2c\0");
    for at in [20, 32, 36, 44, 52] {
        word(&mut hive, key + at, u32::MAX);
    }
    word(&mut hive, key + 48, u32::try_from(security - 4096).unwrap());
    // No subkeys and no values: their numbers, not their places.
    for at in [24, 28, 40] {
        word(&mut hive, key + at, 0);
    }
    hive[key + 76] = 4;
    hive[key + 80..key + 84].copy_from_slice(b"ROOT");
    word(&mut hive, security, (-48_i32).cast_unsigned());
    hive[security + 4..security + 6].copy_from_slice(b"sk");
    for at in [8, 12] {
        word(&mut hive, security + at, u32::try_from(security - 4096).unwrap());
    }
    word(&mut hive, security + 16, 1);
    word(&mut hive, security + 20, 20);
    hive[security + 24..security + 28].copy_from_slice(&[1, 0, 4, 0x80]);
    word(&mut hive, free, u32::try_from(8192 - free).unwrap());
    seal(&mut hive);
    hive
}

/// Sets the checksum of the base block.
fn seal(hive: &mut [u8]) {
    let words = hive[..508].as_chunks::<4>().0.iter();
    let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    hive[508..512].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn hivexsh(hive: &Path, script: &str) {
    let mut child = tool("hivexsh").arg("-w").arg(hive).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "hivexsh {script}");
}

/// The hive of a Windows that knows the volumes by these devices.
fn system_hive(folder: &Path, devices: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let path = folder.join("SYSTEM");
    fs::write(&path, empty_hive()).unwrap();
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",");
    let values: Vec<_> =
        devices.iter().map(|(name, data)| format!("{name}\nhex:3:{}\n", hex(data))).collect();
    let others: String =
        ["ControlSet001", "Select", "Setup", "WPA"].map(|key| format!("add {key}\n")).concat();
    let script = format!(
        "{others}add MountedDevices\ncd MountedDevices\nsetval {}\n{}commit\n",
        devices.len(),
        values.concat()
    );
    hivexsh(&path, &script);
    fs::read(path).unwrap()
}

fn gpt_device(partition: usize) -> Vec<u8> {
    [b"DMIO:ID:", &Guid::parse(PARTITIONS[partition]).unwrap().0[..]].concat()
}

fn mbr_device(partition: usize) -> Vec<u8> {
    [&SIGNATURE.to_le_bytes()[..], &STARTS[partition].to_le_bytes()].concat()
}

/// What the installation on the first volume knows.
fn database(device: fn(usize) -> Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (r"\DosDevices\C:", device(0)),
        (r"\DosDevices\D:", device(2)),
        (r"\DosDevices\E:", [b"DMIO:ID:", &[7; 16][..]].concat()),
        (r"\DosDevices\F:", r"\??\IDE#CdRom".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (r"\??\Volume{deadbeef-0000-4000-8000-00000000000a}", device(1)),
    ]
}

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

/// A link with this target: of WSL, or as Linux' own driver makes them.
fn other_link(path: &Path, target: &str, wsl: bool) {
    let (tag, data) = match wsl {
        true => (0xa000_001d_u32, [&[2, 0, 0, 0], target.as_bytes()].concat()),
        false => {
            let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
            let print = utf16(&target.replace('/', "\\"));
            let substitute = [utf16(r"\??\"), print.clone()].concat();
            let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap();
            let fields = [len(&print), len(&substitute), 0, len(&print), 0, 0].map(u16::to_le_bytes).concat();
            (0xa000_000c, [fields, print, substitute].concat())
        }
    };
    let len = u16::try_from(data.len()).unwrap();
    fs::write(path, b"").unwrap();
    let point = [&tag.to_le_bytes()[..], &len.to_le_bytes(), &[0, 0], &data].concat();
    set(path, "system.ntfs_reparse_data", &point);
}

#[test]
fn links_of_linux_lead_to_places_of_the_volume() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), VOLUME, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        let root = &mounted.folder;
        fs::create_dir_all(root.join("rootfs/usr/bin")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("rootfs/usr/bin/env"), "the guest's").unwrap();
        fs::write(root.join("etc/passwd"), "the volume's").unwrap();
        for (name, wsl) in [("wsl", true), ("ntfs3", false)] {
            let at = |path: &str| root.join(format!("{path}-{name}"));
            other_link(&at("rootfs/usr/env"), "/usr/bin/env", wsl);
            other_link(&at("rootfs/passwd"), "/etc/passwd", wsl);
            other_link(&at("rootfs/shadow"), "/etc/shadow", wsl);
            other_link(&at("rootfs/up"), "../../../../../../etc/passwd", wsl);
            other_link(&at("rootfs/usr/relative"), "bin/../bin/env", wsl);
            other_link(&at("c"), "/mnt/c/etc/passwd", wsl);
            fs::write(at("other"), b"").unwrap();
            fs::hard_link(at("other"), at("rootfs/usr/two")).unwrap();
            other_link(&at("rootfs/usr/two"), "../../etc/passwd", wsl);
        }
    }
    let tree = tree(&image, None);
    for name in ["wsl", "ntfs3"] {
        let link = |path: &str| link(&tree, &format!("p1/{path}-{name}"));
        assert_eq!(link("rootfs/usr/env"), "../usr/bin/env", "below the Linux that it belongs to");
        assert_eq!(link("rootfs/passwd"), "../etc/passwd");
        assert_eq!(link("rootfs/shadow"), "../etc/shadow", "where it would be");
        assert_eq!(link("rootfs/up"), "../etc/passwd", "the root's parent is the root");
        assert_eq!(link("rootfs/usr/relative"), "bin/env");
        assert_eq!(link("c"), "etc/passwd");
        assert_eq!(link("other"), "etc/passwd", "from one of its names this would lead out");
    }
    // The mount and `cat` agree.
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&image).arg(&at));
    let read = fs::read_to_string(at.join("p1/rootfs/passwd-wsl"));
    let up = fs::read_to_string(at.join("p1/rootfs/up-wsl"));
    run(vhdmount().arg("-u").arg(&at));
    let cat = run(vhdmount().arg("cat").arg(&image).arg("p1/rootfs/passwd-wsl"));
    assert_eq!([read.unwrap().as_bytes(), up.unwrap().as_bytes(), &cat.stdout], [b"the volume's"; 3]);
}

/// Makes the entry of the root that leads to record `from` lead to record `to`; both were made first in their records.
fn redirect(image: &Path, name: &str, from: u64, to: u64) {
    let mut bytes = fs::read(image).unwrap();
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (from, to) = (&from.to_le_bytes()[..6], &to.to_le_bytes()[..6]);
    // The last two bytes of a sector are kept elsewhere.
    let same = |at: usize, wanted: &[u8], bytes: &[u8]| {
        (at..).zip(wanted).all(|(at, byte)| at % 512 >= 510 || bytes.get(at) == Some(byte))
    };
    // An entry begins with the reference; its name stands at byte 66 of the key, and that at byte 16.
    let entry = |at: &usize| same(*at, from, &bytes) && same(at + 82, &units, &bytes);
    let entries: Vec<usize> = (0..bytes.len()).step_by(8).filter(entry).collect();
    assert!(!entries.is_empty(), "{name}");
    entries.into_iter().for_each(|at| bytes[at..at + 6].copy_from_slice(to));
    fs::write(image, bytes).unwrap();
}

#[test]
fn a_link_that_a_second_directory_lists_does_not_lead_out() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), VOLUME, 512, 4096);
    let mut entries = Vec::new();
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        let root = &mounted.folder;
        // Numbers are asked for before ntfs-3g sees a reparse point that it does not know.
        let number = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
        let link = |path: &Path, target: &str, wsl: bool| {
            fs::write(path, b"").unwrap();
            let number = number(path);
            other_link(path, target, wsl);
            number
        };
        let target = "../../../../../../etc/passwd";
        let deep = root.join("a/b/c/d");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        std::os::unix::fs::symlink(target, deep.join("interix")).unwrap();
        fs::create_dir(deep.join("junction")).unwrap();
        let numbers = [
            ("wsl", link(&deep.join("wsl"), target, true)),
            ("ntfs3", link(&deep.join("ntfs3"), target, false)),
            ("interix", number(&deep.join("interix"))),
            ("junction", number(&deep.join("junction"))),
        ];
        set(&deep.join("junction"), "system.ntfs_reparse_data", &junction(r"\??\C:\etc", ""));
        for (kind, to) in numbers {
            // Entries that say to be a file, a directory, and a link.
            let names = ["file", "directory", "link"].map(|decoy| format!("{decoy}-{kind}"));
            let [file, directory, decoy] = names.each_ref().map(|name| root.join(name));
            fs::write(&file, b"x").unwrap();
            fs::create_dir(&directory).unwrap();
            let from = [number(&file), number(&directory), link(&decoy, "x", true)];
            entries.extend(names.into_iter().zip(from).map(|(name, from)| (name, from, to)));
        }
    }
    entries.iter().for_each(|(name, from, to)| redirect(&image, name, *from, *to));
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let tree = tree(&image, None);
    run(vhdmount().arg(&image).arg(&at));
    // A listing with attributes comes first, then each name by itself; `ls -l` and copies have the same text.
    let listed = run(tool("ls").arg("-l").arg(at.join("p1")));
    let shown = run(vhdmount().arg("ls").arg("-l").arg(&image).arg("p1"));
    let copied =
        vhdmount().arg("cp").arg("-r").arg(&image).arg("p1").arg(folder.path().join("copy")).output();
    let read: Vec<_> =
        entries.iter().map(|(name, ..)| fs::read_link(at.join("p1").join(name)).unwrap()).collect();
    let home = fs::read_link(at.join("p1/a/b/c/d/wsl"));
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(home.unwrap(), Path::new("../../../../etc/passwd"), "where its record puts it");
    for ((name, ..), text) in entries.iter().zip(read) {
        let inside = |text: &Path| text.components().all(|part| matches!(part, Component::Normal(_)));
        assert!(inside(&text), "{name}: {text:?}");
        assert_eq!(Path::new(&link(&tree, &format!("p1/{name}"))), text, "{name}");
        let line = format!("{name} -> {}", text.display());
        for output in [&listed, &shown] {
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.lines().any(|found| found.ends_with(&line)), "{line} in {output}");
        }
        if let Ok(text) = fs::read_link(folder.path().join("copy").join(name)) {
            assert!(inside(&text), "{name}: copied as {text:?}");
        }
    }
    let copied = String::from_utf8_lossy(&copied.unwrap().stderr).into_owned();
    assert!(folder.path().join("copy/a").is_dir(), "{copied}");
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
