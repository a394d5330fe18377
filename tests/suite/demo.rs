//! The built-in demo disk: it has every feature that its script put there, and reads as the programs that made it do.

use std::{collections::BTreeMap, sync::Arc};

use vhdmount::{
    bytes::MemorySource,
    fs::{FileSystem, NodeKind, probe::Probe},
    image::{Image, OpenOptions},
    registry::{Hive, Replay},
    tree::Resolver,
};

use crate::support::{
    conformance::{Content, check, check_source, tree_listing},
    demo,
};

fn open() -> Image {
    Image::open_source(Arc::new(MemorySource(demo::image())), &OpenOptions::default())
        .expect("the demo disk opens")
}

fn volume(image: &Image, number: u32) -> Arc<dyn FileSystem> {
    let readable = image.partitions().find_map(|(partition, probe)| match probe {
        Probe::Readable(fs) if partition.number == number => Some(fs.clone()),
        _ => None,
    });
    readable.unwrap_or_else(|| panic!("partition {number} is readable"))
}

#[test]
fn the_packed_disk_is_small() {
    assert!(demo::PACKED.len() < 300 << 10 && demo::image().len() < 64 << 20);
}

#[test]
fn both_volumes_conform() {
    let image = open();
    let esp = check(&*volume(&image, 1));
    assert_eq!((esp.directories, esp.files, esp.refused), (7, 5, 0), "{esp:?}");
    let windows = check(&*volume(&image, 3));
    assert_eq!((windows.links, windows.streams, windows.refused), (3, 2, 0), "{windows:?}");
    check_source(&**image.disk(), "the virtual disk");
}

#[test]
fn everything_in_the_manifest_is_there_and_nothing_else() {
    let image = open();
    for number in [1, 3] {
        let mut wanted = BTreeMap::new();
        let prefix = format!("p{number}/");
        for demo::Row { kind, size, sha256, path } in demo::manifest() {
            let Some(path) = path.strip_prefix(&prefix) else { continue };
            let row = match kind {
                "dir" => (NodeKind::Directory, None),
                "link" => (NodeKind::Symlink, None),
                _ => (NodeKind::File, Some((size, sha256.to_owned()))),
            };
            wanted.insert(path.to_owned(), row);
        }
        let got = tree_listing(&*volume(&image, number));
        let got: BTreeMap<_, _> = got
            .into_iter()
            .map(|(path, (kind, content))| match content {
                Content::File(size, sha256) => (path, (kind, Some((size, sha256)))),
                Content::Unreadable(why) => panic!("p{number}/{path}: {why}"),
                Content::None | Content::Link(_) => (path, (kind, None)),
            })
            .collect();
        assert_eq!(got, wanted, "p{number}");
    }
}

#[test]
fn its_registry_hives_are_valid() {
    let tree = open().tree(None).expect("a tree");
    for (path, root, key) in [
        ("p3/Windows/System32/config/SYSTEM", "ROOT", "MountedDevices"),
        ("p3/Windows/System32/config/SOFTWARE", "ROOT", "Microsoft"),
        ("p3/Windows/System32/config/SAM", "ROOT", "SAM"),
        ("p1/EFI/Microsoft/Boot/BCD", "NewStoreRoot", "Objects"),
    ] {
        let node = Resolver::new(&tree).resolve(path.as_bytes(), true).expect(path).node;
        let hive = Hive::open(tree.open(node).expect(path)).expect(path);
        assert_eq!(*hive.replay(), Replay::NotNeeded, "{path}");
        let found = hive.root().expect(path);
        assert_eq!(String::from_utf16_lossy(&found.name), root, "{path}");
        assert!(hive.subkey(&found, key).expect(path).is_some(), "{path}");
    }
}

#[test]
fn its_registry_knows_the_windows_volume_as_drive_c() {
    let image = open();
    let windows = image.partitions().map(|(partition, _)| partition).find(|partition| partition.number == 3);
    let id = windows.expect("p3").id.expect("GPT partitions have one");
    let tree = image.tree(None).expect("a tree");
    let node = Resolver::new(&tree).resolve(b"p3/Windows/System32/config/SYSTEM", true).expect("a path").node;
    let hive = Hive::open(tree.open(node).expect("a file")).expect("a hive");
    let key = hive.subkey(&hive.root().expect("a root"), "MountedDevices").expect("a list").expect("a key");
    let mut devices = BTreeMap::new();
    let each = hive.each_value(&key, 10, &mut |value| {
        let value = value.expect("a value");
        devices.insert(String::from_utf16_lossy(&value.name), value.data);
    });
    each.expect("a list of values");
    let device = [&b"DMIO:ID:"[..], &id.0].concat();
    let volume = format!(r"\??\Volume{{{id}}}");
    assert_eq!(devices, BTreeMap::from([(r"\DosDevices\C:".to_owned(), device.clone()), (volume, device)]));
}
