//! The built-in demo disk: it has every feature that its script put there, and reads as the programs that made it do.

use std::{collections::BTreeMap, sync::Arc};

use vhdmount::{
    bytes::MemorySource,
    fs::{FileSystem, NodeKind, probe::Probe},
    image::{Image, OpenOptions},
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
