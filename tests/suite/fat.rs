//! FAT volumes that mkfs.fat made and mtools filled, read by us and by mtools, 7-Zip and the crate `fatfs`.
#![allow(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod check;
mod deleted;
mod reach;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use vhdmount::{
    bytes::{ByteSource, FileSource},
    fs::{
        DirCursor, FileSystem, Name, NameBuf, NodeId, NodeKind,
        fat::{self, Fat},
    },
    identity::VolumeSerial,
};

use super::support::{have, run, scratch, sha256, sha256_source, tool};

/// Path → SHA-256; directories have none.
type Tree = BTreeMap<String, Option<String>>;

/// Lists everything, checks that names are found again, and hashes all files.
fn read_tree(fs: &dyn FileSystem) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![(fs.root(), String::new())];
    while let Some((dir, path)) = todo.pop() {
        let mut entries: Vec<(Vec<u16>, NodeId)> = Vec::new();
        let mut push = |entry: vhdmount::fs::DirEntry<'_>| {
            entries.push((entry.name.units().to_vec(), entry.node));
            ControlFlow::Continue(())
        };
        fs.read_dir(dir, DirCursor::default(), &mut push).unwrap_or_else(|e| panic!("{path}: {e}"));
        for (name, node) in entries {
            let name = Name(&name);
            assert_eq!(fs.lookup(dir, name).unwrap(), Some(node), "{path}{name}");
            let child = format!("{path}{name}");
            let stat = fs.stat(node).unwrap();
            if stat.kind == NodeKind::Directory {
                assert_eq!(fs.parent(node).unwrap(), dir, "{child}");
                todo.push((node, format!("{child}/")));
                tree.insert(child, None);
            } else {
                let file = fs.open(node).unwrap();
                assert_eq!(file.size(), stat.size);
                tree.insert(child, Some(sha256_source(&*file).unwrap()));
            }
        }
    }
    tree
}

fn host_tree(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![(folder.to_owned(), String::new())];
    while let Some((dir, path)) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let child = format!("{path}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                todo.push((entry.path(), format!("{child}/")));
                tree.insert(child, None);
            } else {
                tree.insert(child, Some(sha256(&std::fs::read(entry.path()).unwrap())));
            }
        }
    }
    tree
}

/// The crate knows no code page: the three letters that our short names have outside ASCII.
#[derive(Debug)]
struct Cp850;

impl fatfs::OemCpConverter for Cp850 {
    fn decode(&self, oem_char: u8) -> char {
        match oem_char {
            0x8e => 'Ä',
            0x99 => 'Ö',
            0x9a => 'Ü',
            ascii => ascii.into(),
        }
    }

    fn encode(&self, uni_char: char) -> Option<u8> {
        u8::try_from(u32::from(uni_char)).ok()
    }
}

fn fatfs_tree(image: &Path) -> Tree {
    use std::io::Read;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(image).unwrap();
    let fs = fatfs::FileSystem::new(file, fatfs::FsOptions::new().oem_cp_converter(&Cp850)).unwrap();
    let mut tree = Tree::new();
    let mut todo = vec![(fs.root_dir(), String::new())];
    while let Some((dir, path)) = todo.pop() {
        for entry in dir.iter().map(Result::unwrap).filter(|e| !matches!(e.file_name().as_str(), "." | ".."))
        {
            let child = format!("{path}{}", entry.file_name());
            if entry.is_dir() {
                todo.push((entry.to_dir(), format!("{child}/")));
                tree.insert(child, None);
            } else {
                let mut content = Vec::new();
                entry.to_file().read_to_end(&mut content).unwrap();
                tree.insert(child, Some(sha256(&content)));
            }
        }
    }
    tree
}

fn contents(tree: &Tree) -> Vec<&str> {
    let mut hashes: Vec<_> = tree.values().map(|hash| hash.as_deref().unwrap_or("directory")).collect();
    hashes.sort_unstable();
    hashes
}

fn open(image: &Path) -> Fat {
    let source: Arc<dyn ByteSource> = Arc::new(FileSource::open(image).unwrap());
    let mut boot = [0; 512];
    source.read_exact_at(0, &mut boot).unwrap();
    assert!(fat::detect(&boot), "{}", image.display());
    fat::open(source).unwrap_or_else(|e| panic!("{}: {e}", image.display()))
}

/// mtools on an image, in UTC and UTF-8.
fn mtools(name: &str, image: &Path) -> Command {
    let mut command = tool(name);
    command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(image);
    command
}

fn content(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(seed * 2 + 1) ^ i >> 9).to_le_bytes()[0]).collect()
}

/// Files of all kinds of sizes and names below `folder`, deletions in between, so that what comes last is fragmented.
fn fill(image: &Path, folder: &Path, cluster: usize) {
    let put = |path: &str, len: usize, seed: usize| {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content(len, seed)).unwrap();
        run(mtools("mcopy", image).args(["-m", "-Q"]).arg(&file).arg(format!("::/{path}")));
    };
    for i in 0..12 {
        put(&format!("filler {i}.dat"), cluster + i, i);
    }
    for i in (0..12).step_by(2) {
        run(mtools("mdel", image).arg(format!("::/filler {i}.dat")));
        std::fs::remove_file(folder.join(format!("filler {i}.dat"))).unwrap();
    }
    put("fragmented", cluster * 9 + 1, 99);
    for dir in ["SUB", "a directory with a long name", "a directory with a long name/deeper"] {
        std::fs::create_dir_all(folder.join(dir)).unwrap();
        run(mtools("mmd", image).arg(format!("::/{dir}")));
    }
    for (seed, name) in [
        "README.TXT",
        "lower.txt",
        "Mixed.Case.txt",
        "no extension",
        ".hidden",
        "a+b,c;d=[e]",
        "exactly13char",
    ]
    .iter()
    .chain(&[
        "Grüße aus Köln",
        "入乡随俗.txt",
        "SUB/☃.bin",
        "SUB/ÄÖÜ.TXT",
        "a directory with a long name/deeper/end",
    ])
    .enumerate()
    {
        put(name, [0, 1, cluster - 1, cluster, cluster + 1][seed % 5], seed);
    }
    put(&format!("{}.long", "x".repeat(200)), 77, 5);
}

/// What mtools copies out again.
fn mtools_tree(image: &Path, to: &Path) -> Tree {
    std::fs::create_dir(to).unwrap();
    run(mtools("mcopy", image).args(["-s", "-m", "-Q", "::/*"]).arg(to));
    host_tree(to)
}

fn bytes_free(image: &Path) -> u64 {
    let listing = run(&mut mtools("mdir", image));
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let line = listing.lines().find(|line| line.ends_with("bytes free")).expect("mdir says so");
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// mkfs.fat's options: width, sector size, sectors per cluster, KiB in all.
const SHAPES: [(&str, usize, usize, u64); 10] = [
    ("12", 512, 1, 1024),
    ("12", 512, 8, 4096),
    ("12", 2048, 4, 8192),
    ("16", 512, 1, 4096),
    ("16", 512, 64, 200 * 1024),
    ("16", 4096, 1, 40 * 1024),
    ("32", 512, 1, 40 * 1024),
    ("32", 512, 8, 300 * 1024),
    ("32", 1024, 2, 160 * 1024),
    ("32", 4096, 1, 300 * 1024),
];

fn format(image: &Path, (width, sector, per_cluster, kib): (&str, usize, usize, u64)) {
    std::fs::File::create(image).unwrap().set_len(kib * 1024).unwrap();
    let (sector, per_cluster) = (sector.to_string(), per_cluster.to_string());
    run(tool("mkfs.fat")
        .args(["-F", width, "-S", &sector, "-s", &per_cluster, "-n", "LABEL OF IT", "-i", "1234abcd"])
        .arg(image));
}

#[test]
fn volumes_of_every_shape_read_as_in_other_programs() {
    if !have(&["mkfs.fat", "mcopy", "mmd", "mdel", "mdir", "7z", "fsck.fat"]) {
        return;
    }
    for shape in SHAPES {
        let work = scratch();
        let at = |name: &str| -> PathBuf { work.path().join(name) };
        let (image, folder) = (at("image"), at("folder"));
        format(&image, shape);
        std::fs::create_dir(&folder).unwrap();
        fill(&image, &folder, shape.1 * shape.2);

        let fs = open(&image);
        let ours = read_tree(&fs);
        assert_eq!(ours, host_tree(&folder), "{shape:?}: what was put in");
        assert_eq!(ours, mtools_tree(&image, &at("mtools")), "{shape:?}: mtools");
        assert_eq!(ours, fatfs_tree(&image), "{shape:?}: fatfs");
        // 7-Zip knows 512-byte sectors only, and reads short names in the code page of its host.
        if shape.1 == 512 {
            run(tool("7z").arg("x").arg("-y").arg(format!("-o{}", at("7z").display())).arg(&image));
            assert_eq!(contents(&ours), contents(&host_tree(&at("7z"))), "{shape:?}: 7-Zip");
        }
        check::is_clean(&image);
        let info = fs.volume();
        assert_eq!(info.filesystem.name(), format!("fat{}", shape.0));
        assert_eq!((info.label.as_str(), info.serial), ("LABEL OF IT", Some(VolumeSerial::Fat(0x1234_abcd))));
        assert_eq!((info.dirty, info.problems), (false, vec![]));
        assert_eq!(fs.space().usage().unwrap().free, bytes_free(&image), "{shape:?}");
    }
}

#[test]
fn free_ranges_add_up_to_the_free_space() {
    if !have(&["mkfs.fat", "mcopy", "mmd", "mdel"]) {
        return;
    }
    for shape in [SHAPES[0], SHAPES[3], SHAPES[6]] {
        let work = scratch();
        let image = work.path().join("image");
        format(&image, shape);
        let folder = work.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        fill(&image, &folder, shape.1 * shape.2);
        let (fs, mut sum, mut end) = (open(&image), 0, 0);
        fs.space()
            .free_ranges(&mut |range| {
                assert!(range.start > end || end == 0, "{range:?} touches the range before");
                (sum, end) = (sum + range.end - range.start, range.end);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(sum, fs.space().usage().unwrap().free);
        assert!(end <= kib_bytes(shape.3));
    }
}

fn kib_bytes(kib: u64) -> u64 {
    kib * 1024
}

#[test]
fn names_are_found_in_any_case_and_by_their_short_alias() {
    if !have(&["mkfs.fat", "mcopy", "mmd", "mdel", "mdir"]) {
        return;
    }
    let work = scratch();
    let (image, folder) = (work.path().join("image"), work.path().join("folder"));
    format(&image, SHAPES[0]);
    std::fs::create_dir(&folder).unwrap();
    fill(&image, &folder, 512);
    let fs = open(&image);
    let find = |name: &str| fs.lookup(fs.root(), NameBuf::literal(name).as_name()).unwrap();
    assert!(find("Grüße aus Köln").is_some());
    assert_eq!(find("GRÜSSE AUS KÖLN"), None);
    assert_eq!(find("gRÜßE AUS KÖLN"), find("Grüße aus Köln"));
    assert_eq!(find("ADIREC~1"), find("a directory with a long name"));
    assert!(find("adirec~1").is_some());
    assert_eq!(find("nothing"), None);
    assert_eq!(find("readme.txt"), find("README.TXT"));
}

#[test]
fn times_are_those_of_the_files_that_were_copied_in() {
    if !have(&["mkfs.fat", "mcopy"]) {
        return;
    }
    let work = scratch();
    let (image, file) = (work.path().join("image"), work.path().join("old.txt"));
    format(&image, SHAPES[0]);
    std::fs::write(&file, "x").unwrap();
    for seconds in [315_532_800, 951_868_798, 1_709_210_096, 4_102_444_800] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        run(mtools("mcopy", &image).args(["-m", "-o"]).arg(&file).arg("::/old.txt"));
        let fs = open(&image);
        let node = fs.lookup(fs.root(), NameBuf::literal("old.txt").as_name()).unwrap().unwrap();
        assert_eq!(fs.stat(node).unwrap().times.modified.seconds, i64::try_from(seconds).unwrap());
    }
}

#[test]
fn first_table_may_be_lost() {
    if !have(&["mkfs.fat", "mcopy", "mmd", "mdel"]) {
        return;
    }
    for shape in [SHAPES[0], SHAPES[3], SHAPES[6]] {
        let work = scratch();
        let (image, folder) = (work.path().join("image"), work.path().join("folder"));
        format(&image, shape);
        std::fs::create_dir(&folder).unwrap();
        fill(&image, &folder, shape.1 * shape.2);
        let mut bytes = std::fs::read(&image).unwrap();
        let at = |offset: usize| usize::from(u16::from_le_bytes([bytes[offset], bytes[offset + 1]]));
        let fat = at(14) * 512..at(14) * 512 + if at(22) == 0 { at(36) } else { at(22) } * 512;
        bytes[fat].fill(0);
        std::fs::write(&image, bytes).unwrap();
        let fs = open(&image);
        assert_eq!(read_tree(&fs), host_tree(&folder), "{shape:?}");
        assert_eq!(fs.volume().problems.len(), 1);
    }
}
