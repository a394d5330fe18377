//! Links as Linux and WSL write them, and links whose directory is not the one that their record names.

use super::*;

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
