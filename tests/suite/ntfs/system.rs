//! The metadata files, read byte for byte as ntfs-3g (`show_sys_files`) and `icat` read them.

use std::{collections::BTreeSet, fs, ops::ControlFlow, os::unix::fs::FileExt, path::Path, sync::Arc};

use vhdmount::{
    bytes::{ByteSource, ExtentKind, FileSource},
    fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Options, Streams, ntfs},
};

use super::{Ntfs3g, make, noise};
use crate::support::{conformance, have, have_fuse, run, scratch, sha256, sha256_source, tool};

fn list(volume: &ntfs::Ntfs, dir: NodeId) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    volume
        .read_dir(dir, DirCursor(0), &mut |entry| {
            names.insert(entry.name.to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    names
}

fn find(volume: &ntfs::Ntfs, path: &str) -> NodeId {
    path.split('/').fold(volume.root(), |dir, name| {
        let found = volume.lookup(dir, NameBuf::literal(name).as_name()).unwrap();
        found.unwrap_or_else(|| panic!("{path}: no {name}"))
    })
}

fn stream(volume: &ntfs::Ntfs, path: &str, name: &str) -> Arc<dyn ByteSource> {
    let found = volume.streams().lookup_stream(find(volume, path), NameBuf::literal(name).as_name()).unwrap();
    volume.open(found.unwrap_or_else(|| panic!("{path}:{name}"))).unwrap()
}

/// All regular files of ntfs-3g's mount that begin with `$`, and those in `$Extend`.
fn compare(volume: &ntfs::Ntfs, folder: &Path, path: &str) -> usize {
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let inside = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if !inside.starts_with('$') {
            continue;
        }
        let node = find(volume, &inside);
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_eq!(volume.stat(node).unwrap().kind, NodeKind::Directory, "{inside}");
            compared += compare(volume, &entry.path(), &inside);
            continue;
        }
        let content = volume.open(node).unwrap();
        assert_eq!(volume.stat(node).unwrap().size, content.size(), "{inside}");
        // What has only indexes is empty, and cannot be opened there.
        let theirs = match fs::read(entry.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            theirs => theirs.unwrap_or_else(|e| panic!("{inside}: {e}")),
        };
        assert_eq!(content.size(), theirs.len() as u64, "{inside}");
        assert_eq!(sha256_source(&*content).unwrap(), sha256(&theirs), "{inside}");
        compared += 1;
    }
    compared
}

#[test]
fn metadata_files_are_listed_on_demand_and_read_like_files() {
    if !have(&["mkntfs", "ntfs-3g", "icat"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 1024);
    fs::write(Ntfs3g::mount(&image, "rw").folder.join("file"), b"content").unwrap();
    let source: Arc<dyn ByteSource> = Arc::new(FileSource::open(&image).unwrap());
    let hidden = ntfs::open(source.clone()).unwrap();
    assert_eq!(list(&hidden, hidden.root()), BTreeSet::from(["file".to_owned()]));
    // As with ntfs-3g, they are found by name nevertheless.
    assert!(hidden.stat(find(&hidden, "$MFT")).unwrap().size > 0);

    let mut options = Options::default();
    options.show_system = true;
    let volume = ntfs::open_with(source, &options).unwrap();
    let mounted = Ntfs3g::mount(&image, "ro,show_sys_files");
    let theirs = fs::read_dir(&mounted.folder).unwrap();
    let mut theirs: BTreeSet<_> =
        theirs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Its inode number there is 0, which the C library takes for no entry.
    theirs.insert("$MFT".into());
    assert_eq!(list(&volume, volume.root()), theirs);
    assert!(theirs.len() >= 12, "{theirs:?}");
    assert_eq!(compare(&volume, &mounted.folder, ""), 12);
    drop(mounted);

    let icat = |what: &str| sha256(&run(tool("icat").arg(&image).arg(what)).stdout);
    for (path, number) in [
        ("$MFT", "0-128"),
        ("$MFTMirr", "1-128"),
        ("$LogFile", "2-128"),
        ("$AttrDef", "4-128"),
        ("$Bitmap", "6-128"),
        ("$Boot", "7-128"),
        ("$UpCase", "10-128"),
    ] {
        let content = volume.open(find(&volume, path)).unwrap();
        assert_eq!(sha256_source(&*content).unwrap(), icat(number), "{path}");
    }
    // Type and id of a named attribute, as istat prints them.
    let id = |record: &str, name: &str| {
        let text = String::from_utf8(run(tool("istat").arg(&image).arg(record)).stdout).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Type: $DATA") && line.contains(name))
            .unwrap()
            .to_owned();
        line.split(['(', ')']).nth(1).unwrap().to_owned()
    };
    let sds = stream(&volume, "$Secure", "$SDS");
    assert_eq!(sha256_source(&*sds).unwrap(), icat(&format!("9-{}", id("9", "$SDS"))));
    let bad = stream(&volume, "$BadClus", "$Bad");
    assert_eq!(bad.size(), volume.volume().size / 1024 * 1024);
    assert_eq!(bad.extent_at(0).unwrap().kind, ExtentKind::Hole);
    assert_eq!(bad.extent_at(0).unwrap().len, bad.size(), "no cluster is bad");
    conformance::check(&volume);
}

#[test]
fn a_journal_of_terabytes_is_mostly_a_hole() {
    const START: u64 = 3 << 40;
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    {
        // As Windows keeps `$UsnJrnl:$J`: what is old is given back, what is new is at the end.
        let mounted = Ntfs3g::mount(&image, "rw,streams_interface=windows");
        fs::write(mounted.folder.join("journal"), b"").unwrap();
        let stream = fs::File::create(mounted.folder.join("journal:$J")).unwrap();
        stream.write_all_at(&noise(100_000, 1), START).unwrap();
    }
    let volume = ntfs::open(Arc::new(FileSource::open(&image).unwrap())).unwrap();
    let journal = stream(&volume, "journal", "$J");
    assert_eq!(journal.size(), START + 100_000);
    let extent = journal.extent_at(0).unwrap();
    assert_eq!((extent.kind, extent.len), (ExtentKind::Hole, START));
    assert_eq!(journal.extent_at(START).unwrap().kind, ExtentKind::Data);
    let mut end = vec![0; 100_000];
    journal.read_exact_at(START, &mut end).unwrap();
    assert_eq!(end, noise(100_000, 1));
    conformance::check_source(&*journal, "journal");
}
