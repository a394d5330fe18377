//! Files deleted by mtools, found again: names, numbers and content as The Sleuth Kit has them.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path, sync::Arc};

use vhdmount::fs::{
    DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Xattrs,
    deleted::{DIRECTORY, View},
};

use super::{content, mtools, open};
use crate::support::{conformance, have, run, scratch, sha256, sha256_source, tool};

const TOOLS: [&str; 7] = ["mkfs.fat", "mcopy", "mmd", "mdel", "mdeltree", "fls", "icat"];

/// Width and size in KiB.
const VOLUMES: [(&str, &str); 3] = [("12", "1440"), ("16", "9000"), ("32", "34000")];

fn make(folder: &Path, (width, kib): (&str, &str)) -> std::path::PathBuf {
    let image = folder.join(format!("fat{width}"));
    run(tool("mkfs.fat").args(["-C", "-F", width, "-s", "1"]).arg(&image).arg(kib));
    image
}

fn put(image: &Path, name: &str, bytes: &[u8]) {
    let file = image.with_extension("file");
    std::fs::write(&file, bytes).unwrap();
    run(mtools("mcopy", image).arg(&file).arg(format!("::{name}")));
}

fn fill(image: &Path) {
    for folder in ["/dir", "/dir/a longer directory name", "/dir/second", "/stays"] {
        run(mtools("mmd", image).arg(format!("::{folder}")));
    }
    put(image, "/SHORT.TXT", &content(5_000, 1));
    put(image, "/a long file name.text", &content(20_000, 2));
    put(image, "/a name of just 26 units.tx", &content(700, 3));
    put(image, &format!("/{}.end", "long ".repeat(40)), &content(1_000, 4));
    put(image, "/lower.txt", b"");
    for i in 0..4 {
        put(image, &format!("/dir/a longer directory name/größer als zuvor {i}.txt"), &content(900, 5 + i));
        put(image, &format!("/dir/second/mixed Case {i}"), &content(3_000, 15 + i));
    }
    put(image, "/stays/gone for good.bin", &content(30_000, 30));
    put(image, "/stays/kept", &content(2_000, 31));
    put(image, "/last", &content(100, 32));
}

fn delete(image: &Path) {
    run(mtools("mdel", image).args(["::/SHORT.TXT", "::/a long*", "::/a name*", "::/long*", "::/lower.txt"]));
    run(mtools("mdel", image).arg("::/stays/gone for good.bin"));
    run(mtools("mdeltree", image).arg("::/dir"));
}

/// As The Sleuth Kit names it.
const ORPHANS: &str = "$OrphanFiles";

/// Number → path.
type Names = BTreeMap<u64, String>;

fn fls(image: &Path) -> Names {
    let text = String::from_utf8(run(tool("fls").arg("-rdp").arg(image)).stdout).unwrap();
    let rows = text.lines().map(|line| {
        let (head, path) = line.split_once(":\t").unwrap();
        let number = head.split("* ").nth(1).unwrap().trim_end_matches("(realloc)");
        (number.parse().unwrap(), path.to_owned())
    });
    // Below directories to which no entry leads, of which the paths are not known.
    rows.map(|(number, path): (u64, String)| {
        (number, if path.starts_with(ORPHANS) { ORPHANS.into() } else { path })
    })
    .collect()
}

fn listed(view: &View) -> Vec<(u64, NodeId, NodeKind, String)> {
    let mut found = Vec::new();
    view.read_dir(DIRECTORY, DirCursor(0), &mut |entry| {
        let number = entry.name.to_string().split('-').next().unwrap().parse().unwrap();
        found.push((number, entry.node, entry.kind));
        ControlFlow::Continue(())
    })
    .unwrap();
    let path =
        |node| view.xattrs().xattr(node, "user.vhdmount.path").unwrap().unwrap_or_else(|| ORPHANS.into());
    let row = |(number, node, kind)| (number, node, kind, String::from_utf8(path(node)).unwrap());
    found.into_iter().map(row).collect()
}

fn state(view: &View, node: NodeId) -> String {
    String::from_utf8(view.xattrs().xattr(node, "user.vhdmount.state").unwrap().unwrap()).unwrap()
}

#[test]
fn deleted_files_are_those_of_the_sleuth_kit() {
    if !have(&TOOLS) {
        return;
    }
    for volume in VOLUMES {
        let folder = scratch();
        let image = make(folder.path(), volume);
        fill(&image);
        delete(&image);
        let view = View::new(Arc::new(open(&image)));
        let found = listed(&view);
        let names: Names = found.iter().map(|(number, _, _, path)| (*number, path.clone())).collect();
        assert_eq!(names, fls(&image), "{volume:?}");
        assert!(names.len() >= 17, "{volume:?}: {names:?}");
        for path in [
            "a long file name.text",
            "_ir/a longer directory name/größer als zuvor 3.txt",
            "stays/gone for good.bin",
        ] {
            assert!(names.values().any(|name| name == path), "{path} in {names:?}");
        }
        for (number, node, _, path) in found.iter().filter(|(_, _, kind, _)| *kind == NodeKind::File) {
            let hash = sha256_source(&*view.open(*node).unwrap()).unwrap();
            let theirs = run(tool("icat").arg(&image).arg(number.to_string())).stdout;
            assert_eq!(hash, sha256(&theirs), "{path}");
            assert_eq!(
                view.lookup(DIRECTORY, NameBuf::literal(&number.to_string()).as_name()).unwrap(),
                Some(*node)
            );
        }
        let hash = |path: &str| {
            let (_, node, ..) = found.iter().find(|(.., name)| name == path).unwrap();
            sha256_source(&*view.open(*node).unwrap()).unwrap()
        };
        // What was in one piece and not overwritten is what it was.
        assert_eq!(hash("_HORT.TXT"), sha256(&content(5_000, 1)));
        assert_eq!(hash("stays/gone for good.bin"), sha256(&content(30_000, 30)));
        assert_eq!(
            hash("_ir/second/mixed Case 2".replace("second", "_econd").as_str()),
            sha256(&content(3_000, 17))
        );
        let checked = conformance::check(&view);
        assert!(checked.files >= 14 && checked.refused == 0, "{checked:?}");
    }
}

#[test]
fn content_is_called_a_guess_and_overwritten_content_an_error() {
    if !have(&TOOLS) {
        return;
    }
    for volume in VOLUMES {
        let folder = scratch();
        let image = make(folder.path(), volume);
        put(&image, "/one", &content(400, 1));
        put(&image, "/two", &content(10_000, 2));
        put(&image, "/between", &content(10_000, 3));
        put(&image, "/three", &content(10_000, 4));
        run(mtools("mdel", &image).args(["::/one", "::/two", "::/three"]));
        let states = |path: &str| {
            let view = View::new(Arc::new(open(&image)));
            let (_, node, ..) = listed(&view).into_iter().find(|(.., name)| name == path).unwrap();
            (state(&view, node), view.open(node).is_ok())
        };
        // One cluster needs no guess.
        assert_eq!(states("_ne"), ("full".into(), true), "{volume:?}");
        assert_eq!(states("_wo"), ("full, guessed".into(), true), "{volume:?}");
        assert_eq!(states("_hree"), ("full, guessed".into(), true), "{volume:?}");
        // Its name takes the first slot, its content the first free clusters.
        put(&image, "/new", &content(6_000, 5));
        let view = View::new(Arc::new(open(&image)));
        let (_, node, ..) = listed(&view).into_iter().find(|(.., path)| path == "_wo").unwrap();
        let overwritten = state(&view, node) == "overwritten";
        // On FAT32 mtools goes on behind the last file instead.
        assert!(overwritten || volume.0 == "32", "{volume:?}");
        assert_eq!(view.open(node).is_err(), overwritten);
    }
}
