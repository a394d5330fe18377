//! Content: every file and stream, in any piece, by several programs at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use sha2::{Digest, Sha256};

use super::{handle::Handle, mounted_demo, volume::Volume, windows, wire::Status};
use crate::support::{
    demo::{Row, manifest, unpack, vhdmount},
    run,
};

const SPARSE: &str = r"\p3\Users\Ada\Virtual Machines\thin.img";
const COMPRESSED: &str = r"\p3\Windows\Logs\CBS\CBS.log";
const FRAGMENTED: &str = r"\p3\Users\Ada\Documents\mail.mbox";

/// SHA-256 of an open file as a program reads it.
fn hash(handle: &Handle<'_>, chunk: u32) -> Result<String, Status> {
    let mut hash = Sha256::new();
    handle.read_all(chunk, |bytes| hash.update(bytes))?;
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    }))
}

fn check(volume: &Volume, row: &Row, chunk: u32) {
    let file = volume.open(&windows(&row.path)).unwrap_or_else(|why| panic!("{}: {why:?}", row.path));
    assert_eq!(file.info.file_size, row.size, "{}", row.path);
    assert_eq!(hash(&file, chunk).as_deref(), Ok(row.sha256), "{}", row.path);
}

#[test]
fn a_walk_finds_what_the_manifest_has_and_reads_it() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let mut kinds = BTreeMap::new();
    for (path, entry) in volume.walk("\\") {
        let kind = match (entry.info.is_reparse_point(), entry.info.is_directory()) {
            (true, _) => "link",
            (_, true) => "dir",
            _ => "file",
        };
        assert!(kinds.insert(path.replace('\\', "/"), kind).is_none(), "{path} twice");
    }
    let rows = manifest();
    let wanted: BTreeMap<_, _> =
        rows.iter().filter(|row| row.kind != "stream").map(|row| (row.path.clone(), row.kind)).collect();
    let in_volumes = |path: &str| path.starts_with("p1/") || path.starts_with("p3/");
    let found: BTreeMap<_, _> = kinds.iter().filter(|(path, _)| in_volumes(path)).collect();
    assert_eq!(found, wanted.iter().collect());
    // The sparse file has its own test.
    rows.iter().filter(|row| row.kind != "dir" && row.kind != "link" && row.size < 16 << 20).for_each(
        |row| {
            check(&volume, row, 64 << 10);
        },
    );
}

#[test]
fn a_large_sparse_file_reads_as_the_manifest_says() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let rows = manifest();
    let row = rows.iter().find(|row| windows(&row.path) == SPARSE).unwrap();
    check(&volume, row, 4 << 20);
}

#[test]
fn the_root_shows_what_it_shows_on_this_system() {
    let Some((volume, folder)) = mounted_demo(&[]) else { return };
    let here = run(vhdmount().arg("ls").arg(unpack(folder.path())));
    let here: BTreeSet<_> = String::from_utf8(here.stdout).unwrap().lines().map(str::to_owned).collect();
    let there = volume.open("\\").unwrap().list(4096).unwrap();
    let there: BTreeSet<_> = there.iter().map(super::wire::DirInfo::name).collect();
    let missing: Vec<_> = here.difference(&there).collect();
    assert!(there.is_subset(&here), "{there:?} {here:?}");
    // Links to volumes may be left out, volumes and reports may not.
    assert!(missing.iter().all(|name| *name == "esp" || *name == "by-label"), "{missing:?}");
}

#[test]
fn reports_are_made_anew_and_kept_in_no_cache() {
    let Some((volume, folder)) = mounted_demo(&[]) else { return };
    let image = folder.path().join("demo.vhdx");
    let here = run(vhdmount().args(["capacity", "--json"]).arg(&image)).stdout;
    let report = volume.open(r"\.capacity.json").unwrap();
    assert!(report.uncached);
    let json: serde_json::Value = serde_json::from_slice(&report.content().unwrap()).unwrap();
    let here: serde_json::Value = serde_json::from_slice(&here).unwrap();
    let here = crate::support::demo::only_disk(&here);
    for figure in ["virtual_size", "file_size", "block_size", "growth_to_full"] {
        assert_eq!(json[figure], here[figure], "{figure}");
    }
    assert!(!volume.open(COMPRESSED).unwrap().uncached);
}

#[test]
fn pieces_at_any_offset_are_those_of_the_whole() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    for path in [FRAGMENTED, COMPRESSED, r"\p3\Users\Ada\Documents\READ ME FIRST.txt"] {
        let file = volume.open(path).unwrap();
        let whole = file.content().unwrap();
        let size = whole.len() as u64;
        for (offset, length) in
            [(0, 1), (1, 4095), (4095, 2), (size / 2, 70_001), (size - 1, 1), (size - 3, 4096), (size / 3, 1)]
        {
            if offset >= size {
                continue;
            }
            let piece = file.read(offset, length).unwrap();
            let at = usize::try_from(offset).unwrap();
            let end = (at + usize::try_from(length).unwrap()).min(whole.len());
            assert!(piece == whole[at..end], "{path} {offset}+{length}");
        }
        for offset in [size, size + 1, size + (1 << 40), u64::MAX - 4096] {
            assert_eq!(file.read(offset, 4096), Err(Status::END_OF_FILE), "{path} {offset}");
        }
    }
    let empty = volume.open(r"\p3\Users\Public\empty.txt").unwrap();
    assert_eq!((empty.info.file_size, empty.read(0, 10)), (0, Err(Status::END_OF_FILE)));
}

#[test]
fn many_read_at_once() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let rows = manifest();
    let rows: Vec<_> = rows.iter().filter(|row| row.kind == "file" && row.size < 16 << 20).collect();
    let shared = volume.open(FRAGMENTED).unwrap();
    let whole = shared.content().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (volume, rows, shared, whole) = (&volume, &rows, &shared, &whole);
            scope.spawn(move || {
                // Each begins elsewhere; all read one open file in between.
                for (turn, row) in rows.iter().cycle().skip(thread * 11).take(12).enumerate() {
                    check(volume, row, 16384 << (thread % 5));
                    let offset = (turn * 37_003 + thread * 5003) % whole.len();
                    let piece = shared.read(offset as u64, 10_000).unwrap();
                    assert!(piece == whole[offset..(offset + 10_000).min(whole.len())]);
                }
            });
        }
    });
}
