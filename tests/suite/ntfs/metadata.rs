//! NTFS's metadata as extended attributes, byte for byte as ntfs-3g returns them from the same volume.

use std::{fs, os::unix::fs::FileTypeExt, path::Path, sync::Arc};

use vhdmount::{
    bytes::FileSource,
    fs::{
        FileSystem, NameBuf, NodeId, NodeKind,
        ntfs::{self, upcase::UpCase},
    },
};

use super::{Ntfs3g, make};
use crate::support::{have, have_fuse, run, scratch, tool};

const NAMES: [&str; 12] = [
    "system.ntfs_acl",
    "system.ntfs_attrib",
    "system.ntfs_attrib_be",
    "system.ntfs_efsinfo",
    "system.ntfs_reparse_data",
    "system.ntfs_object_id",
    "system.ntfs_dos_name",
    "system.ntfs_times",
    "system.ntfs_times_be",
    "system.ntfs_crtime",
    "system.ntfs_crtime_be",
    "system.ntfs_ea",
];

pub(super) fn set(path: &Path, name: &str, value: &[u8]) {
    xattr::set(path, name, value).unwrap_or_else(|error| panic!("{name} of {path:?}: {error}"));
}

/// A descriptor with one entry for everyone, whose rights tell it from others.
fn descriptor(rights: u32) -> Vec<u8> {
    let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
    let header = [1, 0, 4, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0];
    let list = [2, 0, 28, 0, 1, 0, 0, 0, 0, 3, 20, 0];
    let everyone = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    [&header[..], &administrators, &administrators, &list, &rights.to_le_bytes(), &everyone].concat()
}

pub(super) fn junction(target: &str, print: &str) -> Vec<u8> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (target, print) = (utf16(target), utf16(print));
    let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap();
    let fields = [0, len(&target), len(&target) + 2, len(&print)].map(u16::to_le_bytes).concat();
    let data = [&fields[..], &target, &[0, 0], &print, &[0, 0]].concat();
    [&0xa000_0003_u32.to_le_bytes()[..], &len(&data).to_le_bytes(), &[0, 0], &data].concat()
}

fn fill(root: &Path) {
    for folder in ["acl", "id", "junction", "hidden"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let file = |name: String| {
        let path = root.join(name);
        fs::write(&path, b"x").unwrap();
        path
    };
    // Enough of both that their indexes get more than a root.
    for i in 0..300_u32 {
        set(&file(format!("acl/{i}")), "system.ntfs_acl", &descriptor(0x1f_0000 | i));
    }
    for i in 0..120_u8 {
        let id: Vec<u8> = (0..64).map(|byte| i.wrapping_mul(37) ^ byte).collect();
        set(&file(format!("id/{i}")), "system.ntfs_object_id", if i % 2 == 0 { &id } else { &id[..16] });
    }
    set(&file("A long name.text".into()), "system.ntfs_dos_name", b"ALONGN~1.TEX");
    set(&file("SHORT.TXT".into()), "system.ntfs_dos_name", b"SHORT.TXT");
    set(&root.join("hidden"), "system.ntfs_attrib_be", &[0, 0, 0, 2]);
    set(&file("read-only".into()), "system.ntfs_attrib_be", &[0, 0, 0, 0x21]);
    set(&file("normal".into()), "system.ntfs_attrib_be", &[0; 4]);
    let times: Vec<u8> = [1_u64, 131_000_000_000_000_002, 131_000_000_000_000_003, 131_000_000_000_000_004]
        .iter()
        .flat_map(|time| time.to_le_bytes())
        .collect();
    set(&file("old".into()), "system.ntfs_times", &times);
    set(&file("ea".into()), "system.ntfs_ea", b"\x10\0\0\0\0\x03\x04\0foo\0bar!");
    set(&root.join("junction"), "system.ntfs_reparse_data", &junction(r"\??\C:\acl", r"C:\acl"));
    let streams = file("streams".into());
    set(&streams, "user.first", b"1");
    set(&streams, "user.zweiter Strom", b"22");
    for (name, kind, number) in
        [("tty", "c", Some(("4", "64"))), ("disk", "b", Some(("8", "17"))), ("fifo", "p", None)]
    {
        let mut mknod = tool("mknod");
        mknod.arg(root.join(name)).arg(kind);
        run(mknod.args(number.iter().flat_map(|(major, minor)| [major, minor])));
    }
    std::os::unix::fs::symlink("streams", root.join("link")).unwrap();
}

/// Compares every attribute of every entry below `folder`; returns how many values were equal.
fn compare(volume: &ntfs::Ntfs, folder: &Path, node: NodeId) -> usize {
    let mut equal = compare_one(volume, folder, node);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = NameBuf::literal(entry.file_name().to_str().unwrap());
        let child = volume.lookup(node, name.as_name()).unwrap().unwrap_or_else(|| panic!("{name}"));
        equal += if entry.file_type().unwrap().is_dir() {
            compare(volume, &entry.path(), child)
        } else {
            compare_one(volume, &entry.path(), child)
        };
    }
    equal
}

fn theirs(path: &Path, name: &str) -> Option<Vec<u8>> {
    // The crate fails where ntfs-3g wants a buffer that is larger than its first one (the root's descriptor). Else EPERM
    // is what ntfs-3g says for `efsinfo` of plain files and for the DOS name of the root.
    xattr::get(path, name).unwrap_or_else(|_| {
        let output = tool("getfattr").args(["-h", "--only-values", "-n", name]).arg(path).output().unwrap();
        output.status.success().then_some(output.stdout)
    })
}

fn compare_one(volume: &ntfs::Ntfs, path: &Path, node: NodeId) -> usize {
    let mut equal = 0;
    for name in NAMES {
        let theirs = theirs(path, name);
        let ours = volume.xattr(node, name).unwrap();
        assert!(ours == theirs, "{name} of {path:?}: {ours:02x?}\ninstead of {theirs:02x?}");
        equal += usize::from(ours.is_some());
    }
    assert_eq!(
        volume.xattr(node, "system.ntfs_security").unwrap(),
        volume.xattr(node, "system.ntfs_acl").unwrap()
    );
    assert_eq!(volume.xattr(node, "system.ntfs_nothing").unwrap(), None);
    // As there, they are read by name but not listed: a copy would try to set them elsewhere.
    assert!(volume.xattr_names(node).unwrap().is_empty());
    equal
}

#[test]
fn attributes_equal_those_of_ntfs_3g() {
    if !have(&["mkntfs", "ntfs-3g", "mknod", "getfattr"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 48 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw,special_files=wsl");
        fill(&mounted.folder);
    }
    let volume = ntfs::open(Arc::new(FileSource::open(&image).unwrap())).unwrap();
    let mounted = Ntfs3g::mount(&image, "ro,special_files=wsl");
    let equal = compare(&volume, &mounted.folder, volume.root());
    assert!(equal > 430 * 7, "{equal}");

    let find = |name| volume.lookup(volume.root(), NameBuf::literal(name).as_name()).unwrap().unwrap();
    let kind = |name| volume.stat(find(name)).unwrap().kind;
    assert_eq!(kind("tty"), NodeKind::CharDevice(4, 64));
    assert_eq!(kind("disk"), NodeKind::BlockDevice(8, 17));
    assert_eq!(kind("fifo"), NodeKind::Fifo);
    assert!(fs::metadata(mounted.folder.join("disk")).unwrap().file_type().is_block_device());
    assert_eq!(kind("link"), NodeKind::Symlink);
    drop(mounted);

    let mounted = Ntfs3g::mount(&image, "ro,streams_interface=windows");
    for name in ["streams", "old", "acl"] {
        let theirs = xattr::get(mounted.folder.join(name), "ntfs.streams.list").unwrap();
        assert_eq!(volume.xattr(find(name), "ntfs.streams.list").unwrap(), theirs, "{name}");
    }
}

#[test]
fn fallback_for_upcase_is_close_to_the_table_of_mkntfs() {
    if !have(&["mkntfs", "ntfscat"]) {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    let table = run(tool("ntfscat").args(["-i", "10"]).arg(&image)).stdout;
    let (table, fallback) = (UpCase::parse(&table).unwrap(), UpCase::fallback());
    let differing: Vec<_> =
        (0..=u16::MAX).filter(|unit| table.upper(*unit) != fallback.upper(*unit)).collect();
    // Letters that Unicode got since, and Greek ones with a second form: none that is common in names.
    assert!(differing.len() < 250, "{}", differing.len());
    assert!(differing[0] >= 0x180, "{:#x}", differing[0]);
}
