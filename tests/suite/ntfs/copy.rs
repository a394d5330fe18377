//! `vhdmount cp` beside ntfs-3g: the copy of a volume is what ntfs-3g shows of it; hostile names and links stay inside the
//! destination; damage costs the damaged file alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use super::{Ntfs3g, fill, make, noise};
use crate::support::{
    demo::{outcome, vhdmount},
    have, have_fuse, scratch, sha256,
};

fn cp(options: &[&str], image: &Path, path: &str, dest: &Path) -> (i32, String) {
    let mut command = vhdmount();
    command.arg("cp").args(options).arg(image).arg(path).arg(dest);
    let (code, _, err) = outcome(&command.output().unwrap());
    (code.expect("it ends by itself"), err)
}

/// Compares a directory with its copy, recursively; returns the number of files.
fn compare(original: &Path, copy: &Path) -> usize {
    let mut compared = 0;
    let mut left: Vec<_> = fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for entry in fs::read_dir(original).unwrap() {
        let name = entry.unwrap().file_name();
        let (from, to) = (original.join(&name), copy.join(&name));
        let expected = fs::symlink_metadata(&from).unwrap();
        let got = fs::symlink_metadata(&to).unwrap_or_else(|error| panic!("{to:?}: {error}"));
        left.retain(|other| *other != name);
        assert_eq!(got.file_type(), expected.file_type(), "{to:?}");
        // Comparing the first name of a file is an access to it, which changes the time that its other names show.
        let accessed =
            |of: &fs::Metadata| (of.nlink() == 1 || of.is_dir()).then(|| (of.atime(), of.atime_nsec()));
        let times = |of: &fs::Metadata| (of.mtime(), of.mtime_nsec(), accessed(of));
        for (stream, value) in streams(&from) {
            let beside = PathBuf::from(format!("{}:{stream}", to.display()));
            assert_eq!(fs::read(&beside).unwrap(), value, "{beside:?}");
            left.retain(|other| Some(other.as_os_str()) != beside.file_name());
        }
        assert_eq!(times(&got), times(&expected), "{to:?}");
        if expected.is_dir() {
            compared += compare(&from, &to);
        } else if expected.is_symlink() {
            assert_eq!(fs::read_link(&to).unwrap(), fs::read_link(&from).unwrap());
        } else {
            assert_eq!((got.len(), got.nlink()), (expected.len(), expected.nlink()), "{to:?}");
            assert_eq!(sha256(&fs::read(&to).unwrap()), sha256(&fs::read(&from).unwrap()), "{to:?}");
            compared += 1;
        }
    }
    assert_eq!(left, [""; 0], "{copy:?}");
    compared
}

fn streams(path: &Path) -> Vec<(String, Vec<u8>)> {
    let names = xattr::list(path).unwrap().filter_map(|name| name.to_str().map(str::to_owned));
    let streams = names.filter_map(|name| name.strip_prefix("user.").map(str::to_owned));
    streams.map(|name| (name.clone(), xattr::get(path, format!("user.{name}")).unwrap().unwrap())).collect()
}

#[test]
fn copy_of_a_volume_is_what_ntfs_3g_shows() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 64 << 20, 512, 4096);
    fill(&Ntfs3g::mount(&image, "compression").folder, 4096);
    let dest = folder.path().join("copy");
    let oracle = Ntfs3g::mount(&image, "ro,noatime");
    let (code, err) = cp(&["-r", "--streams=files"], &image, "p1/.", &dest);
    // In the destination's directory only what the volume has.
    assert_eq!((code, &*err), (0, ""));
    assert!(compare(&oracle.folder, &dest) > 3000);
    let sparse = fs::metadata(dest.join("sparse.bin")).unwrap();
    assert!(sparse.blocks() * 512 < 200_000, "{}", sparse.blocks());
    // Again over it: each file is replaced by the same.
    let (code, err) = cp(&["-rf", "--streams=files"], &image, "p1/.", &dest);
    assert_eq!((code, &*err), (0, ""));
    assert!(compare(&oracle.folder, &dest) > 3000);

    // As attributes: what the host cannot hold is reported, the rest is there.
    let second = folder.path().join("second");
    let (code, err) = cp(&["-a"], &image, "p1/.", &second);
    let small = second.join("streams");
    assert_eq!(xattr::get(&small, "user.small").unwrap().unwrap(), b"a stream");
    if xattr::get(&small, "user.Large Ü").unwrap().is_none() {
        assert!(code == 4 && err.contains("streams:Large Ü") && err.contains("--streams=files"), "{err}");
    }
    let attributes = |path: &Path| xattr::get(path, "system.ntfs_attrib").unwrap().unwrap();
    for name in ["compressed", "compressed/text", "resident.txt"] {
        let kept = xattr::get(second.join(name), "user.ntfs_attrib").unwrap().unwrap();
        assert_eq!(kept, attributes(&oracle.folder.join(name)), "{name}");
        let created = xattr::get(second.join(name), "user.ntfs_crtime").unwrap().unwrap();
        assert_eq!(created, xattr::get(oracle.folder.join(name), "system.ntfs_crtime").unwrap().unwrap());
    }
}

/// A volume with names that ntfs-3g would not make: characters of the private use area stand for others, which take their
/// places afterwards.
fn hostile(folder: &Path) -> PathBuf {
    let image = make(folder, 16 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "rw");
        let root = mounted.folder.join("tree");
        fs::create_dir(&root).unwrap();
        for (name, content) in [
            ("\u{e001}\u{e001}", "parent"),
            ("\u{e001}", "self"),
            ("\u{e001}\u{e001}\u{e003}\u{e001}\u{e001}\u{e003}escaped", "relative"),
            ("\u{e003}escaped", "absolute"),
            ("nul\u{e004}byte", "nul"),
            ("twice\u{e005}", "one"),
            ("twicea", "two"),
        ] {
            fs::write(root.join(name), content).unwrap();
        }
        // A link and a directory of one name, in both orders of the alphabet.
        symlink(folder.join("outside"), root.join("link\u{e005}")).unwrap();
        fs::create_dir(root.join("linka")).unwrap();
        fs::write(root.join("linka/escaped"), "through").unwrap();
        symlink(folder.join("outside"), root.join("knila")).unwrap();
        fs::create_dir(root.join("knil\u{e005}")).unwrap();
        fs::write(root.join("knil\u{e005}/escaped"), "through").unwrap();
    }
    let mut bytes = fs::read(&image).unwrap();
    for unit in bytes.as_chunks_mut::<2>().0 {
        *unit = match u16::from_le_bytes(*unit) {
            0xe001 => [b'.', 0],
            0xe003 => [b'/', 0],
            0xe004 => [0, 0],
            0xe005 => [b'a', 0],
            _ => *unit,
        };
    }
    fs::write(&image, bytes).unwrap();
    image
}

#[test]
fn hostile_names_and_links_stay_inside() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = hostile(folder.path());
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for (option, dest) in [("-r", "one"), ("-rf", "two")] {
        let dest = folder.path().join(dest);
        let (code, err) = cp(&[option], &image, "p1/tree", &dest);
        assert_eq!(code, 4, "{err}");
        assert!(!folder.path().join("escaped").exists() && !Path::new("/escaped").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{err}");
        let read = |name: &str| fs::read_to_string(dest.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read(r"\x2e\x2e"), "parent");
        assert_eq!(read(r"\x2e"), "self");
        assert_eq!(read(r"..\x2f..\x2fescaped"), "relative");
        assert_eq!(read(r"\x2fescaped"), "absolute");
        assert_eq!(read(r"nul\x00byte"), "nul");
        // Of two with one name the first stays, and the other is reported.
        assert!(["one", "two"].contains(&&*read("twicea")));
        for name in ["twicea", "linka", "knila"] {
            assert!(err.contains(name), "{name}: {err}");
        }
        assert_eq!(read("linka/escaped"), "through");
        assert_eq!(read("knila/escaped"), "through");
    }
}

#[test]
fn damaged_files_are_listed_and_the_rest_is_copied() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 16 << 20, 512, 4096);
    {
        let mounted = Ntfs3g::mount(&image, "compression");
        fs::create_dir(mounted.folder.join("files")).unwrap();
        for number in 0..40 {
            let name = mounted.folder.join(format!("files/number {number:02}"));
            fs::write(name, noise(3000 + number, number as u64)).unwrap();
        }
        symlink("number 01", mounted.folder.join("files/link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            mounted.folder.join("files/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    }
    let mut bytes = fs::read(&image).unwrap();
    for number in [7, 23] {
        let name: Vec<u8> = format!("number {number:02}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for record in bytes.chunks_mut(1024).filter(|record| record.starts_with(b"FILE")) {
            if record.windows(name.len()).any(|part| part == name)
                && !record.windows(10).any(|p| p == b"f\0i\0l\0e\0s\0")
            {
                record[510] ^= 0xff;
            }
        }
    }
    fs::write(&image, bytes).unwrap();
    let dest = folder.path().join("copy");
    let (code, err) = cp(&["-r"], &image, "p1/files", &dest);
    assert_eq!(code, 4, "{err}");
    for part in ["number 07", "number 23", "pipe: a named pipe", "3 entries could not be copied"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    for number in 0..40_u64 {
        let copied = fs::read(dest.join(format!("number {number:02}")));
        match number {
            7 | 23 => assert!(copied.is_err()),
            _ => assert!(copied.unwrap() == noise(3000 + usize::try_from(number).unwrap(), number)),
        }
    }
    assert!(dest.join("link").is_symlink() && !dest.join("pipe").exists());
}
