//! Files compressed by WOF: their visible and hidden parts.

use super::*;
use crate::fs::{
    Stat, Streams, Xattrs,
    ntfs::{
        attributes::standard_information::{ATTRIBUTE_REPARSE_POINT, ATTRIBUTE_SPARSE_FILE},
        open_with,
    },
};

const CONTENT: &[u8] = b"stored raw, as it is too short to compress";

fn reparse(tag: u32, data: [u32; 4]) -> Vec<u8> {
    let mut point = [tag.to_le_bytes(), 16_u32.to_le_bytes()].concat();
    point.extend(data.iter().flat_map(|field| field.to_le_bytes()));
    resident(code::REPARSE_POINT, "", &point)
}

fn information(attributes: u32) -> Vec<u8> {
    let mut value = vec![0; 48];
    value[32..36].copy_from_slice(&attributes.to_le_bytes());
    resident(code::STANDARD_INFORMATION, "", &value)
}

/// The unnamed stream: one hole of three clusters.
fn hole(size: u64) -> Vec<u8> {
    non_resident(
        code::DATA,
        "",
        &Extent { vcns: 0..=2, pairs: &[0x01, 3, 0], size, valid: 0, flags: 0x8000, unit: 0 },
    )
}

fn with_streams(data: Vec<u8>, streams: &[(&str, &[u8])], algorithm: [u32; 4]) -> Image {
    let mut image = Image::new();
    let mut attributes = vec![information(ATTRIBUTE_SPARSE_FILE | ATTRIBUTE_REPARSE_POINT | 0x20), data];
    attributes.extend(streams.iter().map(|(name, value)| resident(code::DATA, name, value)));
    attributes.push(reparse(0x8000_0017, algorithm));
    image.file(&attributes);
    image
}

fn wof_file() -> Image {
    let streams: [(&str, &[u8]); 2] = [("Other", b"visible"), ("WofCompressedData", CONTENT)];
    with_streams(hole(CONTENT.len() as u64), &streams, [1, 2, 1, 0])
}

fn streams(volume: &Ntfs) -> Vec<String> {
    volume
        .streams()
        .list_streams(NodeId(FILE))
        .unwrap()
        .iter()
        .map(|stream| stream.name.to_string())
        .collect()
}

fn stream(volume: &Ntfs, name: &str) -> Option<NodeId> {
    volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal(name).as_name()).unwrap()
}

#[test]
fn content_comes_from_the_stream_and_all_else_looks_like_an_ordinary_file() {
    let volume = wof_file().open();
    assert_eq!(content(&volume).unwrap(), CONTENT);
    let Stat { size, allocated, attributes, .. } = volume.stat(NodeId(FILE)).unwrap();
    // The stream is resident in the record.
    assert_eq!((size, allocated, attributes), (CONTENT.len() as u64, 0, 0x20));
    assert_eq!(streams(&volume), ["Other"]);
    assert_eq!(volume.xattrs().xattr(NodeId(FILE), "ntfs.streams.list").unwrap().unwrap(), b"Other");
    assert_eq!(stream(&volume, "WofCompressedData"), None);
    assert_eq!(stream(&volume, "wofcompresseddata"), None);
    let other = stream(&volume, "Other").unwrap();
    assert_eq!(volume.open(other).unwrap().size(), 7);
    // The attributes of ntfs-3g return the stored data.
    let raw = volume.xattrs().xattr(NodeId(FILE), "system.ntfs_reparse_data").unwrap().unwrap();
    assert_eq!((raw.len(), &raw[..4]), (24, &[0x17, 0, 0, 0x80][..]));
    assert_eq!(volume.xattrs().xattr(NodeId(FILE), "system.ntfs_attrib").unwrap().unwrap(), [0x20, 6, 0, 0]);
}

#[test]
fn with_the_metadata_files_the_compressed_stream_shows() {
    let options = Options { show_system: true, ..Options::default() };
    let volume = open_with(Arc::new(MemorySource(wof_file().0)), &options).unwrap();
    assert_eq!(streams(&volume), ["Other", "WofCompressedData"]);
    let node = stream(&volume, "WofCompressedData").unwrap();
    assert_eq!(volume.open(node).unwrap().size(), CONTENT.len() as u64);
}

#[test]
fn a_stream_of_that_name_on_another_file_is_an_ordinary_stream() {
    let mut image = Image::new();
    image.file(&[resident(code::DATA, "", b"x"), resident(code::DATA, "WofCompressedData", b"y")]);
    let volume = image.open();
    assert_eq!(streams(&volume), ["WofCompressedData"]);
    assert_eq!(content(&volume).unwrap(), b"x");
    let streams: [(&str, &[u8]); 1] = [("WofCompressedData", CONTENT)];
    let unknown = with_streams(hole(5), &streams, [1, 2, 1, 4]).open();
    assert!(is_corrupt(content(&unknown)));
}

#[test]
fn an_empty_file_needs_no_stream_and_any_other_does() {
    let empty = with_streams(resident(code::DATA, "", b""), &[], [1, 2, 1, 1]).open();
    assert_eq!(content(&empty).unwrap(), b"");
    let missing = with_streams(hole(1), &[], [1, 2, 1, 1]).open();
    let error = content(&missing).unwrap_err();
    assert!(error.to_string().contains("no stream WofCompressedData"), "{error}");
    let sizeless = with_streams(resident(code::DATA, "x", b""), &[], [1, 2, 1, 1]).open();
    assert!(is_corrupt(content(&sizeless)));
}

#[test]
fn data_in_a_wim_file_is_refused_by_name() {
    let mut image = Image::new();
    let mut data = [1_u32, 1, 2, 0].iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<_>>();
    data.extend([7; 28]);
    let len = u32::try_from(data.len()).unwrap();
    let point = [&0x8000_0017_u32.to_le_bytes()[..], &len.to_le_bytes(), &data].concat();
    image.file(&[hole(10), resident(code::REPARSE_POINT, "", &point)]);
    let volume = image.open();
    let error = content(&volume).unwrap_err();
    assert!(matches!(&error, Error::Unsupported(_)) && error.to_string().contains("WIM"), "{error}");
    assert!(error.to_string().contains("no \\System Volume Information\\WimOverlay.dat"), "{error}");
    // As in Windows.
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().attributes & ATTRIBUTE_REPARSE_POINT, 0);
}
