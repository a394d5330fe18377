//! Writing into images: what is written is judged by qemu-img, libvhdi and 7-Zip, logs that a power cut left are replayed by qemu to the
//! same bytes, and logs that qemu left by this program.

mod vhd;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::{
    bytes::{BackingFile, ByteSink, FileSink, read_vec},
    container::{
        self, Format, Kind, NewParent, OpenOptions, Plan, create,
        write::{Below, CommitMode, WritableDisk, WriteOptions},
    },
    guid::Guid,
};

use crate::support::{have, run, scratch, tool};

const MIB: u64 = 1 << 20;

fn image(folder: &Path, name: &str, plan: &Plan) -> PathBuf {
    let path = folder.join(name);
    let sink = FileSink::new(File::create(&path).unwrap(), &path);
    create::Writer::new(&sink, plan).unwrap().finish().unwrap();
    path
}

fn open(path: &Path, parent: Option<Below>, options: &WriteOptions) -> WritableDisk {
    WritableDisk::open(Arc::new(BackingFile::open(path).unwrap()), parent, options).unwrap()
}

/// A number that looks random, the same in each run (splitmix64).
fn number(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes, discards, commits and flushes of all sizes, on the disk and in a buffer.
fn change(disk: &WritableDisk, plain: &mut [u8], steps: std::ops::Range<u64>) {
    let size = plain.len() as u64;
    let sector = disk.sector_size();
    for index in steps {
        let most = [sector, 65_536, 2 * MIB][usize::try_from(number(index * 4) % 3).unwrap()];
        let at = number(index * 4 + 1) % size / sector * sector;
        let len = (number(index * 4 + 2) % most / sector * sector + sector).min(size - at);
        let here = &mut plain[usize::try_from(at).unwrap()..][..usize::try_from(len).unwrap()];
        here.fill(number(index).to_le_bytes()[0] | 1);
        match number(index * 4 + 3) % 8 {
            0 => {
                here.fill(0);
                disk.discard(at, len).unwrap();
            }
            1 | 2 => {
                let mut transaction = disk.begin();
                transaction.write(at, here).unwrap();
                transaction.commit().unwrap();
            }
            3 => {
                disk.write_all_at(at, here).unwrap();
                disk.flush().unwrap();
            }
            _ => disk.write_all_at(at, here).unwrap(),
        }
    }
    disk.flush().unwrap();
}

fn plans(size: u64) -> Vec<(&'static str, Plan)> {
    let dynamic = Plan::new(Format::Vhdx, size, 0);
    vec![
        ("dynamic", dynamic.clone()),
        ("small blocks", Plan { block_size: MIB, ..dynamic.clone() }),
        ("large blocks", Plan { block_size: 256 * MIB, ..dynamic.clone() }),
        ("fixed", Plan { kind: Kind::Fixed, ..dynamic }),
    ]
}

/// qemu compares the image with the bytes.
fn compare(folder: &Path, image: &Path, plain: &[u8]) {
    let raw = folder.join("plain.raw");
    fs::write(&raw, plain).unwrap();
    run(tool("qemu-img").args(["compare", "-f", "raw", "-F", "vhdx"]).arg(raw).arg(image));
}

#[test]
fn written_images_are_sound_for_others() {
    if !have(&["qemu-img", "vhdiinfo", "7z"]) {
        return;
    }
    for size in [512, MIB + 4096, 2 * MIB + 512, 17 * MIB] {
        for (name, plan) in plans(size) {
            for commit in [CommitMode::Logged, CommitMode::Switched] {
                let folder = scratch();
                let path = image(folder.path(), "disk.vhdx", &plan);
                let options = WriteOptions { commit, ..WriteOptions::default() };
                let mut plain = vec![0; usize::try_from(size).unwrap()];
                for session in 0..2 {
                    let disk = open(&path, None, &options);
                    change(&disk, &mut plain, session * 40..session * 40 + 40);
                    disk.close().unwrap();
                }
                compare(folder.path(), &path, &plain);
                run(tool("qemu-img").args(["check", "-f", "vhdx"]).arg(&path));
                let info = run(tool("vhdiinfo").arg(&path));
                let info = String::from_utf8_lossy(&info.stdout).into_owned();
                assert!(info.contains(&format!("({size} bytes)")), "{name}: {info}");
                if size.is_multiple_of(4096) {
                    run(tool("7z").args(["t", "-bd"]).arg(&path));
                }
            }
        }
    }
}

#[test]
fn largest_vhdx_is_written_at_both_ends() {
    if !have(&["qemu-img", "qemu-io", "vhdiinfo"]) {
        return;
    }
    let size: u64 = 64 << 40;
    for (name, plan) in plans(size).into_iter().filter(|(_, plan)| plan.kind == Kind::Dynamic) {
        for commit in [CommitMode::Logged, CommitMode::Switched] {
            let folder = scratch();
            let path = image(folder.path(), "disk.vhdx", &plan);
            let disk = open(&path, None, &WriteOptions { commit, ..WriteOptions::default() });
            // Whole pages of the block table lie between these places.
            let places = [(size - 4096, 1), (0, 2), (size / 2 - 2048, 3), (1 << 40, 4)];
            for (at, byte) in places {
                let mut transaction = disk.begin();
                transaction.write(at, &[byte; 4096]).unwrap();
                transaction.commit().unwrap();
            }
            disk.close().unwrap();
            run(tool("qemu-img").args(["check", "-f", "vhdx"]).arg(&path));
            let info = String::from_utf8_lossy(&run(tool("vhdiinfo").arg(&path)).stdout).into_owned();
            assert!(info.contains(&format!("({size} bytes)")), "{name}: {info}");
            let reads = places.map(|(at, byte)| format!("read -P {byte} {at} 4096"));
            let asked = reads.iter().flat_map(|read| ["-c", read]);
            let answer = run(tool("qemu-io").args(["-r", "-f", "vhdx"]).args(asked).arg(&path));
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            assert!(!answer.contains("verification failed"), "{name}, {commit:?}: {answer}");
            assert_eq!(answer.matches("read 4096/4096 bytes").count(), places.len(), "{name}: {answer}");
        }
    }
}

#[test]
fn qemu_replays_what_a_power_cut_leaves() {
    if !have(&["qemu-img"]) {
        return;
    }
    for (name, plan) in plans(17 * MIB) {
        // Logs that are nearly empty, that have gone around, and that are in between.
        for steps in [3, 20, 57, 100] {
            let folder = scratch();
            let path = image(folder.path(), "disk.vhdx", &plan);
            let mut plain = vec![0; 17 << 20];
            let disk = open(&path, None, &WriteOptions::default());
            change(&disk, &mut plain, 0..steps);
            drop(disk);
            let ours = folder.path().join("ours.vhdx");
            fs::copy(&path, &ours).unwrap();
            run(tool("qemu-img").args(["check", "-f", "vhdx", "-r", "all"]).arg(&path));
            compare(folder.path(), &path, &plain);
            open(&ours, None, &WriteOptions::default()).close().unwrap();
            compare(folder.path(), &ours, &plain);
            // But for the headers, which have new identities.
            let bytes = |path: &Path| {
                let file = File::open(path).unwrap();
                let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len() - MIB).unwrap()];
                file.read_exact_at(&mut bytes, MIB).unwrap();
                bytes
            };
            assert!(bytes(&path) == bytes(&ours), "{name}, {steps} steps");
        }
    }
}

#[test]
fn children_hold_what_was_written_over_their_parents() {
    if !have(&["7z"]) {
        return;
    }
    let folder = scratch();
    let size = 9 * MIB;
    let base = Plan { block_size: MIB, ..Plan::new(Format::Vhdx, size, 0) };
    let parent = NewParent {
        identity: base.data_id,
        relative_path: Some(r".\base.vhdx".into()),
        absolute_path: Some(r"C:\disks\base.vhdx".into()),
        time: 0,
    };
    let child = Plan { kind: Kind::Differencing, parent: Some(parent), ..Plan::new(Format::Vhdx, size, 0) };
    // The parent's identity is what it was made with, as it is filled at once.
    let path = folder.path().join("base.vhdx");
    let sink = FileSink::new(File::create(&path).unwrap(), &path);
    let mut plain: Vec<u8> = (0..size).map(|at| u8::try_from(at / 512 % 251).unwrap() | 1).collect();
    let mut writer = create::Writer::new(&sink, &base).unwrap();
    writer.write(0, &plain).unwrap();
    writer.finish().unwrap();
    let before = fs::read(&path).unwrap();
    let below = Below::of(&container::open(&path, &OpenOptions::default()).unwrap());

    let path = image(folder.path(), "child.vhdx", &child);
    let disk = open(&path, Some(below), &WriteOptions::default());
    change(&disk, &mut plain, 0..60);
    assert!(read_vec(&disk, 0, plain.len()).unwrap() == plain);
    disk.close().unwrap();
    let read = container::open(&path, &OpenOptions::default()).unwrap();
    assert!(read_vec(&*read.disk, 0, plain.len()).unwrap() == plain);
    run(tool("7z")
        .args(["x", "-bd", "-tVHDX", "-so"])
        .arg(&path)
        .stdout(File::create(folder.path().join("out")).unwrap()));
    assert!(fs::read(folder.path().join("out")).unwrap() == plain);
    assert!(fs::read(folder.path().join("base.vhdx")).unwrap() == before);
    assert_ne!(base.data_id, Guid::ZERO);
}
