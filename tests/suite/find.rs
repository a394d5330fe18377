//! `vhdmount find`, and patterns in paths: compared with GNU find over a mount of the same disk.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    ntfs::Ntfs3g,
    support::{
        demo::{outcome, unpack, vhdmount},
        have, have_fuse, run, scratch, tool,
    },
};

/// What a command prints, as a set of what stands between `end`s.
fn printed(command: &mut Command, end: u8) -> BTreeSet<String> {
    let output = run(command).stdout;
    let items = output.split(|byte| *byte == end).filter(|item| !item.is_empty());
    items.map(|item| String::from_utf8_lossy(item).into_owned()).collect()
}

fn find(image: &Path, words: &[&str]) -> BTreeSet<String> {
    printed(vhdmount().arg("find").arg(image).args(words), b'\n')
}

/// Expressions that mean the same to both programs, on paths that both have.
const EXPRESSIONS: &[&str] = &[
    "",
    "-type f",
    "-type d -o -type l",
    "-type f,l",
    "-name *.txt",
    "-iname *.TXT",
    "-iname *ü*",
    "-name [!a-m]*",
    "-name ?*.*",
    "-path */Users/*",
    "-ipath */USERS/*",
    "-type f -size +0",
    "-type f -size -2k",
    "-type f -size +1M",
    "-type f -size 1",
    "-type f -size 0c",
    "-type f -empty",
    "-type d -empty",
    "-maxdepth 1",
    "-mindepth 2 -maxdepth 3 -type d",
    "-not -type f",
    "! ( -type f -o -type d )",
    "-type f -name *a* -o -type d -name *e*",
    "-newermt 2000-01-01",
    "-type f ! -newermt 2026-01-01",
    "-newermt @1700000000",
    "-mtime +1",
    "-mtime -1",
    "-print0",
];

/// Compares every expression below the given paths; returns how many found something.
fn compare(image: &Path, mounted: &Path, paths: &[&str]) -> usize {
    let mut found = 0;
    for expression in EXPRESSIONS {
        let words: Vec<&str> = expression.split_whitespace().collect();
        let end = if words.contains(&"-print0") { 0 } else { b'\n' };
        let ours = printed(vhdmount().arg("find").arg(image).args(paths).args(&words), end);
        let mut gnu = tool("find");
        gnu.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").current_dir(mounted).args(paths).args(&words);
        let theirs = printed(&mut gnu, end);
        assert_eq!(ours, theirs, "{expression}");
        found += usize::from(!ours.is_empty());
    }
    found
}

#[test]
fn find_prints_what_gnu_find_prints_over_a_mount() {
    if !have(&["find"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    run(vhdmount().arg("-q").arg(&image).arg(&mounted));
    let found = compare(&image, &mounted, &["p1", "p3"]);
    run(vhdmount().arg("-u").arg(&mounted));
    assert!(found > EXPRESSIONS.len() / 2, "{found} expressions found something");
}

/// An NTFS volume that ntfs-3g fills.
fn ntfs(folder: &Path) -> (PathBuf, BTreeSet<String>) {
    let image = folder.join("ntfs.img");
    fs::File::create(&image).unwrap().set_len(20 << 20).unwrap();
    run(tool("mkntfs").args(["-qQF"]).arg(&image));
    let mounted = Ntfs3g::mount(&image, "streams_interface=windows");
    let at = |name: &str| mounted.folder.join(name);
    for directory in ["Users/Ada", "Users/Bob", "Users/.hidden", "empty", "[x]"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for (name, len) in [
        ("Users/Ada/NTUSER.DAT", 5000),
        ("Users/Bob/NTUSER.DAT", 10),
        ("Users/.hidden/NTUSER.DAT", 1),
        ("Users/Bob/Grüße.TXT", 512),
        ("Users/Bob/grösse.txt", 513),
        ("[x]/literal", 3),
        ("x", 4),
    ] {
        fs::write(at(name), vec![b'x'; len]).unwrap();
    }
    fs::write(at("x:a stream"), "in the stream").unwrap();
    fs::write(at("gone.txt"), "was here").unwrap();
    // Deleted by a mount that has opened no file: FUSE renames a file instead if some process still has it, as one that another
    // test has just forked may have.
    drop(mounted);
    let mounted = Ntfs3g::mount(&image, "streams_interface=windows");
    fs::remove_file(mounted.folder.join("gone.txt")).unwrap();
    let mut gnu = tool("find");
    let theirs = printed(gnu.current_dir(&mounted.folder).args([".", "-mindepth", "1", "-type", "f"]), b'\n');
    (image, theirs)
}

#[test]
fn find_sees_what_ntfs_3g_wrote() {
    if !have(&["mkntfs", "ntfs-3g", "find"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, theirs) = ntfs(folder.path());
    let theirs: BTreeSet<_> = theirs.iter().map(|path| path.replacen("./", "p1/", 1)).collect();
    assert_eq!(find(&image, &["p1", "-type", "f"]), theirs);
    assert_eq!(find(&image, &["-type", "f", "-path", "p1/*"]), theirs);
    let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(find(&image, &["--iname=GRÜ*"]), set(&["p1/Users/Bob/Grüße.TXT"]));
    assert_eq!(find(&image, &["p1", "-newer", "p1/x", "-name", "x"]), set(&[]));
    assert_eq!(find(&image, &["p1", "--streams", "-name", "*:*"]), set(&["p1/x:a stream"]));
    // Its own deleted files, by the name that they had, and what is printed can be read.
    let gone = find(&image, &["--deleted", "-name", "gone.txt"]);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(find(&image, &["--deleted", "-path", "p1/gone.txt"]), gone);
    let path = gone.first().unwrap();
    assert_eq!(run(vhdmount().arg("cat").arg(&image).arg(path)).stdout, b"was here");
    let rows = find(&image, &["p1/x", "--json"]);
    let row: serde_json::Value = serde_json::from_str(rows.first().unwrap()).unwrap();
    assert_eq!((&row["schema"], &row["path"], &row["type"]), (&"find/1".into(), &"p1/x".into(), &"f".into()));
    assert_eq!(row["size"], 4);
}

#[test]
fn patterns_in_paths_name_what_they_match() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, _) = ntfs(folder.path());
    let cat = |path: &str| outcome(&vhdmount().arg("cat").arg(&image).arg(path).output().unwrap());
    assert_eq!(cat("p1/users/*/ntuser.dat").1.len(), 5010);
    assert_eq!(cat("p1/Users/.*/NTUSER.DAT").1, "x");
    assert_eq!(cat("p?/Users/B*/*.txt").1.len(), 512 + 513);
    assert_eq!(cat("p1/?:a stream").1, "in the stream");
    // What exists as it is written wins: here [x] would match x.
    assert_eq!(cat("p1/[x]/literal").1, "xxx");
    for path in ["p1/Users/*/nothing", "p1/*.nothing", "p1/x/*"] {
        let (code, out, error) = cat(path);
        assert_eq!((code, &*out), (Some(4), ""), "{path}");
        assert!(error.contains(path) && error.contains("pattern"), "{error}");
    }
    let (code, _, error) = cat("p9/*");
    assert!(code == Some(4) && error.contains("p9"), "{error}");

    let listed = run(vhdmount().args(["ls", "-l"]).arg(&image).arg("p1/Users/B*/*.txt")).stdout;
    assert_eq!(String::from_utf8_lossy(&listed).lines().count(), 2);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    run(vhdmount().args(["cp", "-q"]).arg(&image).arg("p1/Users/Bob/*").arg(&out));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    let (code, _, error) =
        outcome(&vhdmount().arg("cp").arg(&image).arg("p1/*.nothing").arg(&out).output().unwrap());
    assert!(code == Some(4) && error.contains("p1/*.nothing"), "{error}");
    // Several copies cannot have one new name.
    let (code, ..) = outcome(
        &vhdmount().arg("cp").arg(&image).arg("p1/Users/Bob/*").arg(out.join("new")).output().unwrap(),
    );
    assert_eq!(code, Some(3));
}

#[test]
fn find_refuses_what_it_cannot_do() {
    let folder = scratch();
    let image = unpack(folder.path());
    for (words, code, says) in [
        (&["-exec", "rm"][..], 1, "-exec is not offered"),
        (&["-delete"], 1, "nothing inside the image is changed"),
        (&["-nam", "x"], 1, "no word of an expression"),
        (&["-newermt", "Tuesday"], 1, "is no date"),
        (&["-size", "10X"], 1, "is no size"),
        (&["-name"], 1, "needs something behind it"),
        (&["--json", "-print0"], 1, "one form or the other"),
        (&["-newer", "p3/nothing"], 4, "nothing"),
        (&["p9"], 4, "p9"),
        (&["p3/Windows", "--deleted"], 4, "whole volumes"),
    ] {
        let output = vhdmount().arg("find").arg(&image).args(words).output().unwrap();
        let (found, out, error) = outcome(&output);
        assert_eq!((found, &*out), (Some(code), ""), "{words:?}: {error}");
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn what_a_pattern_could_not_look_into_is_named() {
    if !have(&["mkfs.fat", "mcopy"]) {
        return;
    }
    let folder = scratch();
    let (image, tree) = (folder.path().join("fat.img"), folder.path().join("tree"));
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    run(tool("mkfs.fat").arg(&image));
    for name in ["DIR1", "DIR2"] {
        fs::create_dir_all(tree.join(name)).unwrap();
        fs::write(tree.join(name).join("FILE"), name).unwrap();
    }
    run(tool("mcopy")
        .arg("-i")
        .arg(&image)
        .arg("-s")
        .args(["DIR1", "DIR2"].map(|dir| tree.join(dir)))
        .arg("::"));
    let ask = |command: &str, more: &[&Path]| {
        outcome(&vhdmount().arg(command).arg(&image).arg("p1/DIR?/*").args(more).output().unwrap())
    };
    assert_eq!(ask("cat", &[]), (Some(0), "DIR1DIR2".to_owned(), String::new()));
    // The first directory's cluster is none.
    let mut bytes = fs::read(&image).unwrap();
    let entry = bytes.windows(11).position(|name| name == b"DIR1       ").unwrap();
    bytes[entry + 26..entry + 28].copy_from_slice(&[0xf0, 0x0f]);
    fs::write(&image, bytes).unwrap();
    let copied = folder.path().join("copied");
    fs::create_dir(&copied).unwrap();
    for (command, more, text) in
        [("cat", None, "DIR2"), ("ls", None, "p1/DIR2/FILE\n"), ("cp", Some(&*copied), "1 file, 4 B")]
    {
        let (code, out, errors) = ask(command, more.as_slice());
        assert!(code == Some(4) && out.starts_with(text), "{command}: {out} {errors}");
        assert!(errors.contains("p1/DIR1"), "{command}: {errors}");
    }
    assert_eq!(fs::read(copied.join("FILE")).unwrap(), b"DIR2");
    let (code, out, errors) = outcome(&vhdmount().arg("find").arg(&image).arg("-empty").output().unwrap());
    assert!(code == Some(4) && out.is_empty() && errors.contains("not known whether"), "{out} {errors}");
}
