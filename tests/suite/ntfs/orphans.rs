//! Files without a way to them, on volumes that ntfs-3g wrote and from which a piece was taken.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use vhdmount::fs::{FileSystem, NodeKind, orphans::View};

use super::{
    Ntfs3g,
    damage::{RECORD, open},
    make,
};
use crate::support::{
    conformance::{self, Content, tree_listing},
    demo::{outcome, vhdmount},
    have, have_fuse, run, scratch,
};

/// A tree with a directory of several index blocks.
fn volume(folder: &Path) -> Option<Vec<u8>> {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return None;
    }
    let image = make(folder, 8 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "");
        let root = &mounted.folder;
        fs::create_dir_all(root.join("docs/deep/er")).unwrap();
        for i in 0..200 {
            fs::write(root.join(format!("docs/report number {i:03}.txt")), format!("report {i}")).unwrap();
        }
        fs::write(root.join("docs/deep/er/a"), "a").unwrap();
        xattr::set(root.join("docs/deep/er/a"), "user.stream", b"of a").unwrap();
        fs::hard_link(root.join("docs/deep/er/a"), root.join("docs/deep/another name")).unwrap();
        fs::write(root.join("top.txt"), "top").unwrap();
    }
    Some(fs::read(image).unwrap())
}

fn find_all(image: &[u8], what: &[u8], step: usize) -> Vec<usize> {
    (0..image.len() / step).map(|at| at * step).filter(|at| image[*at..].starts_with(what)).collect()
}

fn has(bytes: &[u8], text: &str) -> bool {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.windows(units.len()).any(|window| window == units)
}

/// Where the directory's index blocks lie.
fn index_blocks(image: &[u8]) -> Vec<usize> {
    let blocks = find_all(image, b"INDX", 4096).into_iter();
    blocks.filter(|at| has(&image[*at..at + 4096], "report number")).collect()
}

/// Where the root's record lies: the sixth of the table, which is also in its name.
fn root_record(image: &[u8]) -> usize {
    let records = find_all(image, b"FILE", RECORD);
    let first = records.iter().find(|at| has(&image[**at..**at + RECORD], "$MFT")).unwrap();
    first + 5 * RECORD
}

/// Content by name without the number.
fn contents(fs: &dyn FileSystem) -> BTreeMap<String, (NodeKind, Content)> {
    let plain = |path: &str| {
        let parts = path.split('/').map(|part| match part.split_once('-') {
            Some((number, name)) if number.parse::<u64>().is_ok() => name.to_owned(),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    };
    tree_listing(fs).into_iter().map(|(path, row)| (plain(&path), row)).collect()
}

#[test]
fn names_in_a_lost_index_block_are_orphans_with_their_content() {
    let folder = scratch();
    let Some(mut image) = volume(folder.path()) else { return };
    let whole = contents(&open(image.clone()).unwrap());
    let blocks = index_blocks(&image);
    assert!(blocks.len() > 3, "{blocks:x?}");
    image[blocks[2]..blocks[2] + 4].fill(0);
    let fs = Arc::new(open(image).unwrap());
    let rest = contents(&*fs);
    let view = View::new(fs);
    let checked = conformance::check_nodes(&view);
    assert!(checked.files > 5 && checked.directories == 1, "{checked:?}");
    let orphans = contents(&view);
    for (path, row) in whole {
        let found = rest.get(&path).or_else(|| orphans.get(path.strip_prefix("docs/")?));
        assert_eq!(found, Some(&row), "{path}");
    }
}

#[test]
fn a_volume_without_its_root_directory_is_all_orphans() {
    let folder = scratch();
    let Some(mut image) = volume(folder.path()) else { return };
    let whole = contents(&open(image.clone()).unwrap());
    let at = root_record(&image);
    image[at..at + 4].copy_from_slice(b"BAAD");
    let fs = Arc::new(open(image.clone()).unwrap());
    let view = View::new(fs);
    let checked = conformance::check_nodes(&view);
    assert_eq!((checked.directories, checked.streams), (4, 1));
    assert_eq!(contents(&view), whole);

    let path = folder.path().join("damaged.img");
    fs::write(&path, &image).unwrap();
    let (code, out, error) = outcome(&vhdmount().arg("ls").arg(&path).arg("p1").output().unwrap());
    assert_eq!((code, &out[..]), (Some(4), ".orphans\n"), "{error}");
    let (_, out, _) = outcome(&run(vhdmount().args(["info"]).arg(&path)));
    assert!(out.contains("the root directory is lost") && out.contains(".orphans"), "{out}");
    let rows = run(vhdmount().args(["ls", "--orphans", "-R", "--json"]).arg(&path)).stdout;
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows["schema"], "orphans/1");
    let rows = rows["files"].as_array().unwrap();
    assert_eq!(rows.len(), 206);
    let is = |row: &&serde_json::Value| row["entry"].as_str().unwrap().ends_with("-docs/deep/er/a");
    let row = rows.iter().find(is).unwrap();
    assert_eq!(row["size"], 1);
    let read = run(vhdmount().arg("cat").arg(&path).arg(row["entry"].as_str().unwrap())).stdout;
    assert_eq!(read, b"a");
    let to = folder.path().join("to");
    run(vhdmount().args(["cp", "-r"]).arg(&path).arg("p1/.orphans").arg(&to));
    let top: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()).collect();
    let docs = top.iter().find(|path| path.to_string_lossy().ends_with("-docs")).unwrap();
    assert_eq!(fs::read(docs.join("report number 007.txt")).unwrap(), b"report 7");
    assert_eq!((top.len(), fs::read(docs.join("deep/er/a")).unwrap()), (2, b"a".to_vec()));

    // The same in a mount, where the listing shows the way although the option is not given.
    let mount = folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    run(vhdmount().arg("-q").arg(&path).arg(&mount));
    let docs = mount.join("p1/.orphans").join(docs.file_name().unwrap());
    assert_eq!(fs::read(docs.join("deep/er/a")).unwrap(), b"a");
    assert_eq!(xattr::get(docs.join("deep"), "user.vhdmount.path").unwrap().unwrap(), b"docs/deep");
    assert_eq!(
        fs::canonicalize(docs.join("deep/../..")).unwrap(),
        fs::canonicalize(mount.join("p1/.orphans")).unwrap()
    );
    run(vhdmount().arg("-u").arg(&mount));
}

#[test]
fn an_undamaged_volume_has_no_orphans() {
    let folder = scratch();
    let Some(image) = volume(folder.path()) else { return };
    assert!(tree_listing(&View::new(Arc::new(open(image).unwrap()))).is_empty());
}
