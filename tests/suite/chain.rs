//! Chains of differencing images: how parents are found, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, FileSource},
    container::{self, Container, OpenOptions},
};

use crate::{
    support::{
        have, have_fuse, scratch, sha256, sha256_source,
        vhd_writer::{VhdWriter, noise, utf16le},
    },
    vhd::{hash, libvhdi_hash, open},
};

pub(crate) fn id(n: u8) -> [u8; 16] {
    [n; 16]
}

pub(crate) fn base() -> VhdWriter {
    let mut base = VhdWriter::new(3, 4 << 20, 512 << 10);
    base.unique_id = id(1);
    base.write(0, &noise(1, 2_000_000));
    base
}

pub(crate) fn child(parent: &VhdWriter, name: &str, n: u8) -> VhdWriter {
    let mut child = VhdWriter::child_of(parent, name, id(n));
    // Whole bytes of the bitmaps, which is all that libvhdi reads right.
    (0..40).for_each(|k| child.write(u64::from(n) * 8 + k * 192, &noise(u64::from(n) * 1000 + k, 4096)));
    child
}

pub(crate) fn put(path: &Path, image: &VhdWriter) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, image.build()).unwrap();
    path.to_owned()
}

pub(crate) fn open_with(path: &Path, change: impl FnOnce(&mut OpenOptions)) -> Result<Container> {
    let mut options = OpenOptions::default();
    change(&mut options);
    container::open(path, &options)
}

pub(crate) fn refused(path: &Path, change: impl FnOnce(&mut OpenOptions)) -> String {
    let error = open_with(path, change).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::MissingParent { .. }), "{error:?}");
    assert!(!error.remedies().is_empty(), "{error:?}");
    error.to_string()
}

/// A chain of three: base, child of it, and the child's child.
fn three(folder: &Path) -> (PathBuf, String) {
    let base = base();
    let middle = child(&base, "base.vhd", 2);
    let top = child(&middle, "middle.vhd", 3);
    put(&folder.join("base.vhd"), &base);
    put(&folder.join("middle.vhd"), &middle);
    let content = top.content(&middle.content(&base.content(&[])));
    (put(&folder.join("top.vhd"), &top), sha256(&content))
}

#[test]
fn three_levels_read_as_libvhdi_reads_them() {
    let folder = scratch();
    let (top, expected) = three(folder.path());
    let container = open(&top);
    assert_eq!(container.disk.layers().len(), 3);
    assert_eq!(container.files().len(), 3);
    assert!(container.files()[2].as_ref().unwrap().path().ends_with("base.vhd"));
    assert_eq!(container.warnings, Vec::<String>::new());
    assert_eq!(container.logical_sector_size(), Some(512));
    assert_eq!(hash(&top), expected);
    if have(&["vhdimount", "fusermount"]) && have_fuse() {
        assert_eq!(libvhdi_hash(&top), expected);
    }
}

#[test]
fn ten_levels_read_right() {
    let folder = scratch();
    let mut parent = base();
    let mut content = parent.content(&[]);
    let mut path = put(&folder.path().join("l0.vhd"), &parent);
    for n in 2..12_u8 {
        let image = child(&parent, path.file_name().unwrap().to_str().unwrap(), n);
        content = image.content(&content);
        path = put(&folder.path().join(format!("l{n}.vhd")), &image);
        parent = image;
    }
    assert_eq!(open(&path).disk.layers().len(), 11);
    assert_eq!(hash(&path), sha256(&content));
}

#[test]
fn parent_is_found_whatever_the_case_and_the_separators() {
    let folder = scratch();
    let base = base();
    put(&folder.path().join("Disks/Base Disk.VHD"), &base);
    for relative in ["..\\disks\\BASE disk.vhd", "../DISKS/base disk.vhd", ".\\..\\.\\Disks\\Base Disk.VHD"] {
        let mut image = child(&base, "x.vhd", 2);
        image.parent_name.clear();
        image.locators = vec![(*b"W2ru", utf16le(relative))];
        let path = put(&folder.path().join("Snapshots/child.avhd"), &image);
        assert_eq!(hash(&path), sha256(&image.content(&base.content(&[]))), "{relative}");
    }
}

#[test]
fn last_part_of_an_absolute_path_is_looked_for_beside_the_child() {
    let folder = scratch();
    let base = base();
    put(&folder.path().join("base.vhd"), &base);
    for locator in [
        (*b"W2ku", utf16le("\\\\?\\D:\\VMs\\somewhere\\BASE.vhd")),
        (*b"MacX", b"file://localhost/Users/x/base.vhd".to_vec()),
        (*b"MacX", b"file://./base.vhd".to_vec()),
        (*b"W2ru", utf16le("..\\gone\\base.vhd")),
    ] {
        let mut image = child(&base, "", 2);
        image.locators = vec![locator];
        let path = put(&folder.path().join("child.vhd"), &image);
        assert_eq!(hash(&path), sha256(&image.content(&base.content(&[]))));
    }
    // Nothing but the name in the header, as qemu and others write it.
    let mut image = child(&base, "base.vhd", 2);
    image.locators.clear();
    assert_eq!(open(&put(&folder.path().join("child.vhd"), &image)).disk.layers().len(), 2);
}

#[test]
fn parent_in_another_folder_is_found_by_identity_under_any_name() {
    let folder = scratch();
    let (top, expected) = three(folder.path());
    let away = folder.path().join("away");
    fs::create_dir(&away).unwrap();
    fs::rename(folder.path().join("middle.vhd"), away.join("renamed.bin")).unwrap();
    fs::rename(folder.path().join("base.vhd"), away.join("other")).unwrap();
    fs::write(away.join("base.vhd"), "decoy, not an image").unwrap();
    fs::write(away.join("raw.img"), vec![7; 4096]).unwrap();
    let text = refused(&top, |_| {});
    for part in ["middle.vhd: not found", "02020202-0202"] {
        assert!(text.contains(part), "{part:?} not in {text}");
    }
    let found = open_with(&top, |o| o.parent_dirs = vec![away.clone()]).unwrap();
    assert_eq!(sha256_source(&*found.disk).unwrap(), expected);
    // Named one by one, in any order.
    for parents in [["renamed.bin", "other"], ["other", "renamed.bin"]] {
        let parents = parents.map(|name| away.join(name)).to_vec();
        let found = open_with(&top, |o| o.parents = parents).unwrap();
        assert_eq!(sha256_source(&*found.disk).unwrap(), expected);
    }
    // The base lies beside the one that is named.
    let found = open_with(&top, |o| o.parents = vec![away.join("renamed.bin")]).unwrap();
    assert_eq!(sha256_source(&*found.disk).unwrap(), expected);
    fs::rename(away.join("other"), folder.path().join("away.bin")).unwrap();
    fs::create_dir(folder.path().join("top")).unwrap();
    fs::rename(&top, folder.path().join("top/top.vhd")).unwrap();
    let text = refused(&folder.path().join("top/top.vhd"), |o| o.parents = vec![away.join("renamed.bin")]);
    assert!(text.contains("the parent of") && text.contains("renamed.bin"), "{text}");
}

#[test]
fn wrong_identity_is_refused_unless_forced() {
    let folder = scratch();
    let (top, expected) = three(folder.path());
    let mut stranger = child(&base(), "base.vhd", 2);
    stranger.unique_id = id(9);
    put(&folder.path().join("middle.vhd"), &stranger);
    let text = refused(&top, |_| {});
    assert!(text.contains("middle.vhd: has another identity: VHD 09090909-0909"), "{text}");
    // What the image names is not taken by force, only what the user does.
    let without = open_with(&top, |o| o.force_parent = true).unwrap();
    assert_eq!(without.disk.layers().len(), 1);
    assert!(without.warnings[0].contains("without its parent"), "{:?}", without.warnings);
    let named = vec![folder.path().join("middle.vhd")];
    let text = refused(&top, |o| o.parents = named.clone());
    assert!(text.contains("middle.vhd: has another identity"), "{text}");
    let forced = open_with(&top, |o| (o.force_parent, o.parents) = (true, named)).unwrap();
    assert_eq!(forced.warnings.len(), 1);
    assert!(forced.warnings[0].contains("not the parent"), "{:?}", forced.warnings);
    assert_eq!(sha256_source(&*forced.disk).unwrap(), expected, "the stranger differs in its identity alone");
}

#[test]
fn missing_parent_can_be_forced_too() {
    let folder = scratch();
    let image = child(&base(), "gone.vhd", 2);
    let path = put(&folder.path().join("child.vhd"), &image);
    assert!(refused(&path, |_| {}).contains("gone.vhd: not found"));
    let forced = open_with(&path, |o| o.force_parent = true).unwrap();
    assert!(forced.warnings[0].contains("without its parent"));
    // What the child itself has is read; what only the parent has is an error, never zeros.
    let content = image.content(&[]);
    let (mut own, mut missing) = (0, 0);
    for (sector, wanted) in (0_u64..).zip(content.chunks_exact(512)) {
        let mut got = [0xee; 512];
        match forced.disk.read_exact_at(sector * 512, &mut got) {
            Ok(()) => {
                assert!(got == wanted, "sector {sector}");
                own += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("the parent, which is missing"), "{error}");
                assert!(wanted.iter().all(|byte| *byte == 0), "sector {sector} is the child's own");
                missing += 1;
            }
        }
    }
    assert!(own >= 320 && missing > 4000, "{own} {missing}");
}

#[test]
fn image_inside_an_image_has_no_place_to_look_for_a_parent() {
    let folder = scratch();
    let (top, _) = three(folder.path());
    let source = std::sync::Arc::new(FileSource::open(&top).unwrap());
    let error = container::open_source(source, &OpenOptions::default()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("inside another image"));
    let source = std::sync::Arc::new(FileSource::open(&folder.path().join("base.vhd")).unwrap());
    assert_eq!(container::open_source(source, &OpenOptions::default()).unwrap().disk.size(), 4 << 20);
}

#[test]
fn cycles_are_refused() {
    let folder = scratch();
    let mut one = child(&base(), "two.vhd", 2);
    one.parent_id = id(3);
    let mut two = child(&base(), "one.vhd", 3);
    two.parent_id = id(2);
    let path = put(&folder.path().join("one.vhd"), &one);
    put(&folder.path().join("two.vhd"), &two);
    let text = refused(&path, |o| o.parent_dirs = vec![folder.path().to_owned()]);
    assert!(text.contains("a cycle"), "{text}");
    // Its own parent, under another name.
    let mut image = child(&base(), "link.vhd", 4);
    image.parent_id = id(4);
    let path = put(&folder.path().join("self.vhd"), &image);
    fs::hard_link(&path, folder.path().join("link.vhd")).unwrap();
    assert!(refused(&path, |_| {}).contains("a cycle"));
}

#[test]
fn absurd_depth_is_refused() {
    let folder = scratch();
    let mut parent = VhdWriter::new(3, 1 << 20, 1 << 20);
    let mut path = put(&folder.path().join("0.vhd"), &parent);
    for n in 1..=130_u8 {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        parent = VhdWriter::child_of(&parent, &name, [n ^ 0x80; 16]);
        path = put(&folder.path().join(format!("{n}.vhd")), &parent);
    }
    let error = open_with(&path, |_| {}).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("more than 128"), "{error}");
    assert_eq!(open(&folder.path().join("100.vhd")).disk.layers().len(), 101);
}

#[test]
fn smaller_parent_ends_in_zeros() {
    let folder = scratch();
    let base = base();
    put(&folder.path().join("base.vhd"), &base);
    let mut image = VhdWriter::new(4, 6 << 20, 512 << 10);
    image.parent_id = base.unique_id;
    image.parent_name = "base.vhd".to_owned();
    image.write(11_000, &noise(3, 5000));
    let path = put(&folder.path().join("child.vhd"), &image);
    let found = open(&path);
    assert!(found.warnings[0].contains("zeros"));
    let mut below = base.content(&[]);
    below.resize(6 << 20, 0);
    assert_eq!(sha256_source(&*found.disk).unwrap(), sha256(&image.content(&below)));
}

#[cfg(unix)]
#[test]
fn child_behind_a_link_finds_parents_beside_the_file_and_pipes_are_not_opened() {
    let folder = scratch();
    let (top, expected) = three(&folder.path().join("store"));
    let link = folder.path().join("link.vhd");
    std::os::unix::fs::symlink(&top, &link).unwrap();
    assert_eq!(hash(&link), expected);
    if have(&["mkfifo"]) {
        let pipe = folder.path().join("store/pipe.vhd");
        crate::support::run(crate::support::tool("mkfifo").arg(&pipe));
        let mut image = child(&base(), "pipe.vhd", 2);
        image.parent_id = id(77);
        let path = put(&folder.path().join("store/child.vhd"), &image);
        assert!(refused(&path, |_| {}).contains("not a regular file"));
        assert!(container::open(&pipe, &OpenOptions::default()).is_err());
    }
}
