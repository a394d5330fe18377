//! Deduplicated files: volumes made by mkntfs and ntfs-3g with a chunk store that is written here, since only Windows
//! Server makes one. What this shows is that the reader understands the layouts as the writer does, that it verifies
//! what it reads, and that it survives damage; not that Windows' own stores have these layouts.

mod writer;

use std::{fs, path::Path, slice::from_ref, sync::Arc};

use vhdmount::{
    Error,
    bytes::FileSource,
    fs::{
        FileSystem, NameBuf,
        ntfs::{self, Ntfs, content::dedup::point::Point},
    },
};
use writer::{Container, HashKind, point_1, point_2, point_3, store, store_map};

use super::{Ntfs3g, make, noise};
use crate::support::{have, have_fuse, scratch, sha256, sha256_source};

const STORE: [u8; 16] =
    [0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0];
const STORE_PATH: &str =
    "System Volume Information/Dedup/ChunkStore/{11223344-5566-7788-99AA-BBCCDDEEFF00}.ddp";

/// Pieces as deduplication may cut them: text, noise, zeros, repetitions.
fn pieces() -> Vec<Vec<u8>> {
    let text: Vec<u8> = (0..40_000_u32).flat_map(|i| format!("{} ", i * i % 7919).into_bytes()).collect();
    vec![
        text[..70_000].to_vec(),
        noise(50_000, 8),
        vec![0; 131_072],
        b"abcde".repeat(9000),
        text[70_000..140_000].to_vec(),
        noise(33_333, 9),
    ]
}

/// A file that is all hole.
fn file(root: &Path, name: &str, size: usize, point: &[u8]) {
    let path = root.join(name);
    fs::File::create(&path).unwrap().set_len(size as u64).unwrap();
    xattr::set(&path, "system.ntfs_reparse_data", point).unwrap();
}

/// A volume with a store and files of every form; `damage` may change the store's first container of content.
fn volume(folder: &Path, damage: impl Fn(&mut Container)) -> Ntfs {
    let image = make(folder, 16 << 20, 512, 4096);
    let mounted = Ntfs3g::mount(&image, "streams_interface=xattr");
    let root = &mounted.folder;
    let pieces = pieces();
    let size: usize = pieces.iter().map(Vec::len).sum();
    let (mut first, mut second) = (Container::new(1, 1), Container::new(2, 0x1_0000));
    let (mut hot, mut maps) = (Container::new(0x300, 1), Container::new(0x1_0000, 3));
    let mut entries = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let container = match number % 3 {
            0 => &mut first,
            1 => &mut second,
            _ => &mut hot,
        };
        entries.push(store(container, piece, HashKind::Sha512));
    }
    let whole = store_map(&mut maps, 0, &entries);
    let begin = store_map(&mut maps, 0, &entries[..2]);
    let split = entries[..2].iter().map(|entry| entry.content).sum();
    let end = store_map(&mut maps, split, &entries[2..]);
    file(root, "version 1", size, &point_1(STORE, &whole));
    file(root, "version 2", size, &point_2(STORE, from_ref(&whole)));
    file(root, "version 3", size, &point_3(STORE, 0, from_ref(&whole)));
    file(root, "parts 2", size, &point_2(STORE, &[begin.clone(), end.clone()]));
    file(root, "parts 3", size, &point_3(STORE, 0, &[begin.clone(), end]));

    let other = store(&mut second, b"hashed with SHA-256", HashKind::Sha256);
    let map = store_map(&mut maps, 0, &[other.clone(), entries[1].clone(), other.clone()]);
    file(root, "other hash", 19 + 50_000 + 19, &point_3(STORE, 0, from_ref(&map)));
    let mut wrong = other.clone();
    wrong.hash[0] ^= 1;
    let map = store_map(&mut maps, 0, &[entries[1].clone(), wrong]);
    file(root, "wrong hash", 50_019, &point_3(STORE, 0, from_ref(&map)));
    // Compressed chunks, moved by a rewrite of their container, whose generation is another now.
    let mut moved = Container::new(5, 1);
    let in_moved: Vec<_> = pieces.iter().map(|piece| store(&mut moved, piece, HashKind::Sha512)).collect();
    moved.relocate(&in_moved, 4096);
    moved.generation = 2;
    let map = store_map(&mut maps, 0, &in_moved);
    file(root, "moved", size, &point_3(STORE, 0, from_ref(&map)));
    let mut missing = entries.clone();
    missing[3].container = 77;
    let map = store_map(&mut maps, 0, &missing);
    missing[3].container = maps.number;
    let nested = store_map(&mut maps, 0, &missing);
    file(root, "map of maps", size, &point_3(STORE, 0, from_ref(&nested)));
    file(root, "container missing", size, &point_3(STORE, 0, from_ref(&map)));
    file(root, "map too short", size, &point_2(STORE, &[[&begin[..64], &whole[64..]].concat()]));
    let mut back = entries.clone();
    back[3].content = 0_u64.wrapping_sub(10);
    let map = store_map(&mut maps, 0, &back);
    file(root, "map out of order", size, &point_2(STORE, &[[&map[..64], &whole[64..]].concat()]));

    file(root, "longer", size + 1, &point_3(STORE, 0, from_ref(&whole)));
    file(root, "flags", size, &point_3(STORE, 4, from_ref(&whole)));
    file(root, "store missing", size, &point_3([7; 16], 0, from_ref(&whole)));
    let mut unknown = point_3(STORE, 0, from_ref(&whole));
    unknown[8] = 4;
    file(root, "unknown version", size, &unknown);
    fs::write(root.join("written"), vec![1; size]).unwrap();
    xattr::set(root.join("written"), "system.ntfs_reparse_data", &point_3(STORE, 0, from_ref(&whole)))
        .unwrap();
    let mut elsewhere = whole;
    elsewhere[8] ^= 8;
    file(root, "map missing", size, &point_3(STORE, 0, &[elsewhere]));

    damage(&mut first);
    let folder = root.join(STORE_PATH);
    [&first, &second, &moved].into_iter().for_each(|container| container.write(&folder.join("Data")));
    hot.write(&folder.join("Hotspot"));
    maps.write(&folder.join("Stream"));
    fs::write(folder.join("Data/00000001.00000001.delete.log"), b"not a container").unwrap();
    drop(mounted);
    ntfs::open(Arc::new(FileSource::open(&image).unwrap())).unwrap()
}

fn open(volume: &Ntfs, name: &str) -> vhdmount::Result<Arc<dyn vhdmount::bytes::ByteSource>> {
    let node = volume.lookup(volume.root(), NameBuf::literal(name).as_name()).unwrap().unwrap();
    volume.open(node)
}

fn available() -> bool {
    have(&["mkntfs", "ntfs-3g"]) && have_fuse()
}

#[test]
fn deduplicated_files_are_put_together_from_their_chunks() {
    if !available() {
        return;
    }
    let folder = scratch();
    let volume = volume(folder.path(), |_| {});
    let content = pieces().concat();
    for name in ["version 1", "version 2", "version 3", "parts 2", "parts 3", "moved"] {
        let file = open(&volume, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sha256_source(&*file).unwrap(), sha256(&content), "{name}");
        for at in (0..content.len()).step_by(10_007) {
            let mut buf = vec![0; (content.len() - at).min(5000)];
            file.read_exact_at(at as u64, &mut buf).unwrap();
            assert!(buf == content[at..at + buf.len()], "{name} {at}");
        }
        assert!(file.read_exact_at(content.len() as u64, &mut [0]).is_err());
    }
    let expected = [&b"hashed with SHA-256"[..], &pieces()[1], b"hashed with SHA-256"].concat();
    let file = open(&volume, "other hash").unwrap();
    assert_eq!(sha256_source(&*file).unwrap(), sha256(&expected));
}

#[test]
fn what_the_store_does_not_have_is_an_error() {
    if !available() {
        return;
    }
    let folder = scratch();
    let volume = volume(folder.path(), |_| {});
    for (name, why) in [
        ("longer", "its"),
        ("flags", "a state of the file"),
        ("store missing", "does not have the chunk store"),
        ("unknown version", "version 4.1"),
        ("written", "partly written since"),
    ] {
        match open(&volume, name) {
            Err(Error::Unsupported(text)) => {
                assert!(text.contains("deduplication") && text.contains(why), "{name}: {text}");
            }
            other => panic!("{name}: {:?}", other.err()),
        }
    }
    assert!(matches!(open(&volume, "map missing"), Err(Error::Corrupt(_))));
    // The chunks that are there are read.
    let file = open(&volume, "wrong hash").unwrap();
    let mut buf = vec![0; 50_000];
    file.read_exact_at(0, &mut buf).unwrap();
    assert!(buf == pieces()[1]);
    assert!(matches!(file.read_exact_at(50_000, &mut [0; 19]), Err(Error::Corrupt(_))));
    for name in ["map too short", "map out of order"] {
        let file = open(&volume, name).unwrap();
        let mut buf = vec![0; usize::try_from(file.size()).unwrap()];
        assert!(matches!(file.read_exact_at(0, &mut buf), Err(Error::Corrupt(_))), "{name}");
        for at in (0..file.size() - 100).step_by(9999) {
            let _ = file.read_exact_at(at, &mut buf[..100]);
        }
    }
    let file = open(&volume, "container missing").unwrap();
    let before: usize = pieces()[..3].iter().map(Vec::len).sum();
    assert!(file.read_exact_at(0, &mut vec![0; before]).is_ok());
    assert!(matches!(file.read_exact_at(before as u64, &mut [0]), Err(Error::Corrupt(_))));
    let file = open(&volume, "map of maps").unwrap();
    assert!(file.read_exact_at(0, &mut vec![0; before]).is_ok());
    assert!(matches!(file.read_exact_at(before as u64, &mut [0]), Err(Error::Unsupported(_))));
}

#[test]
fn damaged_chunk_costs_what_is_in_it() {
    if !available() {
        return;
    }
    let folder = scratch();
    let piece = pieces()[0].len();
    // In the bytes of the first chunk, in its hash, in its length, in its signature.
    for at in [0x5000 + 0x58 + 5000, 0x5000 + 0x28, 0x5000 + 12, 0x5000] {
        let volume = volume(folder.path(), |container| container.bytes[at] ^= 0x11);
        let file = open(&volume, "version 3").unwrap();
        assert!(matches!(file.read_exact_at(100, &mut [0; 10]), Err(Error::Corrupt(_))), "{at:#x}");
        assert!(matches!(file.read_exact_at(0, &mut vec![0; piece]), Err(Error::Corrupt(_))), "{at:#x}");
        let content = pieces().concat();
        let mut buf = vec![0; content.len() - piece];
        file.read_exact_at(piece as u64, &mut buf).unwrap();
        assert!(buf == content[piece..], "{at:#x}");
    }
}

#[test]
fn damaged_reparse_data_is_refused() {
    let mut maps = Container::new(0x1_0000, 1);
    let mut container = Container::new(1, 1);
    let entry = store(&mut container, b"some content", HashKind::Sha512);
    let map = store_map(&mut maps, 0, &[entry]);
    for point in [point_1(STORE, &map), point_2(STORE, from_ref(&map)), point_3(STORE, 0, from_ref(&map))] {
        let data = &point[8..];
        assert_eq!(Point::parse(data).unwrap().size(), 12);
        (0..data.len()).for_each(|len| assert!(Point::parse(&data[..len]).is_err(), "{len}"));
        for at in 0..data.len() {
            let mut changed = data.to_vec();
            changed[at] ^= 0x80;
            assert!(Point::parse(&changed).is_err(), "{at}");
            // With a CRC that fits it is at most another point.
            let (head, _) = changed.split_at(data.len() - 4);
            let mut crc = flate2::Crc::new();
            crc.update(head);
            let _ = Point::parse(&[head, &crc.sum().to_le_bytes()].concat());
        }
    }
}
