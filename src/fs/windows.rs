//! Locations of files in a Windows installation. Their content is not parsed here.

use std::sync::Arc;

use super::{FileSystem, NameBuf};
use crate::bytes::ByteSource;

/// Windows 2000 used another folder name.
const SYSTEM_HIVES: [&[&str]; 2] =
    [&["Windows", "System32", "config", "SYSTEM"], &["WINNT", "System32", "config", "SYSTEM"]];

/// The registry hive `SYSTEM` of the Windows that is installed on `fs`; `None` if there is none that can be opened.
pub fn system_hive(fs: &dyn FileSystem) -> Option<Arc<dyn ByteSource>> {
    SYSTEM_HIVES.iter().find_map(|path| open(fs, path))
}

/// Opens a file by its path from the root.
fn open(fs: &dyn FileSystem, path: &[&str]) -> Option<Arc<dyn ByteSource>> {
    let mut node = fs.root();
    for part in path {
        node = fs.lookup(node, NameBuf::literal(part).as_name()).ok()??;
    }
    let opened = fs.open(node);
    opened
        .inspect_err(|error| log::warn!("the registry hive {} cannot be opened: {error}", path.join("/")))
        .ok()
}
