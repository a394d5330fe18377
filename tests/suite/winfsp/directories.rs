//! Listings: in pieces of any size, from any entry on, of one name.

use super::{
    mounted_demo,
    rights::access,
    volume::How,
    wire::{DirInfo, FileInfo, Status, attribute},
};

const DRIVERS: &str = r"\p3\Windows\System32\drivers";

fn names(entries: &[DirInfo]) -> Vec<String> {
    entries.iter().map(DirInfo::name).collect()
}

#[test]
fn a_small_buffer_lists_what_a_large_one_does() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let folder = volume.open_as(DRIVERS, How::access(access::READ_DATA)).unwrap();
    let all = folder.list(64 << 10).unwrap();
    assert_eq!(all.len(), 92);
    assert_eq!(names(&all[..2]), [".", ".."]);
    let mut wanted: Vec<_> = (1..=90).map(|i| format!("demo driver {i:02}.sys")).collect();
    let mut got = names(&all[2..]);
    got.sort();
    wanted.sort();
    assert_eq!(got, wanted);
    // 0: as little as the driver may give, which is room for one name of the greatest length.
    for length in [0, 800, 1000, 4096, 7777] {
        assert_eq!(folder.list(length).unwrap(), all, "{length}");
    }
}

/// Names, and what of them does not change while we look: reports are made anew each time.
fn lasting(entries: Vec<DirInfo>) -> Vec<(String, Option<FileInfo>)> {
    let entries = entries.into_iter().map(|entry| (entry.name(), entry.info));
    entries.map(|(name, info)| (name.clone(), (!name.starts_with(".capacity")).then_some(info))).collect()
}

#[test]
fn a_listing_goes_on_behind_any_entry() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let backup = r"\p3\Users\Ada\Documents\Backup";
    for path in [DRIVERS, "\\", r"\p1\EFI\Microsoft", backup, r"\p3\ProgramData"] {
        let folder = volume.open(path).unwrap();
        let all = lasting(folder.list(64 << 10).unwrap());
        for take in [1, 2, 3, 50] {
            let some = folder.list_with(64 << 10, take, None).unwrap();
            assert_eq!(lasting(some), all, "{path}, {take} at a time");
        }
        // From the beginning again, and by two programs in turns.
        let other = volume.open(path).unwrap();
        assert_eq!(lasting(other.list_with(0, 1, None).unwrap()), all, "{path}");
        assert_eq!(lasting(folder.list(1000).unwrap()), all, "{path}");
    }
}

#[test]
fn one_name_is_found_in_any_case_under_the_name_that_the_volume_has() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let documents = volume.open(r"\p3\Users\Ada\Documents").unwrap();
    let find = |name| documents.list_with(4096, usize::MAX, Some(name)).map(|found| names(&found));
    for name in ["READ ME FIRST.txt", "read me first.TXT"] {
        assert_eq!(find(name).unwrap(), ["READ ME FIRST.txt"]);
    }
    assert_eq!(find("überraschung").unwrap(), ["Überraschung"]);
    assert_eq!(find("no such name"), Ok(Vec::new()));
    let all = documents.list(4096).unwrap();
    let found = documents.list_with(4096, usize::MAX, Some("MAIL.mbox")).unwrap();
    let same = all.iter().find(|entry| entry.name() == "mail.mbox").unwrap();
    assert_eq!((found[0].name(), found[0].info), (same.name(), same.info));
}

#[test]
fn wildcards_are_the_drivers_business() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let folder = volume.open(DRIVERS).unwrap();
    let all = folder.list(64 << 10).unwrap();
    // Whatever is passed on, nothing that matches may be missing.
    let found = names(&folder.list_with(4096, usize::MAX, Some("demo driver 1?.sys")).unwrap());
    assert!(
        all.iter()
            .map(DirInfo::name)
            .filter(|name| name.contains("driver 1"))
            .all(|name| found.contains(&name))
    );
}

#[test]
fn entries_state_what_opening_states() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let mut compared = 0;
    for (path, entry) in volume.walk("\\") {
        // The size of a report is known when it is made.
        if entry.info.is_reparse_point() || path.starts_with(".capacity") {
            continue;
        }
        let file = volume.open_as(&format!("\\{path}"), How::access(access::READ_ATTRIBUTES)).unwrap();
        assert_eq!(entry.info, file.info, "{path}");
        assert_eq!(file.info().unwrap(), file.info, "{path}");
        check(&path, &file.info);
        compared += 1;
    }
    assert!(compared > 130, "{compared}");
}

fn check(path: &str, info: &FileInfo) {
    let never = attribute::SPARSE_FILE | attribute::COMPRESSED | attribute::ENCRYPTED | attribute::RECALL;
    assert_eq!(info.attributes & never, 0, "{path}: {:x}", info.attributes);
    assert_ne!(info.attributes, 0, "{path}");
    assert!(info.times.iter().all(|&time| i64::try_from(time).is_ok()), "{path}: {:?}", info.times);
    assert!(info.hard_links <= 1, "the driver wants 0 there");
    assert!(!info.is_directory() || info.file_size == 0, "{path}");
    assert_eq!(info.reparse_tag != 0, info.is_reparse_point(), "{path}");
}

#[test]
fn a_file_has_no_listing() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let file = volume.open(r"\p3\Windows\explorer.exe").unwrap();
    let refused: Result<Vec<DirInfo>, Status> = file.list(4096);
    assert!(refused.is_err(), "{refused:?}");
}
