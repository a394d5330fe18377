//! VHDX compared with other programs: qemu-img (which also replays logs), libvhdi and 7-Zip.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use vhdmount::{
    bytes::{ByteSource, FileSource},
    container::{
        Layer, LogState, Place,
        vhdx::{self, OpenOptions, Vhdx},
    },
};

use crate::support::{
    have, have_fuse, run, scratch, skip, tool,
    vhdx_writer::{Block, Image, LogEntry, MIB, NOT_PRESENT, Recipe, UNMAPPED, Update, ZERO, pattern},
};

fn open(path: &Path) -> Vhdx {
    let file = Arc::new(FileSource::open(path).unwrap());
    vhdx::open(file, &path.display().to_string(), &OpenOptions::default()).unwrap()
}

/// The disk from `offset` on through a chain of layers, the child first.
fn read(chain: &[&Vhdx], mut offset: u64, mut buf: &mut [u8]) {
    let (layer, parents) = chain.split_first().expect("a chain has a layer");
    while !buf.is_empty() {
        let segment = layer.resolve(offset).unwrap();
        let take = usize::try_from(segment.len).unwrap_or(usize::MAX).min(buf.len());
        let (now, rest) = buf.split_at_mut(take);
        match segment.place {
            Place::File(at) => layer.source().read_exact_at(at, now).unwrap(),
            Place::Parent if !parents.is_empty() => read(parents, offset, now),
            Place::Zero | Place::Parent => now.fill(0),
        }
        (offset, buf) = (offset + take as u64, rest);
    }
}

fn read_all(chain: &[&Vhdx]) -> Vec<u8> {
    let mut disk = vec![0xee; usize::try_from(chain[0].virtual_size()).unwrap()];
    read(chain, 0, &mut disk);
    disk
}

/// What qemu-img makes of an image. It writes when there is a log to replay, so it gets a copy.
fn qemu_raw(image: &Path) -> Vec<u8> {
    let copy = image.with_extension("qemu-copy");
    let raw = image.with_extension("qemu-raw");
    fs::copy(image, &copy).unwrap();
    run(tool("qemu-img").args(["check", "-q", "-r", "all", "-f", "vhdx"]).arg(&copy));
    run(tool("qemu-img").args(["convert", "-f", "vhdx", "-O", "raw"]).args([&copy, &raw]));
    fs::read(raw).unwrap()
}

/// What 7-Zip extracts; it finds the parents of a differencing disk beside it.
fn seven_zip_raw(image: &Path) -> Vec<u8> {
    run(tool("7z").args(["x", "-so", "-tvhdx"]).arg(image)).stdout
}

/// What libvhdi shows, mounted: the files of a chain are numbered from the oldest on, and each is the whole disk.
fn libvhdi_raw(image: &Path, number: u32, folder: &Path) -> Vec<u8> {
    let mount_point = folder.join("mnt");
    fs::create_dir_all(&mount_point).unwrap();
    run(tool("vhdimount").arg(image).arg(&mount_point));
    let bytes = fs::read(mount_point.join(format!("vhdi{number}")));
    run(tool("fusermount3").arg("-u").arg(&mount_point));
    bytes.unwrap()
}

fn save(image: &Image, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    image.save(&path);
    path
}

/// Blocks in every state in which they need no parent.
fn mixed(virtual_size: u64, block_size: u64) -> Recipe {
    Recipe::dynamic(virtual_size, block_size)
        .block(0, Block::Full(pattern(block_size, 1)))
        .block(1, Block::State(ZERO))
        .block(2, Block::Full(pattern(block_size, 2)))
        .block(3, Block::State(UNMAPPED))
        .block(4, Block::State(NOT_PRESENT))
        .block(5, Block::Full(pattern(block_size, 3)))
}

#[test]
fn dynamic_and_fixed_disks_read_as_in_qemu_and_7zip() {
    if !have(&["qemu-img", "7z"]) {
        return;
    }
    let folder = scratch();
    // 7-Zip wants a whole number of physical sectors.
    let content = pattern(5 * MIB + 12288, 77);
    let recipes = [
        ("d1", mixed(7 * MIB, MIB)),
        ("d2", mixed(11 * MIB + 4096, 2 * MIB)),
        ("d8", mixed(64 * MIB, 8 * MIB)),
        ("f1", Recipe::fixed(MIB, &content)),
        ("f32", Recipe::fixed(32 * MIB, &content)),
    ];
    for (name, recipe) in recipes {
        let path = save(&recipe.build(), folder.path(), &format!("{name}.vhdx"));
        let ours = read_all(&[&open(&path)]);
        assert!(ours.iter().any(|byte| *byte != 0));
        assert!(ours == qemu_raw(&path), "{name}: qemu-img");
        assert!(ours == seven_zip_raw(&path), "{name}: 7z");
    }
    let path = save(&mixed(11 * MIB + 512, 2 * MIB).build(), folder.path(), "odd.vhdx");
    assert!(read_all(&[&open(&path)]) == qemu_raw(&path));
}

#[test]
fn images_made_by_qemu_read_as_qemu_reads_them() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = scratch();
    for (subformat, block_size) in
        [("dynamic", "1M"), ("dynamic", "16M"), ("dynamic", "256M"), ("fixed", "8M")]
    {
        let path = folder.path().join(format!("{subformat}{block_size}.vhdx"));
        let options = format!("subformat={subformat},block_size={block_size}");
        run(tool("qemu-img").args(["create", "-q", "-f", "vhdx", "-o", &options]).arg(&path).arg("70M"));
        let write = |at: &str, len: &str, byte: &str| {
            run(tool("qemu-io")
                .args(["-f", "vhdx", "-c", &format!("write -q -P {byte} {at} {len}")])
                .arg(&path));
        };
        write("1000k", "3000k", "0x11");
        write("40M", "17k", "0x22");
        write("71679k", "1k", "0x33");
        let disk = open(&path);
        assert_eq!(disk.info().creator.split(' ').next(), Some("QEMU"));
        assert!(read_all(&[&disk]) == qemu_raw(&path), "{subformat} {block_size}");
    }
}

/// Puts both sectors of a block table into logs of several shapes; the file itself holds garbage there.
fn dirty_images() -> Vec<(&'static str, Image)> {
    let base = || {
        let mut image = mixed(7 * MIB, MIB).build();
        let updates = image.withhold(image.bat_offset, 2, 0x5a);
        (image, updates)
    };
    let mut images = Vec::new();

    let (mut image, updates) = base();
    image.write_log(&[image.entry(0, 1, updates)]);
    images.push(("single", image));

    let (mut image, mut updates) = base();
    let last = updates.pop().unwrap();
    let first = image.entry(0x8000, 41, vec![Update::Data(image.bat_offset, vec![0xff; 4096])]);
    let second = LogEntry { tail: first.at, ..image.entry(first.at + first.length(), 42, updates) };
    let third = LogEntry { tail: first.at, ..image.entry(second.at + second.length(), 43, vec![last]) };
    image.write_log(&[first, second, third]);
    images.push(("several", image));

    let (mut image, updates) = base();
    let first = image.entry(MIB - 3 * 4096, 7, vec![Update::Data(image.bat_offset, vec![0xff; 4096])]);
    let second = LogEntry { tail: first.at, ..image.entry(MIB - 4096, 8, updates) };
    image.write_log(&[first, second]);
    images.push(("wrapped", image));

    let (mut image, updates) = base();
    let first = image.entry(0, 1, updates);
    let second = LogEntry {
        torn: true,
        ..image.entry(first.length(), 2, vec![Update::Data(image.bat_offset, vec![0xff; 4096])])
    };
    image.write_log(&[first, second]);
    images.push(("torn", image));

    let (mut image, mut updates) = base();
    let sectors = image.withhold(image.bat_offset + 2 * 4096, 6, 0x5a).len() as u64;
    updates.push(Update::Zeros(image.bat_offset + 2 * 4096, sectors * 4096));
    image.write_log(&[image.entry(0, 1, updates)]);
    images.push(("zeros", image));
    images
}

#[test]
fn dirty_logs_replay_as_in_qemu_and_leave_the_file_alone() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let clean = save(&mixed(7 * MIB, MIB).build(), folder.path(), "clean.vhdx");
    let expected = read_all(&[&open(&clean)]);
    for (name, image) in dirty_images() {
        let path = save(&image, folder.path(), &format!("{name}.vhdx"));
        let before = fs::read(&path).unwrap();
        let disk = open(&path);
        assert!(matches!(disk.info().log, Some(LogState::Replayed { .. })), "{name}: {:?}", disk.info().log);
        assert!(read_all(&[&disk]) == expected, "{name}");
        assert!(fs::read(&path).unwrap() == before, "{name}: the file was changed");
        assert!(expected == qemu_raw(&path), "{name}: qemu-img");
    }
}

/// A parent and a child with partially present blocks.
fn chain(folder: &Path, sector_size: u32) -> (PathBuf, PathBuf) {
    let parent = mixed(16 * MIB, 2 * MIB).sector_size(sector_size);
    let sectors = |seed: u64| -> BTreeMap<u64, Vec<u8>> {
        [0, 1, 2, 7, 8, 15, 64, 200, 511].map(|n| (n, pattern(u64::from(sector_size), seed + n))).into()
    };
    let child = Recipe::differencing(16 * MIB, 2 * MIB, parent.data_write_guid, "parent.vhdx")
        .sector_size(sector_size)
        .block(0, Block::Partial(sectors(1000)))
        .block(1, Block::Full(pattern(2 * MIB, 8)))
        .block(2, Block::State(ZERO))
        .block(5, Block::Partial(sectors(2000)))
        .block(7, Block::Partial(sectors(3000)));
    (save(&parent.build(), folder, "parent.vhdx"), save(&child.build(), folder, "child.vhdx"))
}

#[test]
fn differencing_disks_read_as_in_7zip() {
    if !have(&["7z"]) {
        return;
    }
    for sector_size in [512, 4096] {
        let folder = scratch();
        let (parent, child) = chain(folder.path(), sector_size);
        let (parent, disk) = (open(&parent), open(&child));
        assert_eq!(disk.parent().unwrap().parent_linkage, parent.data_write_guid());
        assert!(read_all(&[&disk, &parent]) == seven_zip_raw(&child), "{sector_size}");
    }
}

#[test]
fn disks_read_as_in_libvhdi() {
    if !have(&["vhdimount", "fusermount3"]) || !have_fuse() {
        return;
    }
    for sector_size in [512, 4096] {
        let folder = scratch();
        let (parent, child) = chain(folder.path(), sector_size);
        let (ours, theirs) = (read_all(&[&open(&parent)]), libvhdi_raw(&parent, 1, folder.path()));
        assert!(ours == theirs, "{sector_size}");
        let (ours, theirs) =
            (read_all(&[&open(&child), &open(&parent)]), libvhdi_raw(&child, 2, folder.path()));
        assert_eq!(ours.len(), theirs.len());
        // Block 2: libvhdi looks through ZERO at the parent, where the specification and 7-Zip have zeros.
        let block = |number: usize| number << 21..(number + 1) << 21;
        for number in [0, 1, 3, 4, 5, 6, 7] {
            assert!(ours[block(number)] == theirs[block(number)], "{sector_size}: block {number}");
        }
    }
}

#[test]
fn vhdiinfo_agrees_about_sizes_and_identities() {
    if !have(&["vhdiinfo"]) {
        return;
    }
    let folder = scratch();
    let (_, child) = chain(folder.path(), 512);
    let output = run(tool("vhdiinfo").arg(&child));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let disk = open(&child);
    for expected in [
        &format!("({} bytes)", disk.virtual_size()),
        "Differential",
        &disk.data_write_guid().to_string(),
        &disk.info().parent_id.expect("a differencing disk").to_string(),
        "parent.vhdx",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(disk.info().parent_id, Some(disk.parent().unwrap().parent_linkage));
}

#[test]
fn largest_disk_takes_little_memory() {
    let folder = scratch();
    // A block at the end of each GiB of the first TiB and one at the very end.
    let mut recipe = Recipe::dynamic(64 << 40, MIB);
    for number in (0..1024).map(|gib| gib * 1024 + 1023).chain([(64 << 20) - 1]) {
        recipe = recipe.block(number, Block::Full(vec![7]));
    }
    let disk = open(&save(&recipe.build(), folder.path(), "huge.vhdx"));
    let before = resident();
    let mut byte = [0];
    for number in 0..(64_u64 << 10) {
        let end = (number + 1) << 30;
        read(&[&disk], end - MIB, &mut byte);
        assert_eq!(byte[0], if number < 1024 || number == (64 << 10) - 1 { 7 } else { 0 }, "{number}");
    }
    let grown = resident().saturating_sub(before);
    // Other tests in this process would be counted as well, so the measurement has a process for itself.
    if std::env::var_os("VHDMOUNT_MEASURE").is_some() {
        assert!(grown < 16 << 20, "{grown} bytes");
        return;
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    run(alone.args(["--exact", "vhdx::largest_disk_takes_little_memory"]).env("VHDMOUNT_MEASURE", "1"));
}

/// Bytes of memory that this process occupies; 0 where the system does not report it.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

#[test]
fn corpus_images_read_as_in_qemu() {
    if !have(&["qemu-img"]) {
        return;
    }
    let Some(corpus) = std::env::var_os("VHDMOUNT_CORPUS") else {
        skip("VHDMOUNT_CORPUS is not set");
        return;
    };
    let folder = Path::new(&corpus).join("images/LTRData+DiscUtils");
    let scratch = scratch();
    for name in ["Vhdx__Data__vhdx-log-replay", "Btrfs__Data__btrfs", "Swap__Data__swap"] {
        let packed = folder.join(format!("Tests__LibraryTests__{name}.vhdx.gz"));
        let path = scratch.path().join(format!("{name}.vhdx"));
        let mut reader = flate2::read::GzDecoder::new(fs::File::open(packed).unwrap());
        std::io::copy(&mut reader, &mut fs::File::create(&path).unwrap()).unwrap();
        let disk = open(&path);
        if name.contains("replay") {
            assert_eq!(disk.info().log, Some(LogState::Replayed { entries: 2, bytes: 8192 }));
        }
        // Up to 10 GiB, almost all zeros: compared piece by piece.
        let raw = path.with_extension("qemu-raw");
        let copy = path.with_extension("qemu-copy");
        fs::copy(&path, &copy).unwrap();
        run(tool("qemu-img").args(["check", "-q", "-r", "all", "-f", "vhdx"]).arg(&copy));
        run(tool("qemu-img").args(["convert", "-f", "vhdx", "-O", "raw"]).args([&copy, &raw]));
        let raw = FileSource::open(&raw).unwrap();
        assert_eq!(raw.size(), disk.virtual_size());
        let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let mut offset = 0;
        while offset < raw.size() {
            let (segment, extent) = (disk.resolve(offset).unwrap(), raw.extent_at(offset).unwrap());
            let hole = extent.kind == vhdmount::bytes::ExtentKind::Hole;
            if hole && segment.place == Place::Zero {
                offset += segment.len.min(extent.len);
                continue;
            }
            let len = usize::try_from(raw.size() - offset).unwrap_or(usize::MAX).min(1 << 20);
            read(&[&disk], offset, &mut ours[..len]);
            raw.read_exact_at(offset, &mut theirs[..len]).unwrap();
            assert!(ours[..len] == theirs[..len], "{name} at {offset:#x}");
            offset += len as u64;
        }
    }
}
