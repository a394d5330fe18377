//! Compressed chunks made by wimlib: a resource of a WIM file (MS-WIM; not the "solid" kind) has exactly the layout of a
//! stream `WofCompressedData`.

use std::{collections::BTreeMap, fs, path::Path};

use super::{run, tool};

const COMPRESSED: u8 = 4;
const METADATA: u8 = 2;
const ENTRY: usize = 50;

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Captures `folder` into `wim`; returns the stored form of each distinct content by its uncompressed size, so the sizes
/// in the folder must differ. `None`: wimlib stored it uncompressed.
pub(crate) fn capture(
    folder: &Path,
    wim: &Path,
    method: &str,
    chunk: usize,
) -> BTreeMap<usize, Option<Vec<u8>>> {
    let _ = fs::remove_file(wim);
    run(tool("wimcapture").arg(folder).arg(wim).args([
        "--no-acls",
        &format!("--compress={method}"),
        &format!("--chunk-size={chunk}"),
    ]));
    let file = fs::read(wim).unwrap();
    assert_eq!(&file[..8], b"MSWIM\0\0\0");
    assert_eq!(number(&file[20..24]), chunk as u64, "wimlib chose another size of chunk");
    // Size in 7 bytes, flags, offset, uncompressed size.
    let resource = |header: &[u8]| {
        let (size, start) = (number(&header[..7]), number(&header[8..16]));
        let range = usize::try_from(start).unwrap()..usize::try_from(start + size).unwrap();
        (header[7], range, usize::try_from(number(&header[16..24])).unwrap())
    };
    let (_, table, _) = resource(&file[48..72]);
    let entries = file[table].chunks_exact(ENTRY).map(resource);
    let files = entries.filter(|(flags, ..)| flags & METADATA == 0);
    files
        .map(|(flags, range, size)| (size, (flags & COMPRESSED != 0).then(|| file[range].to_vec())))
        .collect()
}

/// The stream `WofCompressedData` for captured content. If wimlib stored it uncompressed, so are all its chunks.
pub(crate) fn wof_stream(captured: Option<Vec<u8>>, content: &[u8], chunk: usize) -> Vec<u8> {
    captured.unwrap_or_else(|| {
        let offsets = (chunk..content.len()).step_by(chunk).map(|at| u32::try_from(at).unwrap());
        [&offsets.flat_map(u32::to_le_bytes).collect::<Vec<_>>()[..], content].concat()
    })
}

/// The methods of WOF: wimlib's name, size of a chunk, number in the reparse point.
pub(crate) const WOF: [(&str, usize, u32); 4] =
    [("XPRESS", 4096, 0), ("LZX", 32768, 1), ("XPRESS", 8192, 2), ("XPRESS", 16384, 3)];

/// The reparse point of a file compressed by WOF.
pub(crate) fn wof_reparse_point(algorithm: u32) -> Vec<u8> {
    [0x8000_0017, 16, 1, 2, 1, algorithm].map(u32::to_le_bytes).concat()
}
