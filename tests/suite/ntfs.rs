//! NTFS volumes made by mkntfs and filled through ntfs-3g, compared with what ntfs-3g reads from them; then the same
//! volumes damaged in known places.
#![expect(clippy::unwrap_used, reason = "a test ends where its own means fail")]

mod check;
mod copy;
mod damage;
mod dedup;
mod deleted;
mod efs;
mod links;
pub(crate) mod metadata;
mod native_boot;
mod oracle;
mod orphans;
mod special;
mod state;
mod system;
mod wimboot;
mod wof;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    ops::ControlFlow,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use vhdmount::{
    bytes::FileSource,
    fs::{DirCursor, FileSystem, LinkTarget, Name, NameBuf, NodeId, NodeKind, Streams, ntfs},
};

use crate::support::{have, have_fuse, run, scratch, sha256, sha256_source, tool};

/// A volume mounted by ntfs-3g; unmounted, and everything written, when dropped.
pub(crate) struct Ntfs3g {
    pub(crate) folder: PathBuf,
    server: Child,
}

impl Ntfs3g {
    pub(crate) fn mount(image: &Path, options: &str) -> Self {
        let folder = image.with_extension("mnt");
        fs::create_dir_all(&folder).unwrap();
        let outside = fs::metadata(&folder).unwrap().dev();
        // In the foreground: only the end of the process says that everything is in the image.
        let mut command = tool("ntfs-3g");
        command.arg("-o").arg(format!("no_detach,{options}")).arg(image).arg(&folder);
        let server = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut mounted = Self { folder, server };
        let start = Instant::now();
        while fs::metadata(&mounted.folder).is_ok_and(|folder| folder.dev() == outside) {
            assert!(mounted.server.try_wait().unwrap().is_none(), "{command:?} ended");
            assert!(start.elapsed() < Duration::from_secs(60), "{command:?} does not mount");
            std::thread::sleep(Duration::from_millis(5));
        }
        mounted
    }
}

impl Drop for Ntfs3g {
    fn drop(&mut self) {
        // Busy for a moment where another test's process has just been forked: it has our files until it is executed.
        for _ in 0..100 {
            let unmounted = tool("umount").arg(&self.folder).status().is_ok_and(|status| status.success());
            if unmounted
                || tool("fusermount3")
                    .arg("-u")
                    .arg(&self.folder)
                    .status()
                    .is_ok_and(|status| status.success())
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.server.wait();
    }
}

/// Reproducible bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn make(folder: &Path, size: u64, sector: u32, cluster: u32) -> PathBuf {
    let image = folder.join(format!("s{sector}-c{cluster}.img"));
    fs::File::create(&image).unwrap().set_len(size).unwrap();
    let mut mkntfs = tool("mkntfs");
    mkntfs.args(["-Q", "-F", "-q", "-L", "Etikett ü", "-s", &sector.to_string(), "-c", &cluster.to_string()]);
    run(mkntfs.arg(&image));
    image
}

/// Everything that a volume can hold, as far as ntfs-3g can write it.
fn fill(root: &Path, cluster: u32) {
    let write = |name: &str, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    write("empty", b"");
    write("resident.txt", b"in its record");
    let plain = write("plain.bin", &noise(300_001, 1));
    fs::hard_link(&plain, root.join("second name.bin")).unwrap();
    write("Grüße 入乡 😀.txt", b"unicode");
    write("case/name", b"lower");
    write("case/NAME", b"upper");
    write("case/Only One", b"mixed");
    symlink("../plain.bin", root.join("case/link")).unwrap();
    write(&format!("{}leaf", "deep/".repeat(60)), b"deep");
    write(&format!("{}.long", "n".repeat(250)), b"longest");
    for i in 0..3000 {
        write(&format!("many/entry number {i:05} {}", "x".repeat(i % 40)), b"");
    }

    let sparse = fs::File::create(root.join("sparse.bin")).unwrap();
    sparse.write_all_at(&noise(10_000, 2), 0).unwrap();
    sparse.write_all_at(b"end", 5_000_000).unwrap();
    sparse.set_len(6_000_000).unwrap();

    // Every other cluster: more runs than a record holds, so that the file gets an attribute list.
    if cluster <= 8192 {
        let fragmented = fs::File::create(root.join("fragmented.bin")).unwrap();
        let data = noise(cluster as usize, 3);
        (0..1500).for_each(|i| fragmented.write_all_at(&data, i * 2 * u64::from(cluster)).unwrap());
    }

    let host = write("streams", b"unnamed");
    xattr::set(&host, "user.small", b"a stream").unwrap();
    xattr::set(&host, "user.Large Ü", &noise(60_000, 4)).unwrap();
    let folder = root.join("folder with stream");
    fs::create_dir(&folder).unwrap();
    xattr::set(&folder, "user.on-folder", b"directories have them too").unwrap();

    if cluster <= 4096 {
        let folder = root.join("compressed");
        fs::create_dir(&folder).unwrap();
        // FILE_ATTRIBUTE_COMPRESSED: what is made in the folder from now on is.
        xattr::set(&folder, "system.ntfs_attrib", &0x810_u32.to_ne_bytes()).unwrap();
        let text: Vec<u8> =
            (0..40_000).flat_map(|i| format!("line {} of text\n", i % 1000).into_bytes()).collect();
        write("compressed/text", &text);
        write("compressed/noise", &noise(200_000, 5));
        write("compressed/mixed", &[&text[..100_000], &noise(100_000, 6), &[0; 150_000], b"tail"].concat());
        write("compressed/tiny", b"in the record");
    }

    // Old bytes in the clusters that the preallocated file gets.
    let stale = write("stale", &vec![0xaa; 8 << 20]);
    write("preallocated.bin", &noise(100_000, 7));
    fs::File::open(&stale).unwrap().sync_all().unwrap();
    fs::remove_file(stale).unwrap();
}

/// Checks a directory against the same one in ntfs-3g's mount, recursively. Returns how many files were compared.
fn compare(fs: &dyn FileSystem, node: NodeId, folder: &Path) -> usize {
    let mut entries = BTreeMap::new();
    fs.read_dir(node, DirCursor(0), &mut |entry| {
        let old = entries.insert(entry.name.to_text(), (entry.name.to_owned(), entry.node, entry.kind));
        assert!(old.is_none(), "{folder:?} lists {} twice", entry.name);
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected: Vec<Vec<u8>> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
    assert_eq!(entries.len(), expected.len(), "{folder:?}");
    let mut compared = 0;
    for text in expected {
        let path = folder.join(Path::new(std::ffi::OsStr::from_bytes(&text)));
        let (name, child, listed) = entries.get(&text).unwrap_or_else(|| panic!("{path:?} is not listed"));
        assert_eq!(fs.lookup(node, name.as_name()).unwrap(), Some(*child), "{path:?}");
        let (stat, expected) = (fs.stat(*child).unwrap(), fs::symlink_metadata(&path).unwrap());
        assert_eq!(stat.kind, *listed, "{path:?}");
        assert_eq!(stat.times.modified.seconds, expected.mtime(), "{path:?}");
        assert_eq!(i64::from(stat.times.modified.nanos), expected.mtime_nsec(), "{path:?}");
        compare_streams(fs, *child, &path);
        match stat.kind {
            NodeKind::Directory => {
                assert!(expected.is_dir(), "{path:?}");
                assert_eq!(fs.parent(*child).unwrap(), node);
                compared += compare(fs, *child, &path);
            }
            NodeKind::File => {
                assert!(expected.is_file(), "{path:?}");
                assert_eq!(
                    (stat.size, u64::from(stat.links)),
                    (expected.len(), expected.nlink()),
                    "{path:?}"
                );
                let content = fs.open(*child).unwrap();
                let hash = sha256_source(&*content).unwrap();
                assert_eq!(hash, sha256(&fs::read(&path).unwrap()), "{path:?}");
                compared += 1;
            }
            NodeKind::Symlink => {
                let target = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
                assert_eq!(fs.read_link(*child).unwrap(), LinkTarget::Posix(target), "{path:?}");
                compared += 1;
            }
            kind => panic!("{path:?}: {kind:?}"),
        }
    }
    compared
}

fn compare_streams(fs: &dyn FileSystem, node: NodeId, path: &Path) {
    let expected: BTreeMap<_, _> = xattr::list(path)
        .unwrap()
        .filter_map(|name| {
            let stream = name.to_str()?.strip_prefix("user.")?.to_owned();
            Some((stream, xattr::get(path, &name).unwrap().unwrap()))
        })
        .collect();
    let streams = fs.streams().list_streams(node).unwrap();
    assert_eq!(streams.len(), expected.len(), "{path:?}");
    for stream in streams {
        let content = &expected[&stream.name.to_string()];
        assert_eq!(stream.size, content.len() as u64, "{path:?}:{}", stream.name);
        let id = fs.streams().lookup_stream(node, stream.name.as_name()).unwrap().unwrap();
        assert_eq!(fs.stat(id).unwrap().size, stream.size);
        assert_eq!(
            sha256_source(&*fs.open(id).unwrap()).unwrap(),
            sha256(content),
            "{path:?}:{}",
            stream.name
        );
    }
}

fn open(image: &Path) -> ntfs::Ntfs {
    ntfs::open(Arc::new(FileSource::open(image).unwrap())).unwrap()
}

fn check_geometry(size: u64, sector: u32, cluster: u32) {
    if !have(&["mkntfs", "ntfs-3g", "ntfsfallocate"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), size, sector, cluster);
    fill(&Ntfs3g::mount(&image, "compression").folder, cluster);
    // With larger clusters ntfsfallocate crashes.
    if cluster <= 65536 {
        run(tool("ntfsfallocate").args(["-l", "700000"]).arg(&image).arg("preallocated.bin"));
    }
    let oracle = Ntfs3g::mount(&image, "ro");
    let volume = open(&image);
    let compared = compare(&volume, volume.root(), &oracle.folder);
    assert!(compared > 3000, "{compared}");
    let info = volume.volume();
    assert_eq!((info.label.as_str(), info.cluster_size), ("Etikett ü", u64::from(cluster)));
    assert_eq!((info.version.as_str(), info.dirty, info.hibernated), ("3.1", false, false));
    assert!(info.problems.is_empty(), "{:?}", info.problems);
    check_usage(&volume, &oracle.folder);
    check_names(&volume);
    drop(oracle);
    check::is_clean(&image);
}

fn check_usage(volume: &ntfs::Ntfs, folder: &Path) {
    let (usage, oracle) = (volume.space().usage().unwrap(), rustix::fs::statvfs(folder).unwrap());
    assert_eq!(usage.free, oracle.f_bfree * oracle.f_frsize);
    let mut free = 0;
    volume
        .space()
        .free_ranges(&mut |range| {
            free += range.end - range.start;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(free, usage.free);
}

/// Names that differ only in case are distinguished; others are found in any case.
fn check_names(volume: &ntfs::Ntfs) {
    let lookup = |dir, name: &str| volume.lookup(dir, NameBuf::literal(name).as_name()).unwrap();
    let case = lookup(volume.root(), "CASE").unwrap();
    let read = |name| {
        let content = volume.open(lookup(case, name).unwrap()).unwrap();
        let mut bytes = vec![0; usize::try_from(content.size()).unwrap()];
        content.read_exact_at(0, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(
        (read("name"), read("NAME"), read("oNLY oNE")),
        ("lower".into(), "upper".into(), "mixed".into())
    );
    assert!(lookup(case, "Name").is_some());
    assert!(lookup(volume.root(), "GRÜSSE 入乡 😀.TXT").is_none());
    assert!(lookup(volume.root(), "GRüßE 入乡 😀.TXT").is_some());
    assert_eq!(lookup(volume.root(), "$MFT"), Some(NodeId(0)));
    assert_eq!(lookup(volume.root(), "no such name"), None);
    let many = lookup(volume.root(), "MANY").unwrap();
    assert!(lookup(many, "ENTRY NUMBER 00000 ").is_some());
    assert_eq!(lookup(many, "entry number 00000"), None);
}

#[test]
fn clusters_of_512_bytes() {
    check_geometry(64 << 20, 512, 512);
}

#[test]
fn clusters_of_1_kib_with_sectors_of_1_kib() {
    check_geometry(64 << 20, 1024, 1024);
}

#[test]
fn clusters_of_4_kib() {
    check_geometry(64 << 20, 512, 4096);
}

#[test]
fn clusters_of_4_kib_with_sectors_of_4_kib() {
    check_geometry(64 << 20, 4096, 4096);
}

#[test]
fn clusters_of_8_kib_hold_two_index_blocks() {
    check_geometry(128 << 20, 512, 8192);
}

#[test]
fn clusters_of_64_kib_with_sectors_of_4_kib() {
    check_geometry(256 << 20, 4096, 65536);
}

#[test]
fn clusters_of_2_mib() {
    check_geometry(1 << 30, 512, 2 << 20);
}

#[test]
fn listing_resumes_at_every_cursor() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        (0..500).for_each(|i| {
            fs::File::create(mounted.folder.join(format!("file {i}"))).unwrap().write_all(b"x").unwrap();
        });
    }
    let volume = open(&image);
    let list = |from| {
        let mut names = Vec::new();
        let keep = &mut |entry: vhdmount::fs::DirEntry<'_>| {
            names.push((entry.name.to_owned(), entry.next));
            ControlFlow::Continue(())
        };
        volume.read_dir(volume.root(), from, keep).unwrap();
        names
    };
    let all = list(DirCursor(0));
    assert_eq!(all.len(), 500);
    for (i, (_, next)) in all.iter().enumerate() {
        assert_eq!(list(*next), all[i + 1..]);
    }
    // A cursor that no listing gave leads nowhere bad.
    for cursor in [1, 17, u64::MAX, u64::MAX << 17, 1 << 17, 1 << 60] {
        assert!(list(DirCursor(cursor)).len() <= 500);
    }
    assert!(volume.lookup(volume.root(), Name(&[])).unwrap().is_none());
}
