//! VHDs read as other programs read them: qemu-img, libvhdi (`vhdiinfo`, `vhdimount`), 7-Zip.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vhdmount::{
    Error,
    bytes::{ByteSource, ExtentKind},
    container::{self, Container, Kind, OpenOptions},
};

use crate::support::{
    have, have_fuse, run, scratch, sha256, sha256_source, skip, tool,
    vhd_writer::{VhdWriter, noise},
};

pub(crate) fn open(path: &Path) -> Container {
    container::open(path, &OpenOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn hash(path: &Path) -> String {
    sha256_source(&*open(path).disk).unwrap()
}

/// The whole disk's hash by libvhdi, which finds the parents beside the image itself. Of a chain, it shows every level;
/// the image that was named is the last.
pub(crate) fn libvhdi_hash(image: &Path) -> String {
    let mount = scratch();
    run(tool("vhdimount").arg(image).arg(mount.path()));
    let levels = fs::read_dir(mount.path()).unwrap().count();
    let content = fs::read(mount.path().join(format!("vhdi{levels}")));
    // Lazily: another program that looks at mounts (an indexer, a parallel test) may keep it busy for a moment.
    run(tool("fusermount").args(["-u", "-z"]).arg(mount.path()));
    sha256(&content.unwrap())
}

/// A sparse disk of `len` bytes: noise at the front, in the middle and at the very end.
fn disk(len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    for (seed, at, size) in [(1, 0, 70_000), (2, 5 << 20, 3 << 20), (3, len - 700, 700)] {
        content[at..at + size].copy_from_slice(&noise(seed, size));
    }
    content
}

#[test]
fn images_of_qemu_read_as_their_source() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let raw = folder.path().join("disk.raw");
    let content = disk(20 << 20);
    fs::write(&raw, &content).unwrap();
    for options in [
        "subformat=dynamic,force_size=on",
        "subformat=fixed,force_size=on",
        "subformat=dynamic",
        "subformat=fixed",
    ] {
        let image = folder.path().join("disk.vhd");
        run(tool("qemu-img").args(["convert", "-f", "raw", "-O", "vpc", "-o", options]).args([&raw, &image]));
        let container = open(&image);
        let info = container.infos().next().unwrap().clone();
        assert_eq!(info.kind == Kind::Fixed, options.contains("fixed"));
        assert!(info.creator.starts_with("QEMU") && info.problems.is_empty(), "{info:?}");
        // Without force_size, qemu rounds up to a whole geometry.
        let mut expected = content.clone();
        expected.resize(usize::try_from(container.disk.size()).unwrap(), 0);
        assert!(expected.len() == content.len() || !options.contains("force_size"));
        assert_eq!(sha256_source(&*container.disk).unwrap(), sha256(&expected), "{options}");
    }
}

#[test]
fn our_writers_images_read_alike_everywhere() {
    if !have(&["qemu-img", "7z"]) {
        return;
    }
    let folder = scratch();
    for (name, shift) in [("2m", 21), ("512k", 19), ("32k", 15), ("8m", 23)] {
        let mut image = VhdWriter::new(3, 9_000_448, 1 << shift);
        image.write(100, &noise(5, 2_000_000));
        image.write(17_000, &noise(6, 50_000));
        // 7-Zip takes a clear bit for zeros: here it has nothing to hide.
        image.blocks.iter_mut().flatten().for_each(|block| block.present.fill(true));
        image.reversed = true;
        let path = folder.path().join(format!("{name}.vhd"));
        fs::write(&path, image.build()).unwrap();
        let expected = image.content(&[]);
        assert_eq!(hash(&path), sha256(&expected), "{name}");
        let raw = folder.path().join("back.raw");
        run(tool("qemu-img").args(["convert", "-f", "vpc", "-O", "raw"]).args([&path, &raw]));
        assert!(fs::read(&raw).unwrap() == expected, "qemu-img, {name}");
        let unpacked = run(tool("7z").args(["x", "-so", "-tVHD"]).arg(&path)).stdout;
        assert!(unpacked == expected, "7-Zip, {name}");
    }
}

#[test]
fn qemu_reads_data_under_clear_bits_of_a_dynamic_disk_too() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let path = folder.path().join("clear.vhd");
    let mut image = VhdWriter::new(3, 4 << 20, 2 << 20);
    image.write(0, &noise(5, 1_000_000));
    image.blocks[0].as_mut().unwrap().present.fill(false);
    fs::write(&path, image.build()).unwrap();
    let raw = folder.path().join("back.raw");
    run(tool("qemu-img").args(["convert", "-f", "vpc", "-O", "raw"]).args([&path, &raw]));
    assert_eq!(hash(&path), sha256(&fs::read(&raw).unwrap()));
}

#[test]
fn libvhdi_agrees_on_partial_bitmaps_and_identity() {
    if !have(&["vhdimount", "vhdiinfo", "fusermount"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let (base_path, path) = (folder.path().join("base.vhd"), folder.path().join("child.vhd"));
    for shift in [21, 19] {
        let mut base = VhdWriter::new(3, 7_000_064, 1 << shift);
        base.write(0, &noise(1, 3_000_000));
        base.unique_id = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let mut child = VhdWriter::child_of(&base, "base.vhd", [0x22; 16]);
        // libvhdi 20210425 takes all of a bitmap's byte behind a set bit for set: whole bytes are what it reads right.
        let octets = (0..13_000_u64).step_by(8).filter(|n| n * n % 23 < 7);
        octets.for_each(|n| child.write(n, &noise(n, 4096)));
        fs::write(&base_path, base.build()).unwrap();
        fs::write(&path, child.build()).unwrap();
        assert_eq!(hash(&base_path), libvhdi_hash(&base_path));
        let expected = sha256(&child.content(&base.content(&[])));
        assert_eq!(hash(&path), expected);
        assert_eq!(libvhdi_hash(&path), expected);
    }
    let said = run(tool("vhdiinfo").arg(&path)).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let container = open(&path);
    let info = container.infos().next().unwrap();
    let ids = [info.disk_id, info.parent_id].map(|id| id.expect("an identity").to_string());
    for text in ids.iter().chain([&format!("({} bytes)", info.virtual_size)]) {
        assert!(said.contains(text.as_str()), "{text} not in {said}");
    }
}

#[test]
fn seven_zip_agrees_on_partial_bitmaps_of_a_differencing_disk() {
    if !have(&["7z"]) {
        return;
    }
    let folder = scratch();
    let mut base = VhdWriter::new(3, 7_000_064, 2 << 20);
    base.write(0, &noise(1, 3_000_000));
    base.blocks.iter_mut().flatten().for_each(|block| block.present.fill(true));
    let mut child = VhdWriter::child_of(&base, "base.vhd", [0x22; 16]);
    (0..13_000_u64).filter(|n| n * n % 23 < 7).for_each(|n| child.write(n, &noise(n, 512)));
    fs::write(folder.path().join("base.vhd"), base.build()).unwrap();
    let path = folder.path().join("child.vhd");
    fs::write(&path, child.build()).unwrap();
    let unpacked = run(tool("7z").args(["x", "-so", "-tVHD"]).arg(&path)).stdout;
    assert_eq!(hash(&path), sha256(&unpacked));
}

#[test]
fn holes_of_the_disk_are_holes() {
    let folder = scratch();
    let path = folder.path().join("holes.vhd");
    let mut image = VhdWriter::new(3, 64 << 20, 2 << 20);
    image.write((30 << 20) / 512, &noise(1, 1000));
    fs::write(&path, image.build()).unwrap();
    let disk = open(&path).disk;
    let extent = disk.extent_at(1000).unwrap();
    assert_eq!((extent.kind, extent.len), (ExtentKind::Hole, (30 << 20) - 1000));
    assert_eq!(disk.extent_at(30 << 20).unwrap().kind, ExtentKind::Data);
    let last = disk.extent_at(40 << 20).unwrap();
    assert_eq!((last.kind, last.len), (ExtentKind::Hole, 24 << 20));
}

#[test]
fn images_that_are_no_disks_are_refused_with_the_reason() {
    let folder = scratch();
    let refuse = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        container::open(&path, &OpenOptions::default()).map(|_| ()).unwrap_err()
    };
    assert!(refuse("empty.vhd", b"").to_string().contains("empty.vhd: empty"));
    assert!(refuse("short.vhd", b"conectix").to_string().contains("too short"));
    let missing = container::open(&folder.path().join("missing.vhd"), &OpenOptions::default());
    assert!(matches!(missing.map(|_| ()), Err(Error::NotFound(_))));
    assert!(container::open(folder.path(), &OpenOptions::default()).is_err());
    if have(&["qemu-img"]) {
        for format in ["qcow2", "qcow", "vmdk", "vdi", "qed", "parallels"] {
            let path = folder.path().join(format!("{format}.vhd"));
            run(tool("qemu-img").args(["create", "-f", format]).arg(&path).arg("4M"));
            let error = container::open(&path, &OpenOptions::default()).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{format}: {error}");
            let text = error.to_string().to_lowercase();
            assert!(text.contains(format) && text.contains("qemu-img convert"), "{text}");
        }
    }
}

/// Images that others made, from the folder that `VHDMOUNT_CORPUS` names.
#[test]
fn corpus_reads_as_libvhdi_reads_it() {
    let Some(corpus) = std::env::var_os("VHDMOUNT_CORPUS").map(PathBuf::from) else {
        skip("VHDMOUNT_CORPUS is not set");
        return;
    };
    if !have(&["xz", "vhdimount", "fusermount"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let packed = corpus.join("images/log2timeline+dfvfs");
    for name in ["ext2.vhd", "v_678307d1_image.vhd", "image.vhd", "image-differential.vhd"] {
        let unpacked = run(tool("xz").arg("-dc").arg(packed.join(format!("test_data__{name}.xz")))).stdout;
        let path = folder.path().join(name);
        fs::write(&path, unpacked).unwrap();
        assert_eq!(hash(&path), libvhdi_hash(&path), "{name}");
        let levels = open(&path).disk.layers().len();
        assert_eq!(levels, if name.contains("differential") { 2 } else { 1 });
    }
}
