//! `vhdmount cp` as built for Windows, run by Wine: the destination takes names that differ in case alone for one. What is
//! in the image comes from ntfs-3g, what arrives is read on this system.
//!
//! What Wine cannot show: named streams and symbolic links in the destination.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    ntfs::{Ntfs3g, make},
    support::{
        demo::{manifest, outcome, unpack},
        have, have_fuse, scratch, sha256,
        wine::{self, Wine, wine},
    },
};

/// As many as several workers need to meet each other at one name.
const PAIRS: usize = 40;

fn cp(wine: &Wine, options: &[&str], image: &Path, path: &str, dest: &Path) -> (i32, String) {
    let output = wine::output(wine.vhdmount().arg("cp").args(options).arg(image).arg(path).arg(dest));
    let (code, _, err) = outcome(&output);
    (code.expect("it ends by itself"), err)
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> Vec<(String, String)> {
    fn below(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path(), &format!("{name}/"), found),
                false => found.push((name, fs::read_to_string(entry.path()).unwrap())),
            }
        }
    }
    let mut found = Vec::new();
    below(folder, "", &mut found);
    found.sort();
    found
}

/// A volume with pairs of names; each file holds its own path.
fn pairs(folder: &Path) -> PathBuf {
    let image = make(folder, 32 << 20, 512, 4096);
    let mounted = Ntfs3g::mount(&image, "noatime");
    let write = |name: &str| {
        let path = mounted.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    };
    for number in 0..PAIRS {
        write(&format!("name-{number:02}"));
        write(&format!("NAME-{number:02}"));
    }
    for name in ["Folder/same", "FOLDER/SAME", "FOLDER/more", "top/Below/here", "top/below/gone"] {
        write(name);
    }
    image
}

#[test]
fn names_that_differ_in_case_never_replace_each_other() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let image = pairs(folder.path());
    for options in [&["-r"][..], &["-rf"], &["-rn"]] {
        let dest = folder.path().join(format!("dest{}", options[0]));
        fs::create_dir(&dest).unwrap();
        let (code, err) = cp(wine, options, &image, "p1/.", &dest);
        assert_eq!(code, 4, "{options:?}: {err}");
        let found = files(&dest);
        let folded: Vec<_> = found.iter().map(|(name, _)| name.to_lowercase()).collect();
        let mut expected: Vec<_> = (0..PAIRS).map(|number| format!("name-{number:02}")).collect();
        expected.extend(["folder/more", "folder/same", "top/below/here"].map(str::to_owned));
        let mut sorted = folded.clone();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected, "{options:?}: {err}");
        // What was not reported as left out is there, under its name and with its content.
        for (name, content) in &found {
            assert!(content.eq_ignore_ascii_case(name), "{name}: {content}");
            assert!(
                !err.contains(&format!("p1/./{content}:")),
                "{content} is there, and said not to be: {err}"
            );
        }
        let refused = err.lines().filter(|line| line.contains("p1/")).count();
        assert_eq!(refused, PAIRS + 2, "{options:?}: {err}");
        let collisions = err.lines().filter(|line| line.contains("differs in case")).count();
        assert_eq!(collisions, PAIRS + 2, "{options:?}: {err}");
    }
}

#[test]
fn what_was_there_before_is_replaced_when_asked_for() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let image = pairs(folder.path());
    let dest = folder.path().join("dest");
    fs::create_dir(&dest).unwrap();
    let (there, kept) = (dest.join("Name-00"), dest.join("unrelated"));
    fs::write(&there, "before").unwrap();
    fs::write(&kept, "before").unwrap();
    let (code, err) = cp(wine, &[], &image, "p1/name-00", &dest);
    assert!(code == 4 && err.contains("exists (-f"), "{code} {err}");
    assert_eq!(cp(wine, &["-n"], &image, "p1/name-00", &dest), (0, String::new()));
    assert_eq!(fs::read_to_string(&there).unwrap(), "before");
    // READONLY to Windows.
    fs::set_permissions(&there, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(cp(wine, &["-f"], &image, "p1/name-00", &dest), (0, String::new()));
    let found = files(&dest);
    assert!(found.len() == 2 && found[1] == ("unrelated".into(), "before".into()), "{found:?}");
    assert_eq!(found[0].1, "name-00");

    let before = sha256(&fs::read(&image).unwrap());
    let upper = image.with_file_name(image.file_name().unwrap().to_str().unwrap().to_uppercase());
    let (code, err) = cp(wine, &["-f"], &image, "p1/name-00", &upper);
    assert!(code == 4 && err.contains("is the image itself"), "{code} {err}");
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
}

#[test]
fn the_demo_disk_arrives_as_its_manifest_says() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let image = unpack(folder.path());
    let dest = folder.path().join("new");
    let (code, err) = cp(wine, &["-r", "--streams=files"], &image, "/", &dest);
    let mut links = 0;
    for row in manifest() {
        // A colon would name a stream, which Wine does not keep.
        let path = dest.join(row.path.replace(':', "\u{f03a}"));
        match row.kind {
            "dir" => assert!(path.is_dir(), "{path:?}"),
            "link" => links += 1,
            _ => {
                let content = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}\n{err}"));
                assert_eq!((content.len() as u64, &*sha256(&content)), (row.size, row.sha256), "{path:?}");
            }
        }
    }
    // Wine makes no symbolic links: each is reported.
    let reported = err.lines().filter(|line| line.contains("p3/") || line.contains("esp")).count();
    assert!((code == 4 && reported >= links) || code == 0, "{code} {err}");
}

#[test]
fn names_with_a_meaning_to_windows_stay_names() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let image = make(folder.path(), 32 << 20, 512, 4096);
    // What NTFS keeps and Linux allows, and what stands for it on Windows.
    let names = [
        (r"..\..\out", "..\u{f05c}..\u{f05c}out"),
        (r"C:\out", "C\u{f03a}\u{f05c}out"),
        ("file:stream", "file\u{f03a}stream"),
        ("a<b>|?*\"", "a\u{f03c}b\u{f03e}\u{f07c}\u{f03f}\u{f02a}\u{f022}"),
        ("end.", "end\u{f02e}"),
        ("end ", "end\u{f020}"),
        ("...", "..\u{f02e}"),
        ("nul", "_nul"),
        ("COM1.txt", "_COM1.txt"),
        ("line\nbreak", "line\u{f00a}break"),
    ];
    let mounted = Ntfs3g::mount(&image, "noatime");
    for (name, kept) in names {
        let below = mounted.folder.join("folders").join(name);
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("in it"), kept).unwrap();
        fs::write(mounted.folder.join(name), kept).unwrap();
    }
    drop(mounted);
    let around = folder.path().join("around");
    let dest = around.join("a/b/dest");
    fs::create_dir_all(&dest).unwrap();
    assert_eq!(cp(wine, &["-r"], &image, "p1/.", &dest), (0, String::new()));
    let mut expected: Vec<_> = names
        .iter()
        .flat_map(|(_, kept)| {
            [*kept, &format!("folders/{kept}/in it")]
                .map(|name| (format!("a/b/dest/{name}"), (*kept).to_owned()))
        })
        .collect();
    expected.sort();
    assert_eq!(files(&around), expected);
}
