//! Damaged copies of every kind of image, 11,000 changed places in all and 64 cuts each, always the same ones. No panic,
//! bounded memory, bounded work.

use std::path::Path;

use crate::support::{
    demo, have,
    mutate::{mutate, truncate},
    run, scratch, tool,
    wim::{WOF, capture, wof_reparse_point, wof_stream},
};

/// Places at which each image is cut off.
const CUTS: u64 = 64;

/// Damages `image` at its share of the 11,000 places. `VHDMOUNT_MUTATIONS=N` for N times as many: a long run finds more.
fn survives(name: &str, image: Vec<u8>, share: usize) {
    let more = std::env::var("VHDMOUNT_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let changes = share * more;
    println!("{name}, cut off: {:?}", truncate(name, image.clone(), CUTS));
    let worst = mutate(name, image, changes);
    println!("{name}, damaged: {worst:?}");
    // Damage that never gets past the container would test nothing else.
    assert!(worst.opened > worst.copies / 4, "{name}: too few of the damaged copies could be opened");
}

/// The demo disk is VHDX, GPT, FAT32 and NTFS at once.
#[test]
fn demo_disk() {
    survives("demo disk", demo::image(), 5_000);
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A FAT volume with a few files and directories.
pub(crate) fn fat(folder: &Path, bits: &str, kib: &str) -> std::path::PathBuf {
    let path = folder.join(format!("fat{bits}.img"));
    run(tool("mkfs.fat").args(["-C", "-F", bits, "-s", "1", "-n", "VOLUME"]).arg(&path).arg(kib));
    let file = folder.join("content");
    std::fs::write(&file, "some content\n".repeat(500)).expect("space for a file");
    for dir in ["::/dir", "::/dir/a longer directory name"] {
        run(tool("mmd").arg("-i").arg(&path).arg(dir));
    }
    for target in ["::/SHORT.TXT", "::/a long file name.txt", "::/dir/a longer directory name/größer.txt"] {
        run(tool("mcopy").arg("-i").arg(&path).arg(&file).arg(target));
    }
    // Something deleted, with a directory.
    for target in ["::/deleted", "::/gone/deleted, too.txt"] {
        if let Some((dir, _)) = target[2..].rsplit_once('/').filter(|(dir, _)| !dir.is_empty()) {
            run(tool("mmd").arg("-i").arg(&path).arg(format!("::{dir}")));
        }
        run(tool("mcopy").arg("-i").arg(&path).arg(&file).arg(target));
    }
    run(tool("mdel").arg("-i").arg(&path).arg("::/deleted"));
    run(tool("mdeltree").arg("-i").arg(&path).arg("::/gone"));
    path
}

/// An NTFS volume with a few files, made without a mount.
pub(crate) fn ntfs(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("ntfs.img");
    std::fs::File::create(&path).and_then(|file| file.set_len(4 << 20)).expect("space for a volume");
    run(tool("mkntfs")
        .args(["-q", "-Q", "-F", "-s", "512", "-c", "1024", "-p", "63", "-H", "16", "-S", "63"])
        .arg(&path));
    let file = folder.join("content");
    for size in [20, 700, 5_000, 90_000] {
        std::fs::write(&file, vec![b'x'; size]).expect("space for a file");
        run(tool("ntfscp").args(["-q", "-f"]).arg(&path).arg(&file).arg(format!("file of {size} bytes")));
    }
    delete_two(&path);
    path
}

/// Makes compressed files of an NTFS volume's, one for each method of WOF, without a mount.
fn add_wof_files(folder: &Path, volume: &Path) {
    const DATA: &str = "128";
    const REPARSE_POINT: &str = "192";
    let put = |name: &str, attribute: &[&str], bytes: &[u8]| {
        let file = folder.join("content");
        std::fs::write(&file, bytes).expect("space for a file");
        run(tool("ntfscp").args(["-q", "-f", "-a"]).args(attribute).arg(volume).arg(&file).arg(name));
    };
    let captured = folder.join("captured");
    std::fs::create_dir(&captured).expect("a folder");
    for (method, chunk, number) in WOF {
        let text: Vec<u8> =
            (0..).flat_map(|i| format!("{i} and {}, ", i % 77).into_bytes()).take(70_000).collect();
        std::fs::write(captured.join("text"), &text).expect("space for a file");
        let mut streams = capture(&captured, &folder.join("test.wim"), method, chunk);
        let stream = wof_stream(streams.remove(&text.len()).flatten(), &text, chunk);
        let name = format!("{method} {chunk}");
        put(&name, &[DATA], &vec![0; text.len()]);
        put(&name, &[DATA, "-N", "WofCompressedData"], &stream);
        put(&name, &[REPARSE_POINT], &wof_reparse_point(number));
    }
}

/// Deletes the two large files by hand, without a mount: their records (the first that are free on a new volume are 64 to
/// 67) are no longer in use, nor are most of their clusters, 926 to 930 and 1003 to 1090.
fn delete_two(path: &Path) {
    let bitmap = run(tool("ntfscat").args(["-i", "6"]).arg(path)).stdout;
    let mut image = read(path);
    let mft = u64::from_le_bytes(image[48..56].try_into().expect("8 bytes"));
    let mft = usize::try_from(mft).expect("4 MiB") * 1024;
    for number in [66, 67] {
        let record = mft + number * 1024;
        assert!(
            image[record..].starts_with(b"FILE") && image[record + 22] == 1,
            "record {number} is a file's"
        );
        image[record + 22] = 0;
        image[record + 16] += 1;
    }
    let at = (0..image.len()).step_by(512).find(|at| image[*at..].starts_with(&bitmap));
    let at = at.expect("the bitmap is on the volume");
    image[at + 928 / 8..at + 1096 / 8].fill(0);
    std::fs::write(path, image).expect("space for a volume");
}

pub(crate) fn convert(from: &Path, format: &str, options: &str) -> Vec<u8> {
    let to = from.with_extension(format);
    run(tool("qemu-img").args(["convert", "-f", "raw", "-O", format, "-o", options]).arg(from).arg(&to));
    read(&to)
}

#[test]
fn raw_fat_volumes() {
    if have(&["mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree"]) {
        let folder = scratch();
        survives("FAT12", read(&fat(folder.path(), "12", "1440")), 700);
        survives("FAT16", read(&fat(folder.path(), "16", "9000")), 700);
        survives("FAT32", read(&fat(folder.path(), "32", "34000")), 600);
    }
}

#[test]
fn raw_ntfs_volume() {
    if have(&["mkntfs", "ntfscp", "ntfscat"]) {
        survives("NTFS", read(&ntfs(scratch().path())), 1_000);
    }
}

#[test]
fn ntfs_volume_with_wof_files() {
    if have(&["mkntfs", "ntfscp", "wimcapture"]) {
        let folder = scratch();
        let volume = ntfs(folder.path());
        add_wof_files(folder.path(), &volume);
        let file = format!("p1/{} {}", WOF[1].0, WOF[1].1);
        let content = run(demo::vhdmount().arg("cat").arg(&volume).arg(file)).stdout;
        assert_eq!(content.len(), 70_000);
        survives("NTFS with WOF files", read(&volume), 1_000);
    }
}

#[test]
fn vhd_and_vhdx() {
    if have(&[
        "mkntfs", "ntfscp", "ntfscat", "mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree", "qemu-img", "sgdisk",
    ]) {
        let folder = scratch();
        let volume = fat(folder.path(), "12", "1440");
        survives("dynamic VHD", convert(&volume, "vpc", "subformat=dynamic,force_size=on"), 600);
        survives("fixed VHD", convert(&volume, "vpc", "subformat=fixed,force_size=on"), 200);
        let volume = ntfs(folder.path());
        survives("dynamic VHDX", convert(&volume, "vhdx", "subformat=dynamic,block_size=1M"), 600);
    }
}

#[test]
fn partition_tables() {
    if have(&["mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree", "sgdisk"]) {
        let folder = scratch();
        let volume = read(&fat(folder.path(), "12", "1440"));
        survives("MBR", mbr_disk(&volume), 300);
        survives("GPT", gpt_disk(folder.path(), &volume), 300);
    }
}

/// A disk of 4 MiB with `volume` at 1 MiB.
fn disk_with(volume: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 4 << 20];
    disk[1 << 20..][..volume.len()].copy_from_slice(volume);
    disk
}

/// A primary FAT12 partition at 1 MiB, and an extended one at 3 MiB with one logical partition.
pub(crate) fn mbr_disk(volume: &[u8]) -> Vec<u8> {
    let mut mbr = disk_with(volume);
    let entry = |kind: u8, start: u32, len: u32| {
        let mut entry = [0, 0, 2, 0, kind, 0, 2, 0].to_vec();
        entry.extend([start, len].map(u32::to_le_bytes).concat());
        entry
    };
    mbr[0x1be..0x1ce].copy_from_slice(&entry(0x01, 2048, 2880));
    mbr[0x1ce..0x1de].copy_from_slice(&entry(0x05, 6144, 2048));
    mbr[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    let extended = 3 << 20;
    mbr[extended + 0x1be..extended + 0x1ce].copy_from_slice(&entry(0x06, 63, 1000));
    mbr[extended + 0x1fe..extended + 0x200].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

/// A GPT with a FAT12 volume as its first partition and an empty second one.
pub(crate) fn gpt_disk(folder: &Path, volume: &[u8]) -> Vec<u8> {
    let path = folder.join("gpt.img");
    std::fs::write(&path, disk_with(volume)).expect("space for a disk");
    run(tool("sgdisk")
        .args(["-o", "-n", "1:2048:+1440K", "-t", "1:EF00", "-n", "2:0:0", "-c", "2:Basic data"])
        .arg(&path));
    read(&path)
}
