//! Registry hives that Windows wrote, with logs, and what Windows made of them. They are not part of the project: the folder
//! `data/hives` beside that of `VHDMOUNT_CORPUS`.

use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::{
    Result,
    bytes::{ByteSource, FileSource, read_vec},
    registry::{Deleted, Hive, Key, MAX_DEPTH, Replay},
};

use crate::support::{have, run, scratch, tool};

/// The hives, unpacked; `None` (SKIPPED) where they are not.
fn hives() -> Option<(tempfile::TempDir, PathBuf)> {
    let corpus = std::env::var_os("VHDMOUNT_CORPUS").map(PathBuf::from);
    let packed = corpus.map(|corpus| corpus.join("../data/hives/yarp-hives.tar.xz"));
    let Some(packed) = packed.filter(|packed| packed.exists()) else {
        writeln!(std::io::stderr(), "SKIPPED: no data/hives beside the folder that VHDMOUNT_CORPUS names")
            .expect("stderr is open");
        return None;
    };
    if !have(&["tar", "xz"]) {
        return None;
    }
    let folder = scratch();
    run(tool("tar").arg("xf").arg(packed).arg("-C").arg(folder.path()));
    let path = folder.path().to_owned();
    Some((folder, path))
}

fn source(path: &Path) -> Arc<dyn ByteSource> {
    Arc::new(FileSource::open(path).unwrap())
}

fn open(path: &Path) -> Result<Hive> {
    let logs: Vec<_> = ["LOG", "LOG1", "LOG2"]
        .iter()
        .map(|suffix| PathBuf::from(format!("{}.{suffix}", path.display())))
        .filter(|log| log.exists())
        .map(|log| source(&log))
        .collect();
    Hive::open_with_logs(source(path), &logs)
}

/// Offsets in the hive bins that differ, as ranges.
fn differences(a: &Hive, b: &Hive) -> Vec<(usize, usize)> {
    let bins = |hive: &Hive| {
        let len = usize::try_from(hive.bytes().size()).unwrap();
        read_vec(&**hive.bytes(), 4096, len - 4096).unwrap()
    };
    let (a, b) = (bins(a), bins(b));
    assert_eq!(a.len(), b.len());
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for at in (0..a.len()).filter(|at| a[*at] != b[*at]) {
        match ranges.last_mut() {
            Some((_, end)) if *end == at => *end += 1,
            _ => ranges.push((at, at + 1)),
        }
    }
    ranges
}

/// Everything in a hive, one line for each key and value.
fn everything(hive: &Hive) -> (Vec<String>, usize) {
    let (mut lines, mut errors) = (Vec::new(), 0);
    let root = hive.root().unwrap();
    let mut stack = vec![(String::new(), root, 0)];
    while let Some((path, key, depth)) = stack.pop() {
        let security = hive.security(&key);
        errors += usize::from(security.is_err());
        // Every byte of the descriptor.
        lines.push(format!("{path} {} {:?} {security:x?}", key.last_written, hive.class(&key).ok()));
        let listed = hive.each_value(&key, usize::MAX, &mut |value| match value {
            Ok(value) => lines.push(format!(
                "{path} {} {} {:x?}",
                String::from_utf16_lossy(&value.name),
                value.data_type,
                value.data
            )),
            Err(_) => errors += 1,
        });
        errors += usize::from(listed.is_err());
        let mut below = Vec::new();
        let listed = hive.each_subkey(&key, &mut |key| match key {
            Ok(key) if depth < MAX_DEPTH => {
                below.push((format!("{path}/{}", String::from_utf16_lossy(&key.name)), key, depth + 1));
            }
            _ => errors += 1,
        });
        errors += usize::from(listed.is_err());
        stack.extend(below);
    }
    (lines, errors)
}

fn find(hive: &Hive, path: &str) -> Option<Key> {
    let names: Vec<Vec<u16>> = path.split('/').map(|name| name.encode_utf16().collect()).collect();
    hive.descend(&hive.root().unwrap(), names.iter().map(|name| &name[..])).unwrap()
}

#[test]
fn dirty_hives_read_as_windows_recovered_them() {
    let Some((_folder, path)) = hives() else { return };
    // Entries: the bins are the same, byte for byte.
    let ours = open(&path.join("NewDirtyHive1/NewDirtyHive")).unwrap();
    let theirs = open(&path.join("NewDirtyHive1/RecoveredHive_Windows10")).unwrap();
    assert!(matches!(ours.replay(), Replay::Applied { flushes: 4, sequence: 5, .. }), "{:?}", ours.replay());
    assert_eq!(differences(&ours, &theirs), []);
    assert_eq!(everything(&ours), everything(&theirs));
    assert!(find(&ours, "Key3/Key3_2").is_some() && find(&ours, "Key1").is_none());
    // A dirty vector: Windows has written the recovered hive once more, which gave the first bin another time (seven bytes of it
    // differ), and it made a hint smaller, the length of the longest value's name of one key.
    let ours = open(&path.join("OldDirtyHive/OldDirtyHive")).unwrap();
    let theirs = open(&path.join("OldDirtyHive/RecoveredHive_Windows7")).unwrap();
    assert!(matches!(ours.replay(), Replay::Applied { flushes: 1, sequence: 5, .. }));
    assert_eq!(differences(&ours, &theirs), [(0x14, 0x19), (0x6_adc8, 0x6_adc9)]);
    assert_eq!(everything(&ours), everything(&theirs));
    assert!(find(&ours, "key_with_many_subkeys/5000/find_me_in_log").is_some());
}

#[test]
fn a_damaged_base_block_is_recovered_and_damaged_logs_are_not_used() {
    let Some((_folder, path)) = hives() else { return };
    let hive = open(&path.join("BadBaseBlockHive/BadBaseBlockHive")).unwrap();
    let expected = open(&path.join("OldDirtyHive/OldDirtyHive")).unwrap();
    assert_eq!(differences(&hive, &expected), []);
    for (path, name) in
        [("BadLogHive1", "BadLogHive"), ("BadLogHive3", "BadLogHive")].map(|(a, b)| (path.join(a), b))
    {
        let hive = open(&path.join(name)).unwrap();
        assert!(matches!(hive.replay(), Replay::Impossible { .. }));
        assert!(everything(&hive).0.len() > 5);
    }
}

#[test]
fn damaged_hives_read_as_far_as_they_are_sound() {
    let Some((_folder, path)) = hives() else { return };
    // Lines and errors of each.
    let expected = [
        // Two keys share one list, and one subkey: both show it.
        ("BadListHive", 7, 0),
        ("BadSubkeyHive", 7, 0),
        ("BigDataHive", 4, 0),
        ("EffectiveSizeHive", 5003, 0),
        ("GarbageHive", 1, 0),
        ("ManySubkeysHive", 5003, 0),
    ];
    let found = expected.map(|(name, ..)| {
        let found = everything(&open(&path.join(name)).unwrap());
        (name, found.0.len(), found.1)
    });
    assert_eq!(found, expected);
    let truncated = open(&path.join("TruncatedHive")).unwrap();
    assert!(everything(&truncated).1 > 0);
}

/// Names of keys, and names and types of values, in any order.
fn names(hive: &Hive) -> Vec<String> {
    let mut names = Vec::new();
    let root = hive.root().unwrap();
    let flow = hive.walk(&root, &mut |_, key| {
        let key = key.unwrap();
        names.push(format!("node {}", String::from_utf16_lossy(&key.name)));
        hive.each_value(key, usize::MAX, &mut |value| {
            let value = value.unwrap();
            names.push(format!("value {} {}", value.data_type, String::from_utf16_lossy(&value.name)));
        })
        .unwrap();
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    names.sort();
    names
}

/// The same by hivexml; `None` for a hive that it refuses.
fn names_by_hivex(path: &Path) -> Option<Vec<String>> {
    let output = tool("hivexml").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        return None;
    }
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        let value = rest.split('"').next()?;
        Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    };
    let types = ["none", "string", "expand", "binary", "int32", "int32be", "link", "string-list"];
    let mut names: Vec<String> = text
        .split('<')
        .filter_map(|tag| {
            if tag.starts_with("node ") {
                return Some(format!("node {}", attribute(tag, "name")?));
            }
            let kind = attribute(tag.strip_prefix("value")?, "type")?;
            let number = types.iter().position(|known| *known == kind)?;
            Some(format!("value {number} {}", attribute(tag, "key").unwrap_or_default()))
        })
        .collect();
    names.sort();
    Some(names)
}

#[test]
fn whole_hives_have_the_keys_and_values_that_hivex_finds() {
    let Some((_folder, path)) = hives() else { return };
    if !have(&["hivexml"]) {
        return;
    }
    let mut compared = Vec::new();
    let nested = ["NewDirtyHive1/RecoveredHive_Windows10", "OldDirtyHive/RecoveredHive_Windows7"];
    let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|file| file.is_file()).chain(nested.map(|name| path.join(name))) {
        let Some(theirs) = names_by_hivex(&file) else { continue };
        assert_eq!(names(&open(&file).unwrap()), theirs, "{}", file.display());
        compared.push(file);
    }
    // It refuses bytes behind the hive bins, cut-off hives, and lists that name one key twice: it visits no key a second time.
    assert_eq!(compared.len(), 13, "{compared:?}");
}

#[test]
fn names_of_every_script_are_found() {
    let Some((_folder, path)) = hives() else { return };
    for (hive, key) in [
        ("UnicodeHive", "ПРИВЕТ/клЮч"),
        ("ExtendedASCIIHive", "ËIGENAARDIG"),
        ("UpcaseHive", "ß2"),
        ("UpcaseHive", "ss1"),
    ] {
        assert!(find(&open(&path.join(hive)).unwrap(), key).is_some(), "{key}");
    }
}

#[test]
fn searches_for_deleted_keys_end_in_every_hive() {
    let Some((_folder, path)) = hives() else { return };
    let (mut keys, mut hives) = (0, 0);
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        let Some(hive) = entry.is_file().then(|| open(&entry).unwrap()) else { continue };
        hives += 1;
        hive.each_deleted(&mut |deleted| {
            keys += u32::from(matches!(deleted, Deleted::Key { .. }));
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    assert!(hives > 15 && keys > 0, "{hives} {keys}");
}
