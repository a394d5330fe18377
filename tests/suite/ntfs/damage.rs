//! Damage is local to what it hits, is reported, and never panics.

use std::{fs, ops::ControlFlow, sync::Arc};

use vhdmount::{
    Error, Result,
    bytes::{MemorySource, testing::Faulty},
    fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Streams, Xattrs, ntfs},
};

use super::{Ntfs3g, make, noise};
use crate::support::{have, have_fuse, scratch};

pub(super) const FILES: usize = 300;
pub(super) const RECORD: usize = 1024;

/// A small volume in memory; `None` where the tools are missing.
pub(super) fn volume() -> Option<Vec<u8>> {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return None;
    }
    let folder = scratch();
    let image = make(folder.path(), 8 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "compression");
        let root = &mounted.folder;
        for i in 0..FILES {
            fs::create_dir_all(root.join("many")).unwrap();
            fs::write(root.join(format!("many/file {i:03}")), noise(i * 20, i as u64)).unwrap();
        }
        fs::create_dir(root.join("compressed")).unwrap();
        xattr::set(root.join("compressed"), "system.ntfs_attrib", &0x810_u32.to_ne_bytes()).unwrap();
        let text: Vec<u8> = (0..10_000).flat_map(|i| format!("{} ", i % 77).into_bytes()).collect();
        fs::write(root.join("compressed/text"), &text).unwrap();
        fs::write(root.join("streams"), b"x").unwrap();
        xattr::set(root.join("streams"), "user.stream", &noise(5000, 1)).unwrap();
        // As many pieces as need an attribute list.
        let fragmented = fs::File::create(root.join("fragmented")).unwrap();
        use std::os::unix::fs::FileExt;
        (0..250).for_each(|i| fragmented.write_all_at(b"piece", i * 8192).unwrap());
        std::os::unix::fs::symlink("streams", root.join("link")).unwrap();
    }
    Some(fs::read(image).unwrap())
}

pub(super) fn open(image: Vec<u8>) -> Result<ntfs::Ntfs> {
    ntfs::open(Arc::new(MemorySource(image)))
}

pub(super) fn lookup(volume: &ntfs::Ntfs, path: &[&str]) -> Result<Option<NodeId>> {
    path.iter().try_fold(Some(volume.root()), |dir, name| match dir {
        Some(dir) => volume.lookup(dir, NameBuf::literal(name).as_name()),
        None => Ok(None),
    })
}

/// Names in a directory, and the damage that the listing reported.
fn list(volume: &ntfs::Ntfs, dir: NodeId) -> (Vec<(NameBuf, NodeId)>, Result<()>) {
    let mut names = Vec::new();
    let result = volume.read_dir(dir, DirCursor(0), &mut |entry| {
        names.push((entry.name.to_owned(), entry.node));
        ControlFlow::Continue(())
    });
    (names, result)
}

/// Uses everything that can be reached, and reads the beginning and the end of each content. Errors are fine. Returns
/// how many nodes there were.
fn exercise(volume: &ntfs::Ntfs) -> usize {
    let mut buf = vec![0; 200_000];
    let mut open = |node| {
        let Ok(content) = volume.open(node) else { return };
        let size = content.size();
        let take = usize::try_from(size).unwrap_or(usize::MAX).min(buf.len());
        let _ = content.read_exact_at(0, &mut buf[..take]);
        let _ = content.read_exact_at(size - take as u64, &mut buf[..take]);
        let _ = content.extent_at(size / 2);
    };
    let (mut nodes, mut todo) = (0, vec![(volume.root(), 0)]);
    while let Some((dir, depth)) = todo.pop() {
        // A damaged directory may name its own ancestors.
        if depth > 8 || nodes > 20_000 {
            continue;
        }
        for (name, node) in list(volume, dir).0 {
            nodes += 1;
            let _ = volume.lookup(dir, name.as_name());
            let _ = volume.parent(node);
            let _ = volume.read_link(node);
            for xattr in volume.xattrs().xattr_names(node).unwrap_or_default() {
                let _ = volume.xattrs().xattr(node, &xattr);
            }
            for stream in volume.streams().list_streams(node).unwrap_or_default() {
                if let Ok(Some(stream)) = volume.streams().lookup_stream(node, stream.name.as_name()) {
                    open(stream);
                }
            }
            match volume.stat(node).map(|stat| stat.kind) {
                Ok(NodeKind::Directory) => todo.push((node, depth + 1)),
                Ok(_) => open(node),
                Err(_) => {}
            }
        }
    }
    (0..24).for_each(|system| open(NodeId(system)));
    let _ = volume.space().usage();
    let _ = volume.space().free_ranges(&mut |_| ControlFlow::Continue(()));
    nodes
}

#[test]
fn backup_boot_sector_and_mirror_stand_in() {
    let Some(image) = volume() else { return };
    let whole = exercise(&open(image.clone()).unwrap());
    assert_eq!(whole, FILES + 6);
    let boot = ntfs::BootSector::parse(&image).unwrap();
    let mft = usize::try_from(boot.mft).unwrap();

    let mut damaged = image.clone();
    damaged[..512].fill(0);
    assert!(!ntfs::detect(&damaged) && ntfs::detect_backup(&damaged[damaged.len() - 512..]));
    let volume = open(damaged).unwrap();
    assert_eq!(exercise(&volume), whole);
    assert!(volume.volume().problems[0].contains("boot sector"), "{:?}", volume.volume());

    // A boot sector that looks well but leads nowhere.
    let mut damaged = image.clone();
    damaged[0x30] ^= 0x40;
    damaged[0x38] ^= 0x40;
    assert_eq!(exercise(&open(damaged).unwrap()), whole);

    for bad in 0..4 {
        let mut damaged = image.clone();
        damaged[mft + bad * RECORD..][..RECORD].fill(0x55);
        let volume = open(damaged).unwrap();
        assert_eq!(exercise(&volume), whole);
        assert!(volume.volume().problems[0].contains("$MFTMirr"), "{:?}", volume.volume());
        assert_eq!(volume.volume().label, "Etikett ü");
    }
}

#[test]
fn damaged_record_costs_one_file() {
    let Some(mut image) = volume() else { return };
    let boot = ntfs::BootSector::parse(&image).unwrap();
    let whole = open(image.clone()).unwrap();
    let node = lookup(&whole, &["many", "file 100"]).unwrap().unwrap();
    let at = usize::try_from(boot.mft + node.0 * boot.record_size).unwrap();
    // A torn write: the update sequence number of one stride is not that of the record.
    image[at + 1022] ^= 0xff;
    let volume = open(image.clone()).unwrap();
    let many = lookup(&volume, &["many"]).unwrap().unwrap();
    let (names, listed) = list(&volume, many);
    assert_eq!(names.len(), FILES);
    listed.unwrap();
    for (name, other) in names {
        assert_eq!(volume.stat(other).is_ok(), other != node, "{name}");
    }
    assert!(matches!(volume.stat(node), Err(Error::Corrupt(_))));

    // A bad sector there costs that record alone, though records are read in pieces.
    image[at + 1022] ^= 0xff;
    let range = at as u64..at as u64 + 512;
    let faulty = Faulty::new(Arc::new(MemorySource(image)), vec![range]);
    let volume = ntfs::open(Arc::new(faulty)).unwrap();
    assert!(matches!(volume.stat(node), Err(Error::Io { .. })));
    assert!(volume.stat(NodeId(node.0 + 1)).is_ok() && volume.stat(NodeId(node.0 - 1)).is_ok());
}

#[test]
fn damaged_index_block_costs_its_entries() {
    let Some(mut image) = volume() else { return };
    let name: Vec<u8> = "file 150".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let holds =
        |block: &[u8]| block.starts_with(b"INDX") && block.windows(name.len()).any(|bytes| bytes == name);
    let at = image.chunks(4096).position(holds).unwrap() * 4096;
    image[at + 510] ^= 0xff;
    let volume = open(image).unwrap();
    let many = lookup(&volume, &["many"]).unwrap().unwrap();
    let (names, listed) = list(&volume, many);
    assert!(matches!(listed, Err(Error::Corrupt(_))));
    assert!((FILES / 2..FILES).contains(&names.len()), "{}", names.len());
    for (name, node) in &names {
        assert_eq!(volume.lookup(many, name.as_name()).unwrap(), Some(*node), "{name}");
    }
    // What may have been in the damaged block is not said to be absent.
    let listed: Vec<_> = names.iter().map(|(name, _)| name.to_string()).collect();
    for lost in (0..FILES).map(|i| format!("file {i:03}")).filter(|name| !listed.contains(name)) {
        assert!(lookup(&volume, &["many", &lost]).is_err(), "{lost}");
    }
}

#[test]
fn truncated_volumes_are_read_as_far_as_they_go() {
    let Some(image) = volume() else { return };
    for part in 0..64 {
        let mut cut = image.clone();
        cut.truncate(image.len() * part / 64);
        if let Ok(volume) = open(cut) {
            exercise(&volume);
            assert!(!volume.volume().problems.is_empty());
        }
    }
}

#[test]
fn flipped_bytes_are_survived() {
    let Some(image) = volume() else { return };
    // Zeros are mostly unused space; noise in files is of no interest either.
    let interesting: Vec<usize> = (0..image.len())
        .step_by(512)
        .filter(|at| {
            let start = *at / RECORD * RECORD;
            *at < 8192
                || image[start..].starts_with(b"FILE")
                || image[at / 4096 * 4096..].starts_with(b"INDX")
        })
        .collect();
    let random = noise(40_000, 99);
    let mut random =
        random.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()) as usize);
    let mut opened = 0;
    for _ in 0..400 {
        let mut damaged = image.clone();
        for _ in 0..8 {
            let at = interesting[random.next().unwrap() % interesting.len()] + random.next().unwrap() % 510;
            damaged[at] = random.next().unwrap().to_le_bytes()[0];
        }
        if let Ok(volume) = open(damaged) {
            opened += 1;
            exercise(&volume);
        }
    }
    assert!(opened > 300, "{opened}");
}
