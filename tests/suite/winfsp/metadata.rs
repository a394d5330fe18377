//! What is reported of a file: times, attributes, descriptors, extended attributes, links and streams, as ntfs-3g returns them
//! from the same volume.

use std::{fs, path::Path};

use vhdmount::{
    bytes::ByteSource,
    image::{Image, OpenOptions},
};

use super::{
    mounted_demo,
    rights::{access, option},
    volume::{How, Refused, Volume},
    wire::{Status, attribute, utf16},
};
use crate::{
    ntfs::{
        Ntfs3g, make,
        metadata::{descriptor, junction, set, theirs},
    },
    support::{
        demo::{manifest, unpack},
        have, have_fuse, scratch, sha256,
    },
};

const SYMLINK: u32 = 0xA000_000C;
const LINK_ITSELF: u32 = option::OPEN_REPARSE_POINT;

/// A relative symbolic link of Windows.
fn symlink(target: &str) -> Vec<u8> {
    let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let len = u16::try_from(name.len()).unwrap();
    let fields = [12 + 2 * len, 0, 0, len, len, len].map(u16::to_le_bytes).concat();
    [&SYMLINK.to_le_bytes()[..], &fields, &1_u32.to_le_bytes(), &name, &name].concat()
}

/// One of everything that a file can have.
fn fill(root: &Path) {
    let file = |name: &str| {
        let path = root.join(name);
        fs::write(&path, name).unwrap();
        path
    };
    fs::create_dir_all(root.join("folder/deeper")).unwrap();
    fs::create_dir(root.join("compressed")).unwrap();
    set(&root.join("compressed"), "system.ntfs_attrib_be", &[0, 0, 8, 0x10]);
    file("compressed/inside");
    for (name, bits) in
        [("hidden", 2_u32), ("system", 4), ("read-only", 0x21), ("none", 0), ("offline", 0x1000)]
    {
        set(&file(name), "system.ntfs_attrib", &bits.to_ne_bytes());
    }
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    let times = [
        130_000_000_000_000_001_u64,
        131_000_000_000_000_002,
        132_000_000_000_000_003,
        133_000_000_000_000_004,
    ];
    set(&file("times"), "system.ntfs_times", &times.map(u64::to_le_bytes).concat());
    // On disk the last one names the end, too.
    let first = b"\x10\0\0\0\0\x03\x04\0FOO\0bar!";
    let second = b"\x10\0\0\0\x80\x05\x01\0OTHER\0!\0";
    set(&file("ea"), "system.ntfs_ea", &[&first[..], second].concat());
    set(&file("acl"), "system.ntfs_acl", &descriptor(0x12_0089));
    // No account here has this SID.
    let mut unknown = descriptor(0x1f_01ff);
    let sid = unknown.len() - 12;
    unknown[sid..].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 5, 0x39, 0x30, 0, 0]);
    set(&file("strangers"), "system.ntfs_acl", &unknown);
    set(&file("link"), "system.ntfs_reparse_data", &symlink(r"folder\target"));
    set(&file("nowhere"), "system.ntfs_reparse_data", &symlink("gone"));
    set(&file("circle"), "system.ntfs_reparse_data", &symlink("circle"));
    file("folder/target");
    fs::create_dir(root.join("junction")).unwrap();
    set(&root.join("junction"), "system.ntfs_reparse_data", &junction(r"\??\C:\folder", r"C:\folder"));
    fs::create_dir(root.join("away")).unwrap();
    set(&root.join("away"), "system.ntfs_reparse_data", &junction(r"\??\Q:\elsewhere", r"Q:\elsewhere"));
    let streams = file("streams");
    (0..40).for_each(|i| set(&streams, &format!("user.stream {i:02}"), format!("{i}").repeat(i).as_bytes()));
    set(&root.join("folder"), "user.of a folder", b"yes");
}

/// A volume with all that, mounted here by ntfs-3g and there by the command.
fn both(options: &[&str]) -> Option<(Volume, Ntfs3g, tempfile::TempDir)> {
    if !have(&["mkntfs", "ntfs-3g", "getfattr"]) || !have_fuse() {
        return None;
    }
    let folder = scratch();
    let image = make(folder.path(), 8 << 20, 512, 4096);
    fill(&Ntfs3g::mount(&image, "compression").folder);
    let volume = Volume::mount(&image, options)?;
    Some((volume, Ntfs3g::mount(&image, "ro"), folder))
}

/// Every entry below the volume: where ntfs-3g has it, and where the mount does.
fn entries(volume: &Volume, oracle: &Ntfs3g) -> Vec<(std::path::PathBuf, String)> {
    let walked = volume.walk(r"\p1").into_iter();
    let paths: Vec<_> = walked
        .map(|(path, _)| (oracle.folder.join(path[3..].replace('\\', "/")), format!("\\{path}")))
        .collect();
    assert!(paths.len() > 20, "{}", paths.len());
    paths
}

fn itself(access: u32) -> How {
    How { access, options: LINK_ITSELF, ..How::default() }
}

#[test]
fn times_and_attributes_are_those_of_the_disk() {
    /// READONLY, HIDDEN, SYSTEM, DIRECTORY, ARCHIVE, TEMPORARY, REPARSE_POINT, OFFLINE, NOT_CONTENT_INDEXED.
    const SHOWN: u32 = 0x3537;
    const NORMAL: u32 = 0x80;
    let Some((volume, oracle, _folder)) = both(&[]) else { return };
    for (here, there) in entries(&volume, &oracle) {
        let info = volume.open_as(&there, itself(access::READ_ATTRIBUTES)).unwrap().info;
        let stored = u32::from_ne_bytes(theirs(&here, "system.ntfs_attrib").unwrap().try_into().unwrap());
        let shown = if stored & SHOWN == 0 { NORMAL } else { stored & SHOWN };
        assert_eq!(info.attributes, shown, "{there}: {stored:x}");
        assert_eq!(info.reparse_tag != 0, stored & attribute::REPARSE_POINT != 0, "{there}");
        let times = theirs(&here, "system.ntfs_times").unwrap();
        let [born, written, read, changed] =
            [0, 1, 2, 3].map(|i| u64::from_le_bytes(times[i * 8..i * 8 + 8].try_into().unwrap()));
        assert_eq!(info.times, [born, read, written, changed], "{there}");
    }
}

/// Flags, name and value of each `FILE_FULL_EA_INFORMATION`. What is asked for by a request ends with an entry that names
/// no next one.
fn ea_entries(bytes: &[u8], on_disk: bool) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let entry = &bytes[at..];
        let next = usize::try_from(u32::from_le_bytes(entry[..4].try_into().unwrap())).unwrap();
        let (name, value) = (usize::from(entry[5]), usize::from(u16::from_le_bytes([entry[6], entry[7]])));
        let (name, rest) = entry[8..].split_at(name);
        assert_eq!((rest[0], next % 4), (0, 0));
        entries.push((entry[4], name.to_vec(), rest[1..=value].to_vec()));
        let is_last = entry.len() - (8 + name.len() + 1 + value) < 4;
        assert!(on_disk || (next == 0) == is_last, "{bytes:02x?}");
        if next == 0 {
            break;
        }
        at += next;
    }
    entries
}

#[test]
fn extended_attributes_are_those_of_the_disk() {
    let Some((volume, oracle, _folder)) = both(&[]) else { return };
    let mut with = Vec::new();
    for (here, there) in entries(&volume, &oracle) {
        let file = volume.open_as(&there, itself(access::GENERIC_READ)).unwrap();
        let stored = theirs(&here, "system.ntfs_ea").unwrap_or_default();
        assert_eq!(file.info.ea_size != 0, !stored.is_empty(), "{there}");
        // None is an error of its own, or nothing.
        let reported = file.eas().unwrap_or_default();
        assert_eq!(ea_entries(&reported, false), ea_entries(&stored, true), "{there}");
        with.extend(ea_entries(&reported, false));
    }
    let expected: [(u8, &[u8], &[u8]); 2] = [(0, b"FOO", b"bar!"), (0x80, b"OTHER", b"!")];
    assert_eq!(with, expected.map(|(flags, name, value)| (flags, name.to_vec(), value.to_vec())));
}

#[test]
fn native_descriptors_are_those_of_the_disk_when_asked_for() {
    let Some((volume, oracle, _folder)) = both(&["--acls"]) else { return };
    let mut refused = Vec::new();
    for (here, there) in entries(&volume, &oracle) {
        let file = match volume.open_as(&there, itself(access::READ_CONTROL)) {
            Ok(file) => file,
            Err(why) => {
                refused.push((there, why));
                continue;
            }
        };
        assert_eq!(file.security().unwrap(), theirs(&here, "system.ntfs_acl").unwrap(), "{there}");
    }
    // Access is checked: the file of strangers has a descriptor that grants us nothing.
    let strangers = (r"\p1\strangers".to_owned(), Refused::Error(Status::ACCESS_DENIED));
    assert!(refused.is_empty() || refused == [strangers], "{refused:?}");
    let read = volume.open_as(r"\p1\strangers", How::access(access::READ_DATA)).map(drop);
    assert_eq!(read, Err(Refused::Error(Status::ACCESS_DENIED)));
    assert!(volume.open(r"\p1\acl").unwrap().content().is_ok());
}

#[test]
fn without_them_everybody_may_read_everything() {
    let Some((volume, oracle, _folder)) = both(&[]) else { return };
    for (_, there) in entries(&volume, &oracle) {
        let file = volume
            .open_as(&there, itself(access::GENERIC_READ))
            .unwrap_or_else(|why| panic!("{there}: {why:?}"));
        Descriptor::parse(&file.security().unwrap(), &there);
    }
    assert_eq!(volume.open(r"\p1\strangers").unwrap().content().unwrap(), b"strangers");
}

/// A look into a self-relative `SECURITY_DESCRIPTOR` (MS-DTYP 2.4.6): everything it refers to lies in it.
struct Descriptor;

impl Descriptor {
    fn parse(bytes: &[u8], what: &str) {
        const SELF_RELATIVE: u16 = 0x8000;
        let at =
            |at: usize| usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
        assert_eq!(bytes[0], 1, "{what}");
        assert_ne!(u16::from_le_bytes([bytes[2], bytes[3]]) & SELF_RELATIVE, 0, "{what}");
        for sid in [at(4), at(8)] {
            assert!(
                sid >= 20 && bytes[sid] == 1 && sid + 8 + 4 * usize::from(bytes[sid + 1]) <= bytes.len(),
                "{what}"
            );
        }
        let list = at(16);
        let size = usize::from(u16::from_le_bytes([bytes[list + 2], bytes[list + 3]]));
        assert!(list >= 20 && list + size <= bytes.len(), "{what}");
    }
}

#[test]
fn reparse_points_are_those_of_the_disk() {
    let Some((volume, oracle, _folder)) = both(&[]) else { return };
    let mut with = 0;
    for (here, there) in entries(&volume, &oracle) {
        let file = volume.open_as(&there, itself(access::READ_ATTRIBUTES)).unwrap();
        match theirs(&here, "system.ntfs_reparse_data") {
            Some(data) => {
                assert_eq!(file.reparse_point().unwrap(), data, "{there}");
                assert_eq!(file.info.reparse_tag.to_le_bytes(), data[..4], "{there}");
                with += 1;
            }
            None => assert_eq!(file.reparse_point(), Err(Status::NOT_A_REPARSE_POINT), "{there}"),
        }
    }
    assert_eq!(with, 5);
}

/// Where a path leads that goes through links, as the driver goes on.
fn follow(volume: &Volume, path: &str) -> Result<String, Status> {
    let mut path = path.to_owned();
    for _ in 0..32 {
        match volume.open_as(&path, How::default()) {
            Ok(_) => return Ok(path),
            Err(Refused::Error(status)) => return Err(status),
            Err(Refused::Elsewhere { tag: 0, data }) => path = String::from_utf16(&utf16(&data)).unwrap(),
            Err(Refused::Elsewhere { tag: SYMLINK, data }) => {
                let u16_at = |at: usize| usize::from(u16::from_le_bytes([data[at], data[at + 1]]));
                let name = &data[20 + u16_at(8)..][..u16_at(10)];
                path = String::from_utf16(&utf16(name)).unwrap();
                // Without the flag it is a path of the system, not of the volume.
                assert_eq!(data[16], 1, "{path} is not on the volume");
            }
            Err(elsewhere) => panic!("{path}: {elsewhere:?}"),
        }
        assert!(path.starts_with('\\') && !path.starts_with(r"\??\"), "{path}");
    }
    panic!("{path} leads nowhere")
}

#[test]
fn links_lead_to_their_targets_inside_the_mount() {
    let Some((volume, _oracle, _folder)) = both(&[]) else { return };
    for (path, target) in [
        (r"\p1\link", r"\p1\folder\target"),
        (r"\P1\LINK", r"\P1\folder\target"),
        (r"\p1\junction", r"\p1\folder"),
        (r"\p1\junction\target", r"\p1\folder\target"),
        (r"\p1\junction\deeper", r"\p1\folder\deeper"),
        (r"\p1\folder\target", r"\p1\folder\target"),
    ] {
        assert_eq!(follow(&volume, path).as_deref(), Ok(target), "{path}");
    }
    assert_eq!(follow(&volume, r"\p1\nowhere"), Err(Status::OBJECT_NAME_NOT_FOUND));
    assert_eq!(follow(&volume, r"\p1\junction\nothing"), Err(Status::OBJECT_NAME_NOT_FOUND));
    // Not a disk of this host.
    for path in [r"\p1\away", r"\p1\away\file", r"\p1\circle"] {
        assert!(follow(&volume, path).is_err(), "{path}");
    }
    assert!(volume.open_as(r"\p1\circle", itself(access::GENERIC_READ)).is_ok());
}

#[test]
fn links_of_the_demo_lead_where_they_do_on_this_system() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    for (path, target) in [
        (r"\p3\Users\Ada\Documents\Thesis.txt", r"\p3\Users\Ada\Documents\Thesis (final) v7.txt"),
        (r"\p3\Documents and Settings\Ada\Downloads\cat.jpg", r"\p3\Users\Ada\Downloads\cat.jpg"),
        (r"\p3\Users\All Users", r"\p3\ProgramData"),
    ] {
        assert_eq!(follow(&volume, path).as_deref(), Ok(target), "{path}");
    }
}

#[test]
fn streams_are_listed_and_read() {
    let Some((volume, oracle, _folder)) = both(&[]) else { return };
    let file = volume.open(r"\p1\streams").unwrap();
    let mut streams = file.streams().unwrap();
    assert_eq!(streams.remove(0), (String::new(), 7));
    assert_eq!(streams.len(), 40);
    for (name, size) in streams {
        let stream = volume.open(&format!(r"\p1\streams:{name}")).unwrap();
        assert_eq!((stream.info.file_size, stream.info.is_directory()), (size, false), "{name}");
        let theirs = theirs(&oracle.folder.join("streams"), &format!("user.{name}")).unwrap();
        assert_eq!(stream.content().unwrap(), theirs, "{name}");
    }
    // A folder has no stream without a name.
    let folder = volume.open(r"\p1\folder").unwrap();
    assert_eq!(folder.streams().unwrap(), [("of a folder".to_owned(), 3)]);
    assert_eq!(volume.open(r"\p1\folder:of a folder").unwrap().content().unwrap(), b"yes");
}

#[test]
fn streams_of_the_demo_are_those_of_the_manifest() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let mut found = Vec::new();
    for (path, entry) in volume.walk(r"\p3") {
        if entry.info.is_reparse_point() {
            continue;
        }
        for (name, size) in volume.open(&format!("\\{path}")).unwrap().streams().unwrap() {
            if name.is_empty() {
                assert_eq!(size, entry.info.file_size, "{path}");
                continue;
            }
            let path = format!("{path}:{name}");
            let content = volume.open(&format!("\\{path}")).unwrap().content().unwrap();
            found.push((path.replace('\\', "/"), size, sha256(&content)));
        }
    }
    let rows = manifest();
    let mut wanted: Vec<_> = rows
        .iter()
        .filter(|row| row.kind == "stream")
        .map(|row| (row.path.clone(), row.size, row.sha256.to_owned()))
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn one_partition_alone_is_the_volume_that_it_is() {
    let folder = scratch();
    let image = unpack(folder.path());
    let Some(volume) = Volume::mount(&image, &["-p", "3"]) else { return };
    let info = volume.info().unwrap();
    assert_eq!(info.label, "Windows");
    assert_eq!((volume.params.serial(), volume.params.file_system().as_str()), (0x2024_D15C, "NTFS"));
    assert!(info.free <= info.total, "{info:?}");
    assert!(volume.open(r"\Windows\explorer.exe").unwrap().content().is_ok());
}

#[test]
fn the_disks_size_is_what_it_can_really_hold() {
    let Some((volume, folder)) = mounted_demo(&[]) else { return };
    let info = volume.info().unwrap();
    let image = Image::open(&folder.path().join("demo.vhdx"), &OpenOptions::default()).unwrap();
    let virtual_size = image.disk().size();
    assert!(info.free <= info.total && info.total <= virtual_size, "{info:?} of {virtual_size}");
    assert_eq!(info.label, "demo");
    let params = &volume.params;
    assert_eq!((params.u16(0), params.u16(2), params.max_component()), (504, 512, 255));
    // Preserves case, Unicode, descriptors, reparse points, streams, extended attributes, read-only.
    let flags = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 9;
    assert_eq!(params.flags() & (flags | 1), flags, "{:x}", params.flags());
}
