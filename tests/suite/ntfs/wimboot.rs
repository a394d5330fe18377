//! Files that WIMBoot keeps in a WIM: WIMs made by wimlib, their content compared with what went in and with what
//! wimlib extracts. The reparse points are set through ntfs-3g. `WimOverlay.dat` is written here: wimlib writes it on
//! Windows only.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::{
    Error,
    fs::{FileSystem, Name, NodeId, NodeKind, probe::Probe},
    image::{Image, OpenOptions},
};

use super::{Ntfs3g, noise};
use crate::support::{have, have_fuse, run, scratch, sha256, sha256_source, tool};

const MIB: u64 = 1 << 20;
const SIGNATURE: u32 = 0xcafe_babe;
/// In GPT's own byte order.
const PARTITION: &str = "11223344-5566-7788-99AA-BBCCDDEEFF00";
const PARTITION_BYTES: [u8; 16] =
    [0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0];

/// Where a WIM is, for `WimOverlay.dat`.
enum Place {
    Mbr(u64),
    Gpt([u8; 16]),
}

/// `WimOverlay.dat`: WIMs by their numbers.
fn overlay(wims: &[(u64, Place, &str)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut locations = Vec::new();
    let count = u32::try_from(wims.len()).unwrap();
    file.extend([0x6643_6f57, 1, 40, count, 99, 0].into_iter().flat_map(u32::to_le_bytes));
    for (number, place, path) in wims {
        let (partition, table, disk) = match place {
            Place::Mbr(start) => {
                (u128::from(*start).to_le_bytes(), 1_u32, u128::from(SIGNATURE).to_le_bytes())
            }
            Place::Gpt(guid) => (*guid, 0, [0x77; 16]),
        };
        let path: Vec<u8> = path.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let length = u32::try_from(104 + path.len()).unwrap();
        file.extend(number.to_le_bytes());
        let offset = 24 + 40 * wims.len() + locations.len();
        file.extend([u32::try_from(offset).unwrap(), length, 0, 1].into_iter().flat_map(u32::to_le_bytes));
        file.extend([0x55; 16]);
        for field in [0, 0, length, 0, 5, 1, length - 20, 5, 6, 0, 0x48, 0_u32] {
            locations.extend(field.to_le_bytes());
        }
        locations.extend(partition);
        locations.extend([0; 4]);
        locations.extend(table.to_le_bytes());
        locations.extend(disk);
        locations.extend([0; 16]);
        locations.extend(path);
    }
    file.extend(locations);
    file
}

/// A reparse point of WOF for content in a WIM.
fn point(number: u64, sha1: &[u8; 20]) -> Vec<u8> {
    let mut data = Vec::new();
    data.extend([1, 1, 2, 0].into_iter().flat_map(u32::to_le_bytes));
    data.extend(number.to_le_bytes());
    data.extend(sha1);
    // The hash of the blob table, the blob's sizes and place: hints that are not needed.
    data.extend([0; 44]);
    let length = u16::try_from(data.len()).unwrap();
    [&0x8000_0017_u32.to_le_bytes()[..], &length.to_le_bytes(), &[0, 0], &data].concat()
}

fn sha1(path: &Path) -> [u8; 20] {
    let output = run(tool("sha1sum").arg(path)).stdout;
    let hex = str::from_utf8(&output[..40]).unwrap();
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

/// What is captured: name and content.
fn contents() -> BTreeMap<String, Vec<u8>> {
    let text: Vec<u8> =
        (0..60_000_u32).flat_map(|i| format!("line {} of text\n", i * i % 7919).into_bytes()).collect();
    let mixed = [&text[..100_000], &noise(100_000, 6), &[0; 150_000], &text[..50_001]].concat();
    BTreeMap::from([
        ("text".into(), text),
        ("noise".into(), noise(200_000, 5)),
        ("mixed".into(), mixed),
        ("one chunk".into(), b"abc".repeat(1365)),
        ("tiny".into(), b"a".to_vec()),
    ])
}

/// Captures `source` as `options` say.
fn capture(source: &Path, wim: &Path, options: &[&str]) {
    run(tool("wimlib-imagex").arg("capture").arg(source).arg(wim).args(options));
}

/// The kinds of WIMs that are read: number, options of wimlib.
const KINDS: [(u64, &[&str]); 7] = [
    (0, &["--wimboot"]),
    (1, &["--compress=XPRESS"]),
    (2, &["--compress=XPRESS", "--chunk-size=64K"]),
    (3, &["--compress=LZX"]),
    (4, &["--compress=none"]),
    (5, &["--compress=XPRESS", "--chunk-size=8K", "--check"]),
    (6, &["--compress=LZX:100", "--chunk-size=32K", "--boot"]),
];

/// An NTFS volume with a file for each content and WIM, and with what `more` puts there.
fn volume(folder: &Path, size: u64, source: &Path, overlay: Option<&[u8]>, more: impl Fn(&Path)) -> PathBuf {
    let image = super::make(folder, size, 512, 4096);
    let mounted = Ntfs3g::mount(&image, "streams_interface=xattr,efs_raw");
    let root = &mounted.folder;
    fs::create_dir(root.join("System Volume Information")).unwrap();
    if let Some(overlay) = overlay {
        fs::write(root.join("System Volume Information/WimOverlay.dat"), overlay).unwrap();
    }
    more(root);
    for (name, content) in contents() {
        let hash = sha1(&source.join(&name));
        for number in (0..7).chain([50, 51, 52, 53]) {
            let path = root.join(format!("{number} {name}"));
            fs::File::create(&path).unwrap().set_len(content.len() as u64).unwrap();
            set_point(&path, &point(number, &hash));
        }
    }
    let path = root.join("not in the WIM");
    fs::File::create(&path).unwrap().set_len(5).unwrap();
    set_point(&path, &point(0, &[9; 20]));
    let path = root.join("of another size");
    fs::File::create(&path).unwrap().set_len(5).unwrap();
    set_point(&path, &point(0, &sha1(&source.join("text"))));
    drop(mounted);
    image
}

fn set_point(path: &Path, point: &[u8]) {
    xattr::set(path, "system.ntfs_reparse_data", point).unwrap();
}

/// Puts images into a disk image at byte offsets.
fn assemble(disk: &Path, parts: &[(u64, &Path)]) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(disk).unwrap();
    for (start, part) in parts {
        file.write_all_at(&fs::read(part).unwrap(), *start).unwrap();
    }
}

/// A master boot record with two NTFS partitions.
fn write_mbr(disk: &Path, parts: [(u64, u64); 2]) {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&SIGNATURE.to_le_bytes());
    for (at, (start, size)) in [446, 462].into_iter().zip(parts) {
        sector[at + 4] = 7;
        sector[at + 8..at + 12].copy_from_slice(&u32::try_from(start / 512).unwrap().to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&u32::try_from(size / 512).unwrap().to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::OpenOptions::new().write(true).open(disk).unwrap().write_all_at(&sector, 0).unwrap();
}

fn file(image: &Image, partition: u32, name: &str) -> (Arc<dyn FileSystem>, NodeId) {
    let volume = image.partitions().find_map(|(found, probe)| match probe {
        Probe::Readable(volume) if found.number == partition => Some(volume.clone()),
        _ => None,
    });
    let volume = volume.unwrap();
    let name: Vec<u16> = name.encode_utf16().collect();
    let node = volume.lookup(volume.root(), Name(&name)).unwrap().unwrap();
    (volume, node)
}

/// Compares each file of the partition that is kept in one of the WIMs.
fn compare(image: &Image, partition: u32, numbers: &[u64]) {
    for (name, content) in contents() {
        for number in numbers {
            let (volume, node) = file(image, partition, &format!("{number} {name}"));
            let stat = volume.stat(node).unwrap();
            assert_eq!((stat.kind, stat.size), (NodeKind::File, content.len() as u64), "{number} {name}");
            // Windows shows neither that it is sparse nor its reparse point.
            assert_eq!(stat.attributes & 0x600, 0, "{number} {name}");
            let opened = volume.open(node).unwrap();
            assert_eq!(sha256_source(&*opened).unwrap(), sha256(&content), "{number} {name}");
            // Small reads, which decode whole chunks for a part of them.
            for at in (0..content.len()).step_by(content.len() / 50 + 1) {
                let mut buf = [0; 100];
                let take = (content.len() - at).min(100);
                opened.read_exact_at(at as u64, &mut buf[..take]).unwrap();
                assert_eq!(buf[..take], content[at..at + take], "{number} {name} {at}");
            }
        }
    }
}

/// Why a file cannot be opened.
fn refusal(image: &Image, partition: u32, name: &str) -> String {
    let (volume, node) = file(image, partition, name);
    match volume.open(node) {
        Err(Error::Unsupported(why)) => why.into_owned(),
        Err(error) => panic!("{name}: {error:?}"),
        Ok(_) => panic!("{name} opens"),
    }
}

#[test]
fn content_in_a_wim_of_the_same_volume_is_read() {
    if !have(&["mkntfs", "ntfs-3g", "wimlib-imagex", "sha1sum"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    contents().iter().for_each(|(name, content)| fs::write(source.join(name), content).unwrap());
    let paths: Vec<String> = KINDS.iter().map(|(number, _)| format!("\\Images\\{number}.WIM")).collect();
    let mut wims: Vec<_> = KINDS
        .iter()
        .zip(&paths)
        .map(|((number, _), path)| (*number, Place::Mbr(MIB), path.as_str()))
        .collect();
    // No such file, no such partition, a WIM whose own content is in a WIM, a kind that is not read.
    wims.push((50, Place::Mbr(MIB), "\\Images\\none.wim"));
    wims.push((51, Place::Mbr(77 * MIB), "\\Images\\elsewhere.wim"));
    wims.push((52, Place::Mbr(MIB), "\\0 text"));
    wims.push((53, Place::Mbr(MIB), "\\Images\\solid.wim"));
    let part = volume(folder.path(), 24 * MIB, &source, Some(&overlay(&wims)), |root| {
        fs::create_dir(root.join("images")).unwrap();
        for (number, options) in KINDS {
            let wim = folder.path().join("captured.wim");
            capture(&source, &wim, options);
            let extract = |name: &str| {
                let mut command = tool("wimlib-imagex");
                run(command.arg("extract").arg(&wim).args(["1", &format!("/{name}"), "--to-stdout"])).stdout
            };
            for (name, content) in contents() {
                assert!(extract(&name) == content, "wimlib extracts what it captured: {number} {name}");
            }
            fs::rename(&wim, folder.path().join("done.wim")).unwrap();
            fs::copy(folder.path().join("done.wim"), root.join(format!("images/{number}.wim"))).unwrap();
        }
        let solid = folder.path().join("solid.wim");
        capture(&source, &solid, &["--solid"]);
        fs::copy(&solid, root.join("images/solid.wim")).unwrap();
    });
    let disk = folder.path().join("disk.img");
    assemble(&disk, &[(MIB, &part)]);
    write_mbr(&disk, [(MIB, 24 * MIB), (30 * MIB, MIB)]);
    let image = Image::open(&disk, &OpenOptions::default()).unwrap();
    compare(&image, 1, &[0, 1, 2, 3, 4, 5, 6]);
    for (name, why) in [
        ("not in the WIM", "does not have it"),
        ("50 text", "there is no \\Images\\none.wim on the partition at byte 0x100000"),
        ("51 text", "\\Images\\elsewhere.wim on the partition at byte 0x4d00000 of the disk cafebabe"),
        ("52 text", "its own content is kept in a WIM file"),
        ("53 text", "a solid WIM"),
    ] {
        let refusal = refusal(&image, 1, name);
        assert!(refusal.contains(why) && refusal.contains("WIMBoot: data source"), "{refusal}");
    }
    let (volume, node) = file(&image, 1, "of another size");
    assert!(matches!(volume.open(node), Err(Error::Corrupt(_))));

    // The volume alone, without a partition table: the WIMs are found where it has them.
    let alone = Image::open(&part, &OpenOptions::default()).unwrap();
    compare(&alone, 1, &[0, 3]);
}

#[test]
fn content_in_a_wim_of_another_volume_is_read() {
    if !have(&["mkntfs", "ntfs-3g", "wimlib-imagex", "sha1sum", "sgdisk", "mkfs.fat", "mcopy"])
        || !have_fuse()
    {
        return;
    }
    let folder = scratch();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    contents().iter().for_each(|(name, content)| fs::write(source.join(name), content).unwrap());
    let list = |place: [Place; 2]| {
        let [first, second] = place;
        overlay(&[(0, first, "\\install.wim"), (3, second, "\\SOURCES\\other.wim")])
    };
    let wims = [folder.path().join("install.wim"), folder.path().join("other.wim")];
    capture(&source, &wims[0], &["--wimboot"]);
    capture(&source, &wims[1], &["--compress=LZX"]);

    // MBR, and the WIMs on a second NTFS volume.
    let files = volume(
        folder.path(),
        12 * MIB,
        &source,
        Some(&list([Place::Mbr(20 * MIB), Place::Mbr(20 * MIB)])),
        |_| {},
    );
    let kept = folder.path().join("files.img");
    fs::rename(files, &kept).unwrap();
    let store = super::make(folder.path(), 10 * MIB, 512, 4096);
    let mounted = Ntfs3g::mount(&store, "streams_interface=xattr");
    fs::create_dir(mounted.folder.join("sources")).unwrap();
    fs::copy(&wims[0], mounted.folder.join("install.wim")).unwrap();
    fs::copy(&wims[1], mounted.folder.join("sources/other.wim")).unwrap();
    drop(mounted);
    let disk = folder.path().join("mbr.img");
    assemble(&disk, &[(MIB, &kept), (20 * MIB, &store)]);
    write_mbr(&disk, [(MIB, 12 * MIB), (20 * MIB, 10 * MIB)]);
    let image = Image::open(&disk, &OpenOptions::default()).unwrap();
    compare(&image, 1, &[0, 3]);
    assert!(refusal(&image, 1, "1 text").contains("WimOverlay.dat does not list it"));
    // The tree has the same files.
    let tree = image.tree(Some(1)).unwrap();
    let name: Vec<u16> = "3 mixed".encode_utf16().collect();
    let node = tree.lookup(tree.root(), Name(&name)).unwrap().unwrap();
    let opened = tree.open(node).unwrap();
    drop((tree, image));
    // An open file outlives its image.
    assert_eq!(sha256_source(&*opened).unwrap(), sha256(&contents()["mixed"]));

    // GPT, and the WIMs on a FAT volume.
    let overlay = list([Place::Gpt(PARTITION_BYTES), Place::Gpt(PARTITION_BYTES)]);
    let files = volume(folder.path(), 12 * MIB, &source, Some(&overlay), |_| {});
    let store = folder.path().join("fat.img");
    fs::File::create(&store).unwrap().set_len(10 * MIB).unwrap();
    run(tool("mkfs.fat").arg(&store));
    run(tool("mmd").arg("-i").arg(&store).arg("::sources"));
    run(tool("mcopy").arg("-i").arg(&store).arg(&wims[0]).arg("::install.wim"));
    run(tool("mcopy").arg("-i").arg(&store).arg(&wims[1]).arg("::sources/other.wim"));
    let disk = folder.path().join("gpt.img");
    fs::File::create(&disk).unwrap().set_len(32 * MIB).unwrap();
    run(tool("sgdisk")
        .args(["-n", "1:2048:+12M", "-n", "2:40960:+10M", "-u", &format!("2:{PARTITION}")])
        .arg(&disk));
    assemble(&disk, &[(MIB, &files), (20 * MIB, &store)]);
    let image = Image::open(&disk, &OpenOptions::default()).unwrap();
    compare(&image, 1, &[0, 3]);
}

#[test]
fn without_its_list_a_file_in_a_wim_says_so() {
    if !have(&["mkntfs", "ntfs-3g", "sha1sum"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    contents().iter().for_each(|(name, content)| fs::write(source.join(name), content).unwrap());
    let image = volume(folder.path(), 8 * MIB, &source, None, |_| {});
    let image = Image::open(&image, &OpenOptions::default()).unwrap();
    let why = refusal(&image, 1, "0 text");
    let hash: String = sha1(&source.join("text")).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(why.contains("no \\System Volume Information\\WimOverlay.dat") && why.contains(&hash), "{why}");
}
