//! NTFS's metadata as extended attributes, byte for byte as ntfs-3g returns them from the same volume.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use vhdmount::{
    bytes::{FileSource, MemorySource},
    fs::{
        FileSystem, NameBuf, NodeId, NodeKind, Xattrs,
        ntfs::{self, volume::upcase::UpCase},
    },
};

use super::{Ntfs3g, make};
use crate::support::{demo::vhdmount, have, have_fuse, run, scratch, tool};

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

pub(crate) fn set(path: &Path, name: &str, value: &[u8]) {
    xattr::set(path, name, value).unwrap_or_else(|error| panic!("{name} of {path:?}: {error}"));
}

/// A descriptor with one entry for everyone, whose rights distinguish it from others.
pub(crate) fn descriptor(rights: u32) -> Vec<u8> {
    let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
    let header = [1, 0, 4, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0];
    let list = [2, 0, 28, 0, 1, 0, 0, 0, 0, 3, 20, 0];
    let everyone = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    [&header[..], &administrators, &administrators, &list, &rights.to_le_bytes(), &everyone].concat()
}

pub(crate) fn junction(target: &str, print: &str) -> Vec<u8> {
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
    // One name for both namespaces; ntfs-3g gives it in capitals.
    set(&file("Mixed.txt".into()), "system.ntfs_dos_name", b"MIXED.TXT");
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

pub(crate) fn theirs(path: &Path, name: &str) -> Option<Vec<u8>> {
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
        let ours = volume.xattrs().xattr(node, name).unwrap();
        assert!(ours == theirs, "{name} of {path:?}: {ours:02x?}\ninstead of {theirs:02x?}");
        equal += usize::from(ours.is_some());
    }
    assert_eq!(
        volume.xattrs().xattr(node, "system.ntfs_security").unwrap(),
        volume.xattrs().xattr(node, "system.ntfs_acl").unwrap()
    );
    assert_eq!(volume.xattrs().xattr(node, "system.ntfs_nothing").unwrap(), None);
    // As there, they are read by name but not listed: a copy would try to set them elsewhere.
    assert!(volume.xattrs().xattr_names(node).unwrap().is_empty());
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
        assert_eq!(volume.xattrs().xattr(find(name), "ntfs.streams.list").unwrap(), theirs, "{name}");
    }
}

/// Where the blocks of the index `$SII` lie: their entries have keys of 4 and data of 20 bytes.
fn sii_blocks(image: &[u8]) -> Vec<usize> {
    let number = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
    let blocks = (0..image.len() - 4096).step_by(4096).filter(|at| image[*at..].starts_with(b"INDX"));
    let is_sii = |at: usize| {
        let first = at + 0x18 + number(at + 0x18);
        (number(first), number(first + 2), number(first + 10)) == (0x14, 0x14, 4)
    };
    blocks.filter(|at| is_sii(*at)).collect()
}

#[test]
fn descriptors_are_found_without_their_index() {
    if !have(&["mkntfs", "ntfs-3g", "mknod"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 48 << 20, 512, 4096);
    fill(&Ntfs3g::mount(&image, "rw,special_files=wsl").folder);
    let mut bytes = fs::read(&image).unwrap();
    let open = |bytes: &[u8]| ntfs::open(Arc::new(MemorySource(bytes.to_vec()))).unwrap();
    let descriptors = |volume: &ntfs::Ntfs| {
        let lookup = |dir, name: &str| volume.lookup(dir, NameBuf::literal(name).as_name()).unwrap().unwrap();
        let acl = lookup(volume.root(), "acl");
        let of =
            |i: u32| volume.xattrs().xattr(lookup(acl, &i.to_string()), "system.ntfs_acl").unwrap().unwrap();
        (0..300).map(of).collect::<Vec<_>>()
    };
    let before = descriptors(&open(&bytes));
    assert_eq!(before[7], descriptor(0x1f_0007));
    let blocks = sii_blocks(&bytes);
    assert!(blocks.len() > 1, "{blocks:?}");
    for block in blocks {
        bytes[block + 0x28..block + 4096].fill(0xa5);
    }
    assert!(descriptors(&open(&bytes)) == before);
    // One descriptor damaged in its block as well: it has a copy.
    let first = bytes.windows(before[7].len()).position(|window| window == before[7]).unwrap();
    bytes[first + 4] ^= 0xff;
    assert!(descriptors(&open(&bytes)) == before);
}

/// Extended attributes as ntfs-3g takes them: `FILE_FULL_EA_INFORMATION`, each at a multiple of 4 bytes.
fn extended_attributes(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut chain = Vec::new();
    for (name, value) in entries {
        let len = (8 + name.len() + 1 + value.len()).next_multiple_of(4);
        let start = chain.len();
        // On disk the last one, too, says how long it is.
        chain.extend(u32::try_from(len).unwrap().to_le_bytes());
        chain.extend([0, u8::try_from(name.len()).unwrap()]);
        chain.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        chain.extend([name.as_bytes(), &[0], value].concat());
        chain.resize(start + len, 0);
    }
    chain
}

#[test]
fn what_wsl_stored_is_shown_when_asked_for() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        let all = |mode: u32| {
            extended_attributes(&[
                ("$LXUID", &1234_u32.to_le_bytes()),
                ("$LXGID", &56_u32.to_le_bytes()),
                ("$LXMOD", &mode.to_le_bytes()),
            ])
        };
        for (name, ea) in [
            ("script", all(0o100_755)),
            ("secret", all(0o100_640)),
            ("owner-only", extended_attributes(&[("$LXUID", &7_u32.to_le_bytes())])),
            ("plain", extended_attributes(&[("OTHER", b"x")])),
        ] {
            fs::write(mounted.folder.join(name), b"x").unwrap();
            set(&mounted.folder.join(name), "system.ntfs_ea", &ea);
        }
        fs::create_dir(mounted.folder.join("folder")).unwrap();
        set(&mounted.folder.join("folder"), "system.ntfs_ea", &all(0o040_711));
    }
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let seen = |options: &str| {
        run(vhdmount().args(["-o", options]).arg(&image).arg(&at));
        let of = |name: &str| {
            let found = fs::metadata(at.join("p1").join(name)).unwrap();
            (found.uid(), found.gid(), found.mode() & 0o7777)
        };
        let seen = ["script", "secret", "owner-only", "plain", "folder"].map(of);
        run(vhdmount().arg("-u").arg(&at));
        seen
    };
    let default = (99, 98, 0o644);
    assert_eq!(seen("uid=99,gid=98"), [default, default, default, default, (99, 98, 0o755)]);
    let stored = [(1234, 56, 0o755), (1234, 56, 0o640), (7, 98, 0o644), default, (1234, 56, 0o711)];
    assert_eq!(seen("uid=99,gid=98,wsl_metadata"), stored);
    assert_eq!(seen("metadata,fmask=077,uid=99,gid=98")[0], (1234, 56, 0o700));
}

#[test]
fn empty_system_files_are_the_special_files_that_ntfs_3g_shows() {
    if !have(&["mkntfs", "ntfs-3g", "mknod"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw,special_files=interix");
        let root = &mounted.folder;
        for (name, kind, number) in
            [("fifo", "p", None), ("tty", "c", Some(("4", "64"))), ("disk", "b", Some(("8", "1")))]
        {
            let mut mknod = tool("mknod");
            mknod.arg(root.join(name)).arg(kind);
            run(mknod.args(number.iter().flat_map(|(major, minor)| [major, minor])));
        }
        drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
        std::os::unix::fs::symlink("x/ä/b", root.join("link")).unwrap();
        for (name, attributes) in [("hidden", 6_u8), ("archive", 0x20)] {
            fs::write(root.join(name), b"").unwrap();
            set(&root.join(name), "system.ntfs_attrib_be", &[0, 0, 0, attributes]);
        }
        fs::write(root.join("text"), b"24 bytes without a sign.").unwrap();
        set(&root.join("text"), "system.ntfs_attrib_be", &[0, 0, 0, 4]);
    }
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let look = |root: &Path| {
        let mut found: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = fs::symlink_metadata(entry.path()).unwrap();
                assert_eq!(metadata.file_type(), entry.file_type().unwrap(), "{entry:?}");
                let target = fs::read_link(entry.path()).ok();
                (entry.file_name(), metadata.file_type(), metadata.rdev(), target)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    let theirs = look(&Ntfs3g::mount(&image, "ro").folder);
    run(vhdmount().args(["-p", "1"]).arg(&image).arg(&at));
    let ours = look(&at);
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(theirs.len(), 8);
    assert_eq!(ours, theirs);
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
