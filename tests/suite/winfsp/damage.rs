//! A damaged file is an error of its own, and everything beside it reads as before.

use std::path::{Path, PathBuf};

use super::{
    rights::access,
    volume::{How, Refused, Volume},
    windows,
    wire::Status,
};
use crate::support::{demo, demo::manifest, scratch, sha256};

const RECORD: usize = 1024;
const DAMAGED_RECORD: &str = r"\p3\Windows\System32\ntoskrnl.exe";
const DAMAGED_CONTENT: &str = r"\p3\Windows\Logs\CBS\CBS.log";

/// An MFT record in use by something else than a directory.
fn is_of_file(record: &[u8]) -> bool {
    const IN_USE: u8 = 1;
    record.starts_with(b"FILE") && record.len() == RECORD && record[22] == IN_USE
}

/// The demo disk with a record that was torn and a compression unit that cannot be decompressed.
fn damaged(folder: &Path) -> PathBuf {
    let mut image = demo::image();
    let name: Vec<u8> = "ntoskrnl.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // The folder's own record has the name, too.
    let record = image
        .chunks(RECORD)
        .position(|record| is_of_file(record) && record.windows(name.len()).any(|part| part == name));
    let end_of_sector = record.expect("the file has a record") * RECORD + 510;
    image[end_of_sector] ^= 0xff;

    // The beginning of LZNT1: a flag byte for eight literals, twice.
    let start = b"\x002024-05-\x0017 09:00";
    let unit = image.windows(start.len()).position(|part| part == start).expect("the log begins so");
    // Every token a reference to before the beginning.
    image[unit..unit + 40].fill(0xff);
    let path = folder.join("damaged.vhdx");
    std::fs::write(&path, image).unwrap();
    path
}

#[test]
fn damage_is_local() {
    let folder = scratch();
    let Some(volume) = Volume::mount(&damaged(folder.path()), &[]) else { return };
    // It is listed, and refused with an error that does not say that it is missing.
    let listed = volume.open(r"\p3\Windows\System32").unwrap().list(4096).unwrap();
    assert!(listed.iter().any(|entry| entry.name() == "ntoskrnl.exe"));
    let refused = volume.open_as(DAMAGED_RECORD, How::access(access::READ_DATA)).map(drop);
    assert_eq!(refused, Err(Refused::Error(Status::FILE_CORRUPT_ERROR)));

    let log = volume.open(DAMAGED_CONTENT).unwrap();
    assert_eq!(log.read(0, 100), Err(Status::FILE_CORRUPT_ERROR));
    // What is stored in other units is not lost.
    let size = log.info.file_size;
    let whole = demo_log();
    let at = size - 5000;
    assert_eq!(log.read(at, 5000).unwrap(), whole[usize::try_from(at).unwrap()..]);

    let rows = manifest();
    let rest = rows.iter().filter(|row| row.kind == "file" && row.size < 16 << 20).filter(|row| {
        let path = windows(&row.path);
        path != DAMAGED_RECORD && path != DAMAGED_CONTENT
    });
    for row in rest {
        let content = volume.open(&windows(&row.path)).unwrap().content().unwrap();
        assert_eq!(sha256(&content), row.sha256, "{}", row.path);
    }
    let said = volume.driver.said();
    assert!(said.contains("damaged FILE record") && said.contains("CBS.log"), "{said}");
}

/// The log as it was, from the library.
fn demo_log() -> Vec<u8> {
    use std::sync::Arc;

    use vhdmount::{
        bytes::MemorySource,
        fs::{FileSystem, NameBuf},
        image::{Image, OpenOptions},
    };
    let image = Image::open_source(Arc::new(MemorySource(demo::image())), &OpenOptions::default()).unwrap();
    let tree = image.tree(None).unwrap();
    let node = ["p3", "Windows", "Logs", "CBS", "CBS.log"]
        .iter()
        .fold(tree.root(), |dir, name| tree.lookup(dir, NameBuf::literal(name).as_name()).unwrap().unwrap());
    let source = tree.open(node).unwrap();
    let mut content = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_exact_at(0, &mut content).unwrap();
    content
}

#[test]
fn damaged_images_never_end_the_server() {
    let folder = scratch();
    let mut image = demo::image();
    // Every eighth record that files have, each broken elsewhere.
    let of_files = (0..image.len() / RECORD).filter(|i| is_of_file(&image[i * RECORD..][..RECORD]));
    let records: Vec<_> = of_files.skip(24).step_by(8).collect();
    assert!(records.len() > 10, "{}", records.len());
    for (turn, record) in records.into_iter().enumerate() {
        let at = record * RECORD + 16 + turn * 7 % 400;
        image[at..at + 8].fill(if turn % 2 == 0 { 0xff } else { 0x41 });
    }
    let path = folder.path().join("broken.vhdx");
    std::fs::write(&path, image).unwrap();
    let Some(volume) = Volume::mount(&path, &[]) else { return };
    let (mut read, mut failed) = (0, 0);
    for row in manifest().iter().filter(|row| row.kind == "file" && row.size < 16 << 20) {
        match volume.open_as(&windows(&row.path), How::default()).map(|file| file.content()) {
            Ok(Ok(_)) => read += 1,
            Ok(Err(_)) | Err(Refused::Error(_)) => failed += 1,
            Err(elsewhere) => panic!("{}: {elsewhere:?}", row.path),
        }
    }
    assert!(read > 50 && failed > 0, "{read} {failed}");
    assert!(volume.info().is_ok());
}
