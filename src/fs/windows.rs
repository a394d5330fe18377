//! Locations of files in a Windows installation. Their content is not parsed here.

use std::sync::Arc;

use super::{FileSystem, NameBuf, NodeId};
use crate::bytes::ByteSource;

/// Windows' folder; Windows 2000 used another name.
const FOLDERS: [&str; 2] = ["Windows", "WINNT"];

/// What the files of a hive's logs end with, in the order in which Windows uses them.
pub const LOGS: [&str; 3] = [".LOG", ".LOG1", ".LOG2"];

/// A registry hive and its transaction logs.
pub struct HiveFiles {
    /// The hive.
    pub hive: Arc<dyn ByteSource>,
    /// Those of its logs that are there and hold anything, in Windows' order.
    pub logs: Vec<Arc<dyn ByteSource>>,
}

/// The registry hive `SYSTEM` of the Windows that is installed on `fs`; `None` if there is none that can be opened.
pub fn system_hive(fs: &dyn FileSystem) -> Option<HiveFiles> {
    FOLDERS.iter().find_map(|folder| hive(fs, &[folder, "System32", "config", "SYSTEM"]))
}

/// The folder of the Windows that is installed on `fs`, by its name in the root; `None` without one that has a hive `SYSTEM`.
pub fn folder(fs: &dyn FileSystem) -> Option<&'static str> {
    FOLDERS.into_iter().find(|folder| find(fs, &[folder, "System32", "config", "SYSTEM"]).is_some())
}

/// The file or folder at a path from the root.
pub fn find(fs: &dyn FileSystem, path: &[&str]) -> Option<NodeId> {
    path.iter().try_fold(fs.root(), |folder, part| {
        fs.lookup(folder, NameBuf::literal(part).as_name()).ok().flatten()
    })
}

/// A hive by its path from the root, with its logs.
pub fn hive(fs: &dyn FileSystem, path: &[&str]) -> Option<HiveFiles> {
    let (name, folders) = path.split_last()?;
    hive_in(fs, find(fs, folders)?, name)
}

/// A hive by its name in a folder, with its logs.
pub fn hive_in(fs: &dyn FileSystem, folder: NodeId, name: &str) -> Option<HiveFiles> {
    let hive = open(fs, folder, name)?;
    let logs = LOGS.iter().filter_map(|suffix| open(fs, folder, &format!("{name}{suffix}")));
    Some(HiveFiles { hive, logs: logs.filter(|log| log.size() > 0).collect() })
}

fn open(fs: &dyn FileSystem, folder: NodeId, name: &str) -> Option<Arc<dyn ByteSource>> {
    let node = fs.lookup(folder, NameBuf::literal(name).as_name()).ok()??;
    let opened = fs.open(node);
    opened.inspect_err(|error| log::warn!("the file {name} of the registry cannot be opened: {error}")).ok()
}
