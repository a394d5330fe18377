//! What is more, or less, than a file with its content: cloud files, links of the first WSL, streams of directories;
//! written through ntfs-3g, read through a real mount.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use super::{Ntfs3g, make, metadata::set};
use crate::support::{demo::vhdmount, have, have_fuse, run, scratch, tool};

const CLOUD: u32 = 0x9000_601a;

/// A mount of one volume, which ends with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, options: &str) -> Self {
        let at = image.with_extension("ours");
        fs::create_dir_all(&at).unwrap();
        run(vhdmount().args(["-p", "1", "-o", options]).arg(image).arg(&at));
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = vhdmount().arg("-u").arg(&self.0).output();
    }
}

fn point(tag: u32, data: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &u16::try_from(data.len()).unwrap().to_le_bytes(), &[0; 2], data].concat()
}

fn volume(folder: &Path, fill: impl FnOnce(&Path)) -> PathBuf {
    let image = make(folder, 16 << 20, 512, 4096);
    fill(&Ntfs3g::mount(&image, "rw,special_files=wsl").folder);
    image
}

#[test]
fn cloud_files_are_read_only_when_they_are_whole() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = volume(folder.path(), |root| {
        let make = |name: &str, content: &[u8]| {
            fs::write(root.join(name), content).unwrap();
            root.join(name)
        };
        let whole = make("whole", &[7; 10_000]);
        let small = make("small", b"in its record");
        let offline = make("offline", &[7; 10_000]);
        let placeholder = make("placeholder", b"");
        fs::File::options().write(true).open(&placeholder).unwrap().set_len(100_000).unwrap();
        let part = make("part", &[7; 65_536]);
        fs::File::options().write(true).open(&part).unwrap().set_len(1 << 20).unwrap();
        set(&whole, "user.stream", b"local");
        set(&offline, "user.stream", b"local");
        set(&offline, "system.ntfs_attrib_be", &0x1020_u32.to_be_bytes());
        let inside = root.join("folder");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("file"), b"not in the cloud").unwrap();
        for path in [whole, small, offline, placeholder, part, inside] {
            set(&path, "system.ntfs_reparse_data", &point(CLOUD, b"FeRp"));
        }
    });
    let mounted = Mounted::new(&image, "ro");
    let at = |name: &str| mounted.0.join(name);
    assert_eq!(fs::read(at("whole")).unwrap(), [7; 10_000]);
    assert_eq!(fs::read(at("small")).unwrap(), b"in its record");
    for (name, size) in [("offline", 10_000), ("placeholder", 100_000), ("part", 1 << 20)] {
        assert_eq!(fs::symlink_metadata(at(name)).unwrap().size(), size, "{name}");
        assert_eq!(fs::read(at(name)).map_err(|error| error.kind()), Err(ErrorKind::Unsupported), "{name}");
    }
    for name in ["whole", "offline"] {
        assert_eq!(xattr::get(at(name), "user.stream").unwrap().unwrap(), b"local", "{name}");
    }
    assert_eq!(fs::read(at("folder/file")).unwrap(), b"not in the cloud");
    let why = vhdmount().arg("cat").arg(&image).arg("p1/placeholder").output().unwrap();
    assert!(String::from_utf8_lossy(&why.stderr).contains("cloud"), "{why:?}");
}

#[test]
fn special_files_of_wsl_are_what_they_are() {
    if !have(&["mkntfs", "ntfs-3g"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = volume(folder.path(), |root| {
        let special = |name: &str, content: &str, tag, data: &[u8]| {
            fs::write(root.join(name), content).unwrap();
            set(&root.join(name), "system.ntfs_reparse_data", &point(tag, data));
        };
        fs::write(root.join("target"), b"reached").unwrap();
        special("first", "target", 0xa000_001d, b"\x02\0\0\0version 1 has nothing here");
        special("second", "", 0xa000_001d, &[&2_u32.to_le_bytes()[..], b"target"].concat());
        drop(UnixListener::bind(root.join("socket")).unwrap());
        run(tool("mkfifo").arg(root.join("fifo")));
        let alias: Vec<u8> =
            "Pkg\0Pkg!App\0C:\\Apps\\a.exe\0@\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        special("alias.exe", "", 0x8000_001b, &[&3_u32.to_le_bytes()[..], &alias].concat());
    });
    // ntfs-3g takes links of version 2 alone.
    let mut bytes = fs::read(&image).unwrap();
    let text = b"\x02\0\0\0version 1 has nothing here";
    let version = bytes.windows(text.len()).position(|window| window == text).unwrap();
    bytes[version] = 1;
    fs::write(&image, bytes).unwrap();
    let mounted = Mounted::new(&image, "ro");
    let at = |name: &str| mounted.0.join(name);
    for link in ["first", "second"] {
        assert_eq!(fs::read_link(at(link)).unwrap(), Path::new("target"), "{link}");
        assert_eq!(fs::read(at(link)).unwrap(), b"reached", "{link}");
    }
    let kind = |name| fs::symlink_metadata(at(name)).unwrap().file_type();
    assert!(kind("socket").is_socket() && kind("fifo").is_fifo());
    assert!(kind("alias.exe").is_file());
    assert!(fs::read(at("alias.exe")).is_err());
    assert_eq!(xattr::get(at("alias.exe"), "system.ntfs_app_exec_link").unwrap().unwrap(), br"C:\Apps\a.exe");
}

#[test]
fn directories_have_streams_as_files_have() {
    if !have(&["mkntfs", "ntfs-3g", "getfattr"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let long = vec![b'x'; 60_000];
    let image = volume(folder.path(), |root| {
        fs::create_dir(root.join("folder")).unwrap();
        set(&root.join("folder"), "user.first", b"1");
        set(&root.join("folder"), "user.long", &long);
        set(root, "user.of the root", b"root");
    });
    let theirs = {
        let mounted = Ntfs3g::mount(&image, "ro");
        let dump = |name: &str| run(tool("getfattr").args(["-d", name]).current_dir(&mounted.folder)).stdout;
        (dump("folder"), dump("."))
    };
    let mounted = Mounted::new(&image, "ro");
    let dump = |name: &str| run(tool("getfattr").args(["-d", name]).current_dir(&mounted.0)).stdout;
    assert_eq!((dump("folder"), dump(".")), theirs);
    assert_eq!(fs::read(mounted.0.join("folder:first")).unwrap(), b"1");
    assert_eq!(fs::read(mounted.0.join("folder:long:$DATA")).unwrap(), long);
    assert_eq!(fs::read(mounted.0.join(".:of the root")).unwrap(), b"root");
    assert!(fs::read(mounted.0.join("folder:none")).is_err());
    drop(mounted);
    let none = Mounted::new(&image, "streams_interface=none");
    assert!(run(tool("getfattr").args(["-d", "folder"]).current_dir(&none.0)).stdout.is_empty());
    assert_eq!(fs::read(none.0.join("folder:first")).unwrap(), b"1");
}
