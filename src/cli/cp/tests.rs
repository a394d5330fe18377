//! Tests of copying a damaged volume: intact files are copied, and the work is bounded by the stored data.

use std::{collections::BTreeMap, fs, ops::Range, path::Path, sync::Arc};

use clap::Parser;
use vhdmount::{
    bytes::{MemorySource, testing::Counted},
    image::OpenOptions,
};

use super::*;
use crate::cli::{args::Arguments, config::Action, demo};

const CLUSTER: u64 = 4096;

/// The demo disk. Records of its NTFS volume lie at multiples of their size in the file, too.
fn demo_disk(folder: &Path) -> Vec<u8> {
    let path = folder.join("demo.vhdx");
    demo::unpack(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let boot = bytes.chunks(512).find(|sector| sector[3..11] == *b"NTFS    ").unwrap();
    assert_eq!(u64::from(boot[13]) * 512, CLUSTER);
    bytes
}

/// The non-resident data attributes of files that are neither sparse nor compressed.
fn contents(image: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for at in (0..image.len() - 1024).step_by(1024) {
        let record = &image[at..at + 1024];
        let word = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        let number = word(44) | word(46) << 16;
        // In use, no directory, no extension record, and not a system file.
        if !record.starts_with(b"FILE") || word(22) & 3 != 1 || record[32..40] != [0; 8] || number < 64 {
            continue;
        }
        let mut attribute = word(20);
        while attribute + 16 <= 1024 && word(attribute) != 0xffff {
            let len = word(attribute + 4);
            let is_content =
                word(attribute) == 0x80 && record[attribute + 8] == 1 && record[attribute + 9] == 0;
            // The last two bytes of each sector are replaced by the update sequence.
            let whole = attribute % 512 < 430;
            if is_content && word(attribute + 12) == 0 && whole && len >= 72 {
                found.push(at + attribute..at + attribute + len);
            }
            attribute += len.max(8);
        }
    }
    found
}

type Damage = fn(&mut [u8]);

/// Flips one bit of a size.
fn flip(attribute: &mut [u8]) {
    [40, 48, 56].iter().for_each(|size| attribute[size + 7] |= 0x10);
}

/// Makes a file of 64 PiB that is a single hole.
fn hole(attribute: &mut [u8]) {
    let clusters = 1_u64 << 44;
    attribute[12..14].copy_from_slice(&0x8000_u16.to_le_bytes());
    attribute[24..32].copy_from_slice(&(clusters - 1).to_le_bytes());
    [40, 48, 56]
        .iter()
        .for_each(|size| attribute[*size..size + 8].copy_from_slice(&(clusters * CLUSTER).to_le_bytes()));
    let runs = usize::from(u16::from_le_bytes([attribute[32], attribute[33]]));
    attribute[runs] = 0x06;
    attribute[runs + 1..runs + 7].copy_from_slice(&clusters.to_le_bytes()[..6]);
    attribute[runs + 7] = 0;
}

/// Sets a plausible size, of which the run list holds little.
fn longer(attribute: &mut [u8]) {
    [40, 48, 56].iter().for_each(|size| attribute[size + 4] |= 0x10);
}

/// Copies everything; returns the copied files, the messages, and the reads and bytes of the image.
fn copied(image: &[u8], dest: &Path) -> (BTreeMap<std::path::PathBuf, Vec<u8>>, String, (u64, u64)) {
    let counted = Arc::new(Counted::new(Arc::new(MemorySource(image.to_vec()))));
    let image = Image::open_source(counted.clone(), &OpenOptions::default()).unwrap();
    let tree = image.tree(None).unwrap();
    let arguments =
        ["vhdmount", "cp", "-r", "--streams=files", "unused.img", "p3"].map(std::ffi::OsString::from);
    let arguments =
        Arguments::try_parse_from(arguments.into_iter().chain([dest.as_os_str().to_owned()])).unwrap();
    let Ok(Action::Cp(command)) = Action::resolve(arguments, None) else { panic!("it is cp") };
    counted.take();
    let ended = copy_out(&tree, Vec::new(), &Cp { quiet: true, ..command });
    let work = counted.take();
    let (mut files, mut todo) = (BTreeMap::new(), vec![dest.to_owned()]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() && entry.metadata().unwrap().len() < 1 << 30 {
                files.insert(path.strip_prefix(dest).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    (files, ended.err().map(|failure| failure.text().to_owned()).unwrap_or_default(), work)
}

#[test]
fn the_work_of_a_copy_is_bounded_by_what_is_stored_and_what_is_whole_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let disk = demo_disk(folder.path());
    let (whole, said, sound) = copied(&disk, &folder.path().join("sound"));
    assert_eq!(said, "");
    let contents = contents(&disk);
    assert!(!contents.is_empty() && whole.len() > 50, "{contents:?}, {} files", whole.len());
    let kinds: [(&str, Damage); 3] = [("flip", flip), ("hole", hole), ("longer", longer)];
    for ((kind, damage), at) in kinds.iter().zip(contents.iter().cycle()) {
        let mut damaged = disk.clone();
        damage(&mut damaged[at.clone()]);
        let (files, said, work) = copied(&damaged, &folder.path().join(kind));
        // Only a file of holes can be copied, and not to every filesystem.
        assert!(said.contains("could not be copied") || *kind == "hole", "{kind}: {said}");
        let missing: Vec<_> = whole.keys().filter(|path| !files.contains_key(*path)).collect();
        // A file may have several names.
        assert!((1..=5).contains(&missing.len()), "{kind}: {missing:?}");
        assert!(files.iter().all(|(path, content)| whole.get(path) == Some(content)), "{kind}");
        let stored = disk.len() as u64;
        assert!(work.0 <= stored / 1024 && work.1 <= stored * 2, "{kind}: {work:?} of {stored}");
        assert!(
            work.0 <= sound.0 + 100 && work.1 <= sound.1 + (4 << 20),
            "{kind}: {work:?}, sound {sound:?}"
        );
    }
}
