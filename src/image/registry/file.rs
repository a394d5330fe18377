//! A hive that is a file of the host, with the logs beside it: they are opened because the user named the hive. Guard: regular files of
//! the same folder alone, links that lead out of it are not followed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, Result,
    bytes::{ByteSource, FileSource},
    container::open_file,
    fs::windows::LOGS,
    host::Host,
};

/// Entries of the folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// A hive of the host.
pub struct HiveFile {
    /// The hive.
    pub hive: Arc<dyn ByteSource>,
    /// Those of its logs that are there and hold anything, in Windows' order.
    pub logs: Vec<Arc<dyn ByteSource>>,
}

impl HiveFile {
    /// The hive at `path`; `None` if the file there is none. Its logs (`.LOG`, `.LOG1`, `.LOG2`) are found beside it in any case, as
    /// those of `NTUSER.DAT` are called `ntuser.dat.LOG1`.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path, host: &dyn Host) -> Result<Option<Self>> {
        // A device is no hive, and opening it twice could have an effect.
        if !path.is_file() {
            return Ok(None);
        }
        let hive = open_file(path, host)?;
        let mut magic = [0; 4];
        if hive.size() < 4096 {
            return Ok(None);
        }
        hive.read_exact_at(0, &mut magic)?;
        if magic != *b"regf" {
            return Ok(None);
        }
        Ok(Some(Self { hive: Arc::new(hive), logs: logs(path, host) }))
    }
}

fn logs(hive: &Path, host: &dyn Host) -> Vec<Arc<dyn ByteSource>> {
    let Some(name) = hive.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let folder = hive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = LOGS.iter().filter_map(|suffix| {
        let wanted = format!("{name}{suffix}");
        let path = beside(folder, &wanted)?;
        let opened = open(&path, folder, host);
        opened.inspect_err(|error| log::warn!("{}: a log of the hive: {error}", path.display())).ok()
    });
    opened.filter(|log| log.size() > 0).collect()
}

/// The file of this name in a folder, or else one whose name differs in case alone.
fn beside(folder: &Path, wanted: &str) -> Option<PathBuf> {
    let exact = folder.join(wanted);
    if exact.symlink_metadata().is_ok() {
        return Some(exact);
    }
    let entries = std::fs::read_dir(folder).ok()?.take(MAX_ENTRIES).flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| name.eq_ignore_ascii_case(wanted)).map(|name| folder.join(name))
}

fn open(path: &Path, folder: &Path, host: &dyn Host) -> Result<Arc<dyn ByteSource>> {
    let folder = folder.canonicalize().map_err(|error| Error::io(folder.display().to_string(), error))?;
    let is_beside = |real: &Path| real.parent() == Some(&folder);
    let opened = FileSource::open_guarded_with(path, &is_beside, &|real| host.open_parent(real))?;
    Ok(Arc::new(opened.file))
}
