//! Deleted files through the command: `ls --deleted`, `cat`, and a mount with `-o deleted`.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use vhdmount::{
    fs::{FileSystem, NameBuf},
    image::{Image, OpenOptions},
    tree::Tree,
};

use crate::support::{
    conformance,
    demo::{outcome, vhdmount},
    have, have_fuse, run, scratch, tool,
};

const EIO: i32 = 5;

/// A FAT16 volume with a deleted file of two clusters, and one that may be overwritten.
fn fat(folder: &Path, overwrite: bool) -> PathBuf {
    let image = folder.join("fat.img");
    run(tool("mkfs.fat").args(["-C", "-F", "16", "-s", "1"]).arg(&image).arg("9000"));
    let file = folder.join("file");
    for (name, len) in [("a deleted file.txt", 1000), ("overwritten", 400), ("kept", 10)] {
        fs::write(&file, vec![b'x'; len]).unwrap();
        run(tool("mcopy").arg("-i").arg(&image).arg(&file).arg(format!("::/{name}")));
    }
    run(tool("mdel").arg("-i").arg(&image).args(["::/a deleted file.txt", "::/overwritten"]));
    // Its cluster is given away in the table alone.
    let mut bytes = fs::read(&image).unwrap();
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    bytes[table + 8..table + 10].copy_from_slice(if overwrite { &[0xff, 0xff] } else { &[0, 0] });
    fs::write(&image, bytes).unwrap();
    image
}

#[test]
fn ls_and_cat_reach_deleted_files() {
    if !have(&["mkfs.fat", "mcopy", "mdel"]) {
        return;
    }
    let folder = scratch();
    let image = fat(folder.path(), true);
    let (code, text, _) = outcome(&run(vhdmount().args(["ls", "--deleted"]).arg(&image).arg("p1")));
    assert_eq!((code, text.lines().count()), (Some(0), 2), "{text}");
    let rows = run(vhdmount().args(["ls", "--deleted", "--json"]).arg(&image)).stdout;
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows["schema"], "deleted/1");
    let rows = rows["files"].as_array().unwrap();
    assert_eq!(rows[0]["path"], "a deleted file.txt");
    assert_eq!((&rows[0]["state"], &rows[0]["clusters"]), (&"full, guessed".into(), &2.into()));
    assert_eq!((&rows[0]["size"], &rows[0]["volume"]), (&1000.into(), &"p1".into()));
    assert_eq!(rows[1]["state"], "overwritten");
    assert!(text.contains("full, guessed") && text.contains("overwritten"), "{text}");

    let cat = |path: &str| vhdmount().arg("cat").arg(&image).arg(path).output().unwrap();
    let entry = rows[0]["entry"].as_str().unwrap();
    assert_eq!(cat(entry).stdout, [b'x'; 1000]);
    assert_eq!(cat(&format!("p1/.deleted/{}", rows[0]["number"])).stdout, [b'x'; 1000]);
    let (code, out, error) = outcome(&cat(rows[1]["entry"].as_str().unwrap()));
    assert_eq!((code, &out[..]), (Some(4), ""));
    assert!(error.contains("other files have all of its clusters now"), "{error}");
    let (code, _, error) =
        outcome(&vhdmount().args(["ls", "--deleted"]).arg(&image).arg("p1/kept").output().unwrap());
    assert!(code == Some(4) && error.contains("whole volumes"), "{code:?} {error}");
    // The directory is there, but not shown.
    let (_, text, _) = outcome(&run(vhdmount().arg("ls").arg(&image).arg("p1")));
    assert_eq!(text, "kept\n");
    let (_, text, _) = outcome(&run(vhdmount().arg("ls").arg(&image).arg("p1/.deleted")));
    assert_eq!(text.lines().count(), 2, "{text}");
    let empty = run(vhdmount().args(["ls", "--deleted", "--json", "-p", "1"]).arg(&image)).stdout;
    let rows: serde_json::Value = serde_json::from_slice(&empty).unwrap();
    assert_eq!(rows["files"].as_array().unwrap().len(), 2);
}

#[test]
fn a_tree_with_deleted_files_conforms() {
    if !have(&["mkfs.fat", "mcopy", "mdel"]) {
        return;
    }
    let folder = scratch();
    let image = fat(folder.path(), false);
    let mut options = OpenOptions::default();
    options.fs.list_deleted = true;
    let image = Image::open(&image, &options).unwrap();
    for only in [None, Some(1)] {
        let tree = image.tree(only).unwrap();
        // With several volumes there is also `.capacity`, which changes by itself.
        if only.is_some() {
            let checked = conformance::check_nodes(&tree);
            assert_eq!((checked.directories, checked.files, checked.refused), (3, 3, 0));
        }
        let (root, deleted) = (NameBuf::literal("p1"), NameBuf::literal(".deleted"));
        let root = if only.is_some() {
            Tree::ROOT
        } else {
            tree.lookup(Tree::ROOT, root.as_name()).unwrap().unwrap()
        };
        let deleted = tree.lookup(root, deleted.as_name()).unwrap().unwrap();
        assert_eq!(tree.parent(deleted).unwrap(), root);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_mount_lists_deleted_files_when_asked_to() {
    if !have(&["mkfs.fat", "mcopy", "mdel"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = fat(folder.path(), true);
    for (options, listed) in [("ro", false), ("deleted", true)] {
        let at = folder.path().join(options);
        fs::create_dir(&at).unwrap();
        run(vhdmount().args(["-q", "-o", options]).arg(&image).arg(&at));
        let volume = at.join("p1");
        let shown = if listed { vec![".deleted", ".orphans", "kept"] } else { vec!["kept"] };
        assert_eq!(names(&volume), shown, "{options}");
        let deleted = volume.join(".deleted");
        let entries = names(&deleted);
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert!(entries[0].ends_with("-a deleted file.txt"), "{entries:?}");
        let path = deleted.join(&entries[0]);
        assert_eq!(fs::read(&path).unwrap(), [b'x'; 1000]);
        assert_eq!(xattr::get(&path, "user.vhdmount.path").unwrap().unwrap(), b"a deleted file.txt");
        assert_eq!(xattr::get(&path, "user.vhdmount.state").unwrap().unwrap(), b"full, guessed");
        assert_eq!(xattr::list(&path).unwrap().count(), 2);
        let lost = fs::File::open(deleted.join(&entries[1]));
        let lost = lost.and_then(|file| file.read_at(&mut [0; 16], 0));
        assert_eq!(lost.unwrap_err().raw_os_error(), Some(EIO));
        assert_eq!(fs::canonicalize(deleted.join("..")).unwrap(), fs::canonicalize(&volume).unwrap());
        run(vhdmount().arg("-u").arg(&at));
    }
}
