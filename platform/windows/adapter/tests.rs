//! Tests of the adapter with the calls that WinFsp makes, on the disk of `vhdmount demo`.

use std::{collections::BTreeSet, io::Read, sync::Arc};

use flate2::read::GzDecoder;
use vhdmount::{
    bytes::MemorySource,
    image::{Image, OpenOptions},
};

use super::{info::attribute, records::DIR_INFO, *};

const READ: u32 = 0x0012_0089;
const OPEN: u32 = 1 << 24;

fn adapter(partition: Option<u32>, check_access: bool) -> Adapter {
    let mut disk = Vec::new();
    let packed = &include_bytes!("../../../demo/demo.vhdx.gz")[..];
    GzDecoder::new(packed).read_to_end(&mut disk).unwrap();
    let image = Image::open_source(Arc::new(MemorySource(disk)), &OpenOptions::default()).unwrap();
    let tree = image.tree(partition).unwrap();
    let face = Face::of(&tree, "demo");
    Adapter::new(Arc::new(tree), face, check_access)
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn open(adapter: &Adapter, path: &str) -> Answer<(Handle, Info)> {
    adapter.open(&units(path), OPEN, READ)
}

fn read(adapter: &Adapter, path: &str) -> Answer<Vec<u8>> {
    let (handle, info) = open(adapter, path)?;
    let mut content = vec![0; usize::try_from(info.size).unwrap()];
    let len = adapter.read(&handle, 0, &mut content)?;
    assert_eq!(len, content.len());
    assert_eq!(adapter.read(&handle, info.size, &mut [0]), Err(Status::END_OF_FILE));
    adapter.close(handle);
    Ok(content)
}

/// Names with their attributes, listed with a buffer of this length.
fn list(adapter: &Adapter, path: &str, len: usize) -> Vec<(String, u32)> {
    let (handle, _) = open(adapter, path).unwrap();
    let (mut entries, mut marker, mut buffer) = (Vec::new(), 0, vec![0; len]);
    loop {
        let used = adapter.list(&handle, marker, &mut buffer).unwrap();
        let mut rest = &buffer[..used];
        while let Some(size) = rest.first_chunk().map(|size| usize::from(u16::from_le_bytes(*size))) {
            if size == 0 {
                adapter.close(handle);
                return entries;
            }
            let name: Vec<u16> =
                rest[DIR_INFO..size].as_chunks().0.iter().map(|u| u16::from_le_bytes(*u)).collect();
            let attributes = u32::from_le_bytes(*rest[8..].first_chunk().unwrap());
            marker = u64::from_le_bytes(*rest[80..].first_chunk().unwrap());
            entries.push((String::from_utf16_lossy(&name), attributes));
            rest = &rest[size.next_multiple_of(8).min(rest.len())..];
        }
        assert_ne!(used, 0);
    }
}

#[test]
fn every_path_of_the_manifest_is_read_in_any_case() {
    let adapter = adapter(None, false);
    let manifest = include_str!("../../../demo/manifest.tsv");
    let mut files = 0;
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let &[volume, kind, size, _, path] = &line.split('\t').collect::<Vec<_>>()[..] else { continue };
        if kind != "file" {
            continue;
        }
        let path = format!("\\{volume}\\{}", path.replace('/', "\\"));
        let content = read(&adapter, &path).unwrap_or_else(|status| panic!("{path}: {:#x}", status.0));
        assert_eq!(content.len().to_string(), size, "{path}");
        assert!(read(&adapter, &path.to_ascii_uppercase()).unwrap() == content, "{path}");
        files += 1;
    }
    assert!(files > 3, "{files} files");
}

#[test]
fn listings_are_the_same_whatever_the_buffer() {
    let adapter = adapter(None, false);
    let whole = list(&adapter, "\\", 1 << 16);
    assert!(whole.iter().any(|(name, attributes)| name == "p3" && attributes & attribute::DIRECTORY != 0));
    assert!(whole.iter().all(|(name, _)| name != "." && name != ".vhdmount"));
    for path in ["\\", "\\p3", "\\P3\\Windows"] {
        let whole = list(&adapter, path, 1 << 16);
        assert_eq!(list(&adapter, path, 640), whole, "{path}");
        let names: BTreeSet<_> = whole.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), whole.len(), "{path}");
        assert_eq!(path != "\\", whole[0].0 == "." && whole[1].0 == "..", "{path}");
    }
    let (handle, _) = open(&adapter, "\\p3").unwrap();
    assert_eq!(adapter.list(&handle, 0, &mut [0; 8]), Err(Status::BUFFER_OVERFLOW));
}

#[test]
fn one_entry_has_the_name_that_is_stored() {
    let adapter = adapter(None, false);
    let (handle, _) = open(&adapter, "\\P3").unwrap();
    let (name, info) = adapter.entry(&handle, &units("wINDOWS")).unwrap();
    assert_eq!((name, info.attributes & attribute::DIRECTORY), (units("Windows"), attribute::DIRECTORY));
    assert_eq!(adapter.entry(&handle, &units("nope")).unwrap_err(), Status::OBJECT_NAME_NOT_FOUND);
}

#[test]
fn missing_names_and_missing_paths_differ() {
    let adapter = adapter(None, false);
    for (path, expected) in [
        ("\\nope", Status::OBJECT_NAME_NOT_FOUND),
        ("\\nope\\a", Status::OBJECT_PATH_NOT_FOUND),
        ("\\.capacity\\a", Status::OBJECT_PATH_NOT_FOUND),
        ("\\.capacity:stream", Status::OBJECT_NAME_NOT_FOUND),
    ] {
        assert_eq!(open(&adapter, path).err(), Some(expected), "{path}");
        assert_eq!(adapter.by_name(&units(path)).err(), Some(expected), "{path}");
    }
}

#[test]
fn nothing_is_opened_for_writing() {
    let adapter = adapter(None, false);
    let path = units("\\.capacity");
    for access in [2, 4, 0x10, 0x40, 0x100, 0x1_0000, 0x4_0000, 0x8_0000, 0x1000_0000, 0x4000_0000] {
        assert_eq!(
            adapter.open(&path, OPEN, READ | access).err(),
            Some(Status::MEDIA_WRITE_PROTECTED),
            "{access:#x}"
        );
    }
    for options in [0, 2 << 24, 4 << 24, 5 << 24, OPEN | 0x1000] {
        assert_eq!(
            adapter.open(&path, options, READ).err(),
            Some(Status::MEDIA_WRITE_PROTECTED),
            "{options:#x}"
        );
    }
    // An existing file may be opened with FILE_OPEN_IF.
    assert!(adapter.open(&path, 3 << 24, READ).is_ok());
}

#[test]
fn synthetic_files_are_there_and_never_cached() {
    let adapter = adapter(None, false);
    for path in ["\\.capacity", "\\.CAPACITY.json", "\\.vhdmount\\info.json"] {
        let (handle, info) = open(&adapter, path).unwrap();
        assert!(handle.is_volatile() && info.size > 100, "{path}");
        assert!(String::from_utf8(read(&adapter, path).unwrap()).is_ok());
    }
    assert!(!open(&adapter, "\\.vhdmount\\disk.raw").unwrap().0.is_volatile());
}

#[test]
fn aliases_are_links_to_directories() {
    let adapter = adapter(None, false);
    let listed = list(&adapter, "\\", 1 << 16);
    let esp = listed.iter().find(|(name, _)| name == "esp").unwrap();
    assert_eq!(esp.1, attribute::DIRECTORY | attribute::REPARSE_POINT);
    let (handle, info) = adapter.open(&units("\\esp"), OPEN | OPEN_REPARSE_POINT, READ).unwrap();
    assert_eq!(info.reparse_tag, reparse::TAG_SYMLINK);
    let point = adapter.reparse_point(&handle).unwrap();
    assert_eq!(adapter.link_at(&units("\\ESP")).unwrap(), point);
    // A path that continues after a link returns the link's position.
    let Ok(ByName::Link(start)) = adapter.by_name(&units("\\esp\\EFI")) else { panic!("no link") };
    assert_eq!(start, 1);
}

/// The target of a symbolic link's buffer.
fn target(point: &[u8]) -> String {
    let field = |at: usize| usize::from(u16::from_le_bytes([point[at], point[at + 1]]));
    let units =
        point[20 + field(8)..][..field(10)].as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
    String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_junction_shows_what_is_stored_and_leads_inside() {
    let adapter = adapter(None, false);
    let path = units("\\p3\\Documents and Settings");
    let (handle, info) = adapter.open(&path, OPEN | OPEN_REPARSE_POINT, READ).unwrap();
    assert_eq!((info.reparse_tag, info.size), (0xA000_0003, 0));
    assert_eq!(adapter.read(&handle, 0, &mut [0; 8]), Err(Status::INVALID_DEVICE_REQUEST));
    let stored = adapter.reparse_point(&handle).unwrap();
    assert_eq!(stored[..4], 0xA000_0003_u32.to_le_bytes());
    let text: Vec<u8> = r"C:\Users".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(stored.windows(text.len()).any(|part| part == text));
    assert_eq!(target(&adapter.link_at(&path).unwrap()), "Users");
    let behind = units("\\p3\\Documents and Settings\\Ada");
    let Ok(ByName::Link(start)) = adapter.by_name(&behind) else { panic!("no link") };
    assert_eq!(start, 4);
    assert_eq!(adapter.link_at(&behind), Err(Status::OBJECT_PATH_NOT_FOUND));
    assert_eq!(adapter.link_at(&units("\\p3\\Users")), Err(Status::NOT_A_REPARSE_POINT));
    assert_eq!(adapter.link_at(&units("\\p3\\nope")), Err(Status::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn streams_are_listed_and_read() {
    let adapter = adapter(None, false);
    let path = "\\p3\\Users\\Ada\\Downloads\\cat.jpg";
    let stream = read(&adapter, &format!("{path}:ZONE.identifier")).unwrap();
    assert!(stream.starts_with(b"[ZoneTransfer]"));
    assert_eq!(read(&adapter, &format!("{path}:Zone.Identifier:$DATA")).unwrap(), stream);
    let (handle, info) = open(&adapter, &format!("{path}:Zone.Identifier")).unwrap();
    assert_eq!((info.size, info.attributes & attribute::DIRECTORY), (stream.len() as u64, 0));
    let mut buffer = [0; 512];
    let len = adapter.streams(&handle, &mut buffer).unwrap();
    // The unnamed stream has an empty name: its record is as long as the fixed part.
    assert_eq!((buffer[0], buffer[24], len), (24, 24 + 30, 24 + 56 + 2));
    assert_eq!(adapter.streams(&handle, &mut buffer[..30]), Err(Status::BUFFER_OVERFLOW));
    assert_eq!(adapter.reparse_point(&handle), Err(Status::NOT_A_REPARSE_POINT));
    let (handle, _) = open(&adapter, path).unwrap();
    assert!(adapter.extended_attributes(&handle).unwrap().is_empty());
    assert_eq!(adapter.info(&handle).unwrap().ea_size, 0);
}

#[test]
fn descriptors_check_nothing_unless_asked_to() {
    let (relaxed, strict) = (adapter(None, false), adapter(None, true));
    for path in ["\\p3\\Windows", "\\.capacity", "\\"] {
        let descriptor = |adapter: &Adapter| match adapter.by_name(&units(path)) {
            Ok(ByName::Named(named)) => named.descriptor,
            _ => panic!("{path}"),
        };
        assert!(descriptor(&relaxed).is_empty() && security::is_sound(&descriptor(&strict)), "{path}");
        let (handle, _) = open(&relaxed, path).unwrap();
        assert_eq!(relaxed.descriptor(&handle).unwrap(), descriptor(&strict), "{path}");
    }
}

#[test]
fn a_volume_alone_is_the_root() {
    let adapter = adapter(Some(3), false);
    assert!(list(&adapter, "\\", 1 << 16).iter().any(|(name, _)| name == "Windows"));
    assert_eq!(adapter.face().filesystem, "NTFS");
    assert!(adapter.usage().unwrap().total > 0);
}
