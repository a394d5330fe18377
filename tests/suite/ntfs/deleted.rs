//! Files deleted through ntfs-3g, found again: names and numbers as The Sleuth Kit has them, content as `icat` reads it,
//! what is left of it as ntfsundelete counts it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::Arc,
};

use vhdmount::{
    Error,
    bytes::{ByteSource, FileSource, read_vec},
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Streams, Xattrs,
        deleted::{DIRECTORY, Verdict, View},
        ntfs,
    },
};

use super::{Ntfs3g, make, noise};
use crate::support::{conformance, have, have_fuse, run, scratch, sha256, sha256_source, tool};

const CLUSTER: u32 = 4096;
const TOOLS: [&str; 6] = ["mkntfs", "ntfs-3g", "fls", "icat", "istat", "ntfsundelete"];

/// What is deleted later, in folders that are not.
fn fill(root: &Path, with_fragmented: bool) {
    let write = |name: &str, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    // First, as they are what is overwritten first.
    for i in 0..3 {
        write(&format!("victim {i}"), &noise(400_000, 20 + i));
    }
    write("stays/resident", b"in its record");
    write("stays/some file.bin", &noise(100_001, 1));
    write("goes/deeper/Grüße 😀.txt", b"unicode");
    write("goes/deeper/clusters.bin", &noise(50_000, 2));
    write("empty", b"");
    // In three folders: one with an attribute list loses its name when ntfs-3g deletes it.
    for i in 0..60 {
        write(&format!("many{}/{i}", i % 3), &noise(i * 197, 10 + i as u64));
    }
    let streams = write("streams", b"unnamed");
    xattr::set(&streams, "user.small", b"a stream").unwrap();
    xattr::set(&streams, "user.large", &noise(60_000, 4)).unwrap();
    let sparse = write("sparse", &noise(10_000, 5));
    fs::File::options().write(true).open(sparse).unwrap().set_len(300_000).unwrap();
    if with_fragmented {
        // Every other cluster: an attribute list, extents in other records.
        let fragmented = fs::File::create(root.join("fragmented.bin")).unwrap();
        let data = noise(CLUSTER as usize, 3);
        (0..800).for_each(|i| fragmented.write_all_at(&data, i * 2 * u64::from(CLUSTER)).unwrap());
    }
    let folder = root.join("compressed");
    fs::create_dir(&folder).unwrap();
    xattr::set(&folder, "system.ntfs_attrib", &0x810_u32.to_ne_bytes()).unwrap();
    let text: Vec<u8> =
        (0..40_000).flat_map(|i| format!("line {} of text\n", i % 1000).into_bytes()).collect();
    write("compressed/text", &text);
}

fn delete(root: &Path) {
    for folder in ["goes", "many0", "many1", "many2", "compressed"] {
        fs::remove_dir_all(root.join(folder)).unwrap();
    }
    let files = ["stays/resident", "stays/some file.bin", "empty", "streams", "sparse", "fragmented.bin"];
    for file in files.iter().copied().chain(["victim 0", "victim 1", "victim 2"]) {
        fs::remove_file(root.join(file)).unwrap();
    }
}

/// Number and path, streams as `path:stream`.
type Names = BTreeSet<(u64, String)>;

fn fls(image: &Path) -> Names {
    let output = run(tool("fls").arg("-rdp").arg(image));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| {
        let (head, path) = line.split_once(":\t").unwrap();
        let number = head.split("* ").nth(1).unwrap();
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        (number[..digits].parse().unwrap(), path.to_owned())
    });
    // Records that are reserved for Windows, and never held a file.
    rows.filter(|(_, path)| !path.starts_with("$OrphanFiles/OrphanFile-")).collect()
}

fn open(image: &Path) -> Arc<ntfs::Ntfs> {
    Arc::new(ntfs::open(Arc::new(FileSource::open(image).unwrap())).unwrap())
}

/// Everything in `.deleted/`: number, node, kind.
fn listed(view: &View) -> Vec<(u64, NodeId, NodeKind)> {
    let mut found = Vec::new();
    view.read_dir(DIRECTORY, DirCursor(0), &mut |entry| {
        let text = entry.name.to_string();
        let number = text.split('-').next().unwrap().parse().unwrap();
        found.push((number, entry.node, entry.kind));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn names(view: &View) -> Names {
    let mut names = Names::new();
    for (number, node, _) in listed(view) {
        let Some(path) = view.xattrs().xattr(node, "user.vhdmount.path").unwrap() else { continue };
        let path = String::from_utf8(path).unwrap();
        for stream in view.streams().list_streams(node).unwrap() {
            names.insert((number, format!("{path}:{}", stream.name)));
        }
        names.insert((number, path));
    }
    names
}

fn icat(image: &Path, what: &str) -> Vec<u8> {
    run(tool("icat").arg(image).arg(what)).stdout
}

/// Inode → percentage, of files with clusters.
fn ntfsundelete(image: &Path) -> BTreeMap<u64, u64> {
    let mut command: Command = tool("ntfsundelete");
    let output = command.arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (inode, flags, percent) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        flags.contains('N').then_some((inode, percent.strip_suffix('%')?.parse().ok()?))
    });
    rows.collect()
}

#[test]
fn deleted_files_are_those_of_the_sleuth_kit() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 64 << 20, 512, CLUSTER);
    fill(&Ntfs3g::mount(&image, "rw,compression").folder, true);
    delete(&Ntfs3g::mount(&image, "rw,compression").folder);
    let before = sha256(&fs::read(&image).unwrap());

    let volume = open(&image);
    let view = View::new(volume.clone());
    let ours = names(&view);
    assert!(ours.len() > 75, "{}", ours.len());
    assert_eq!(ours, fls(&image));

    let (mut equal, mut nameless) = (0, Vec::new());
    for (number, node, _) in listed(&view).into_iter().filter(|(.., kind)| *kind == NodeKind::File) {
        if !ours.iter().any(|(named, _)| *named == number) {
            nameless.push(node);
            continue;
        }
        assert_eq!(view.xattrs().xattr(node, "user.vhdmount.state").unwrap().unwrap(), b"full", "{number}");
        let hash = sha256_source(&*view.open(node).unwrap()).unwrap();
        assert_eq!(hash, sha256(&icat(&image, &format!("{number}-128"))), "{number}");
        equal += 1;
    }
    assert!(equal > 65, "{equal}");
    // The file with extension records: ntfs-3g takes away its name, and the record with its last extent.
    let [fragmented] = nameless[..] else { panic!("{nameless:?}") };
    let state = view.xattrs().xattr(fragmented, "user.vhdmount.state").unwrap().unwrap();
    assert!(state.starts_with(b"partial "), "{}", String::from_utf8_lossy(&state));
    let content = view.open(fragmented).unwrap();
    assert_eq!(content.size(), 1599 * u64::from(CLUSTER));
    let cluster = noise(CLUSTER as usize, 3);
    for i in [0, 100, 400] {
        assert_eq!(read_vec(&*content, i * 2 * u64::from(CLUSTER), cluster.len()).unwrap(), cluster, "{i}");
    }
    assert!(content.read_exact_at(1598 * u64::from(CLUSTER), &mut [0; 100]).is_err());
    let find = |name: &str| {
        let number = ours.iter().find(|(_, path)| path == name).unwrap().0;
        view.lookup(DIRECTORY, NameBuf::literal(&number.to_string()).as_name()).unwrap().unwrap()
    };
    let content = |node| {
        let content = view.open(node).unwrap();
        read_vec(&*content, 0, usize::try_from(content.size()).unwrap()).unwrap()
    };
    assert_eq!(content(find("goes/deeper/clusters.bin")), noise(50_000, 2));
    let streams = find("streams");
    let large = view.streams().lookup_stream(streams, NameBuf::literal("large").as_name()).unwrap().unwrap();
    assert_eq!(content(large), noise(60_000, 4));
    assert!(content(find("compressed/text")).starts_with(b"line 0 of text\nline 1 of"));
    // A descriptor is looked up among the volume's, which are in use.
    assert!(view.xattrs().xattr(streams, "system.ntfs_acl").unwrap().is_some());
    assert_eq!(view.stat(find("goes/deeper")).unwrap().kind, NodeKind::Directory);
    // The volume itself knows nothing of them.
    assert!(volume.stat(NodeId(listed(&view)[0].0)).is_err());
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
}

#[test]
fn what_others_have_overwritten_is_never_read() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 24 << 20, 512, CLUSTER);
    fill(&Ntfs3g::mount(&image, "rw,compression").folder, true);
    delete(&Ntfs3g::mount(&image, "rw,compression").folder);
    fs::write(Ntfs3g::mount(&image, "rw").folder.join("new"), noise(600_000, 99)).unwrap();

    let view = View::new(open(&image));
    let theirs = ntfsundelete(&image);
    let (mut partial, mut overwritten, mut full, mut compared) = (0, 0, 0, 0);
    for (number, node, _) in listed(&view).into_iter().filter(|(.., kind)| *kind == NodeKind::File) {
        let state = view.xattrs().xattr(node, "user.vhdmount.state").unwrap().unwrap();
        let state = String::from_utf8(state).unwrap();
        let percent = match &state[..] {
            "full" => 100,
            "overwritten" => 0,
            other => {
                other.strip_prefix("partial ").and_then(|p| p.strip_suffix('%')).unwrap().parse().unwrap()
            }
        };
        let path = view.xattrs().xattr(node, "user.vhdmount.path").unwrap();
        let path = path.map(|path| String::from_utf8(path).unwrap()).unwrap_or_default();
        // ntfsundelete counts neither the extents in other records nor holes as we do.
        if let Some(theirs) = theirs.get(&number)
            && !["", "sparse", "compressed/text"].contains(&&path[..])
        {
            assert_eq!(percent, *theirs, "{number} {path}");
            compared += 1;
        }
        match view.open(node) {
            Err(Error::Corrupt(_)) if percent == 0 => overwritten += 1,
            Err(error) => panic!("{path}: {error}"),
            Ok(content) if percent == 100 => {
                assert_eq!(
                    sha256_source(&*content).unwrap(),
                    sha256(&icat(&image, &format!("{number}-128")))
                );
                full += 1;
            }
            Ok(content) if path.starts_with("victim") => {
                partial += 1;
                check_clusters(&*content, &icat(&image, &number.to_string()), percent);
            }
            Ok(_) => {}
        }
    }
    assert!(partial >= 1 && full > 30 && compared > 20, "{partial} {overwritten} {full} {compared}");
}

/// Each cluster is either what `icat` reads there, or an error; those that are read make up `percent`.
fn check_clusters(content: &dyn ByteSource, expected: &[u8], percent: u64) {
    assert_eq!(content.size(), expected.len() as u64);
    let (mut read, mut all) = (0, 0);
    for (chunk, offset) in expected.chunks(CLUSTER as usize).zip((0..).step_by(CLUSTER as usize)) {
        let mut buf = vec![0; chunk.len()];
        match content.read_exact_at(offset, &mut buf) {
            Ok(()) => {
                assert!(buf == chunk, "at {offset}");
                read += 1;
            }
            Err(Error::Corrupt(_)) => {}
            Err(error) => panic!("at {offset}: {error}"),
        }
        all += 1;
    }
    assert_eq!(read * 100 / all, percent);
    assert!(content.read_exact_at(0, &mut vec![0; expected.len()]).is_err());
}

#[test]
fn a_parent_whose_record_was_given_away_is_not_reported() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 24 << 20, 512, CLUSTER);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        fs::create_dir(mounted.folder.join("first")).unwrap();
        fs::write(mounted.folder.join("first/orphan"), b"alone").unwrap();
        fs::remove_dir_all(mounted.folder.join("first")).unwrap();
    }
    // Takes the first free record, which was the directory's.
    fs::create_dir(Ntfs3g::mount(&image, "rw").folder.join("second")).unwrap();
    let view = View::new(open(&image));
    let [(_, node, _)] = listed(&view)[..] else { panic!("{:?}", listed(&view)) };
    assert_eq!(view.xattrs().xattr(node, "user.vhdmount.path").unwrap(), None);
    assert_eq!(view.xattrs().xattr_names(node).unwrap(), ["user.vhdmount.state"]);
    let content = view.open(node).unwrap();
    assert_eq!(read_vec(&*content, 0, 5).unwrap(), b"alone");
    assert!(fls(&image).iter().all(|(_, path)| path.starts_with("$OrphanFiles/")));
    assert_eq!(vhdmount::fs::deleted::State::default().verdict(), Verdict::Full);
}

#[test]
fn what_is_whole_conforms() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 48 << 20, 512, CLUSTER);
    {
        let mounted = Ntfs3g::mount(&image, "rw,compression");
        fill(&mounted.folder, false);
        fs::write(mounted.folder.join("fragmented.bin"), b"").unwrap();
        fs::create_dir(mounted.folder.join("folder")).unwrap();
        xattr::set(mounted.folder.join("folder"), "user.stream", b"of a folder").unwrap();
    }
    {
        let mounted = Ntfs3g::mount(&image, "rw,compression");
        delete(&mounted.folder);
        fs::remove_dir(mounted.folder.join("folder")).unwrap();
    }
    let view = View::new(open(&image));
    for (number, node, _) in listed(&view) {
        assert_eq!(view.xattrs().xattr(node, "user.vhdmount.state").unwrap().unwrap(), b"full", "{number}");
    }
    let checked = conformance::check(&view);
    assert!(checked.files > 65 && checked.streams == 3 && checked.refused == 0, "{checked:?}");
}

/// Byte of the volume at which a record begins, where the table is in one piece.
fn record(image: &[u8], number: usize) -> usize {
    let cluster = u64::from_le_bytes(image[48..56].try_into().unwrap());
    usize::try_from(cluster).unwrap() * CLUSTER as usize + number * 1024
}

#[test]
fn deleted_directories_in_a_circle_are_no_path() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 24 << 20, 512, CLUSTER);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        fs::create_dir_all(mounted.folder.join("outer/inner")).unwrap();
        fs::write(mounted.folder.join("outer/inner/file"), b"in a circle").unwrap();
        fs::remove_dir_all(mounted.folder.join("outer")).unwrap();
    }
    let view = View::new(open(&image));
    let found = listed(&view);
    let [(outer, ..), (inner, ..), (_, file, _)] = found[..] else { panic!("{found:?}") };
    assert_eq!(view.xattrs().xattr(file, "user.vhdmount.path").unwrap().unwrap(), b"outer/inner/file");

    let mut bytes = fs::read(&image).unwrap();
    let (outer, inner) = (usize::try_from(outer).unwrap(), usize::try_from(inner).unwrap());
    let at = record(&bytes, outer);
    let name: Vec<u8> = "outer".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let name = bytes[at..at + 1024].windows(name.len()).position(|window| window == name).unwrap();
    // The parent is the first field of the value, the name comes 66 bytes behind; the sequence number is not checked at 0.
    bytes[at + name - 66..at + name - 58].copy_from_slice(&(inner as u64).to_le_bytes());
    fs::write(&image, &bytes).unwrap();
    let view = View::new(open(&image));
    assert_eq!(listed(&view), found);
    assert_eq!(view.xattrs().xattr(file, "user.vhdmount.path").unwrap(), None);

    // A record that fails its fixup is passed over, the others are not.
    let at = record(&bytes, inner) + 510;
    bytes[at] ^= 0xff;
    fs::write(&image, &bytes).unwrap();
    let view = View::new(open(&image));
    assert_eq!(listed(&view), [found[0], found[2]]);
    assert!(view.stat(found[1].1).is_err());
    assert_eq!(read_vec(&*view.open(file).unwrap(), 0, 11).unwrap(), b"in a circle");
}
