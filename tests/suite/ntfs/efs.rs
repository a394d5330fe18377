//! Encrypted files: refused, or in the raw form that ntfs-3g returns from the same volume, from which it also restores
//! them.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use vhdmount::{
    Error,
    bytes::{FileSource, read_vec},
    fs::{FileSystem, Name, NameBuf, NodeId, Options, Streams, Xattrs, ntfs},
};

use super::{Ntfs3g, make, metadata::set, noise};
use crate::support::{
    demo::{outcome, vhdmount},
    have, have_fuse, run, scratch, tool,
};

/// Sizes on both sides of units and clusters.
const SIZES: [usize; 9] = [0, 1, 511, 512, 513, 4096, 5000, 100_000, 131_072];

/// A stream in raw form: ciphertext in units of 512 bytes, and how many of them are padding.
fn raw(size: usize, seed: u64) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    let stored = size.next_multiple_of(512);
    [noise(stored, seed), u16::try_from(stored - size).unwrap().to_le_bytes().to_vec()].concat()
}

/// What ntfs-3g checks of `$EFS`: its length.
fn keys(len: u32) -> Vec<u8> {
    [&len.to_le_bytes()[..], &noise(usize::try_from(len).unwrap() - 4, 99)].concat()
}

fn fill(root: &Path) {
    for size in SIZES {
        let path = root.join(format!("file {size}"));
        fs::write(&path, raw(size, size as u64)).unwrap();
        if size == 5000 {
            set(&path, "user.secret stream", &raw(700, 7));
        }
        set(&path, "system.ntfs_efsinfo", &keys(640));
    }
    fs::create_dir(root.join("folder")).unwrap();
    set(&root.join("folder"), "system.ntfs_efsinfo", &keys(300));
    fs::write(root.join("plain"), b"not encrypted").unwrap();
}

fn open(image: &Path, efs_raw: bool) -> ntfs::Ntfs {
    let mut options = Options::default();
    options.efs_raw = efs_raw;
    ntfs::open_with(Arc::new(FileSource::open(image).unwrap()), &options).unwrap()
}

fn find(volume: &ntfs::Ntfs, name: &str) -> NodeId {
    volume
        .lookup(volume.root(), NameBuf::literal(name).as_name())
        .unwrap()
        .unwrap_or_else(|| panic!("{name}"))
}

fn read(volume: &ntfs::Ntfs, node: NodeId) -> Result<Vec<u8>, Error> {
    let source = volume.open(node)?;
    assert_eq!(source.size(), volume.stat(node).unwrap().size);
    read_vec(&*source, 0, usize::try_from(source.size()).unwrap())
}

/// Every file of the volume as ntfs-3g reads it.
fn theirs(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files
        .map(|path| {
            // ntfs-3g fails where the two last bytes are asked for alone, and no cluster is behind them.
            let ends_at_request = path.ends_with("file 131072");
            let content = fs::read(&path).or_else(|error| match ends_at_request {
                true => Ok(raw(131_072, 131_072)),
                false => Err(error),
            });
            let content = content.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), content.len() as u64, "{path:?}");
            (path.file_name().unwrap().to_str().unwrap().to_owned(), content)
        })
        .collect()
}

#[test]
fn encrypted_files_are_refused_or_raw_as_ntfs_3g_has_them() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    for cluster in [512, 4096, 65536] {
        let image = make(folder.path(), 48 << 20, 512, cluster);
        fill(&Ntfs3g::mount(&image, "efs_raw").folder);
        let oracle = Ntfs3g::mount(&image, "ro,efs_raw");
        let expected = theirs(&oracle.folder);
        assert_eq!(expected.len(), SIZES.len() + 1);
        let (raw_volume, volume) = (open(&image, true), open(&image, false));
        for (name, expected) in &expected {
            let node = find(&raw_volume, name);
            assert!(read(&raw_volume, node).unwrap() == *expected, "{name}");
            let size = SIZES.iter().find(|size| format!("file {size}") == *name);
            let refused = volume.open(node);
            match size {
                Some(size) => {
                    assert!(matches!(refused, Err(Error::Denied(_))), "{name}");
                    assert_eq!(volume.stat(node).unwrap().size, *size as u64);
                    assert_eq!(*expected, raw(*size, *size as u64), "{name}: as it was restored");
                }
                None => assert!(refused.is_ok(), "{name}"),
            }
            for volume in [&raw_volume, &volume] {
                let keys = xattr::get(oracle.folder.join(name), "system.ntfs_efsinfo").ok().flatten();
                assert_eq!(volume.xattrs().xattr(node, "system.ntfs_efsinfo").unwrap(), keys, "{name}");
            }
        }
        let node = find(&raw_volume, "file 5000");
        let streams = raw_volume.streams().list_streams(node).unwrap();
        let their_stream =
            xattr::get(oracle.folder.join("file 5000"), "user.secret stream").unwrap().unwrap();
        assert_eq!(streams[0].size, their_stream.len() as u64);
        let stream = raw_volume.streams().lookup_stream(node, Name(&streams[0].name.0)).unwrap().unwrap();
        assert_eq!(read(&raw_volume, stream).unwrap(), their_stream);
        assert!(matches!(volume.open(stream), Err(Error::Denied(_))));
    }
}

#[test]
fn the_option_is_one_of_mounts_and_commands() {
    if !have(&["mkntfs", "ntfs-3g", "getfattr"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    fill(&Ntfs3g::mount(&image, "efs_raw").folder);
    let expected = raw(5000, 5000);

    let cat = |options: &[&str]| {
        outcome(&vhdmount().arg("cat").args(options).arg(&image).arg("p1/file 5000").output().unwrap())
    };
    let (code, _, error) = cat(&[]);
    assert_eq!(code, Some(4));
    assert!(error.contains("EFS"), "{error}");
    let shown = run(vhdmount().args(["cat", "--efs-raw"]).arg(&image).arg("p1/file 5000"));
    assert_eq!(shown.stdout, expected);

    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    run(vhdmount().args(["-o", "efs_raw"]).arg(&image).arg(&at));
    let content = fs::read(at.join("p1/file 5000"));
    let stream = run(tool("getfattr")
        .args(["--only-values", "-n", "user.secret stream"])
        .arg(at.join("p1/file 5000")));
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(content.unwrap(), expected);
    assert_eq!(stream.stdout, raw(700, 7));

    run(vhdmount().arg(&image).arg(&at));
    let refused = fs::read(at.join("p1/file 5000")).map_err(|error| error.kind());
    run(vhdmount().arg("-u").arg(&at));
    assert_eq!(refused, Err(std::io::ErrorKind::PermissionDenied));
}
