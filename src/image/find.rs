//! Every VHD and VHDX below a folder, recognized by content. Symbolic links are not followed, so that nothing is found twice or
//! outside, and no walk is endless; what is neither file nor folder is not touched.

use std::{fs, io::ErrorKind, path::Path, path::PathBuf};

use crate::{
    Error, Result,
    bytes::ByteSource,
    container::{
        detect::{Detected, detect},
        open_file,
    },
    host::System,
};

/// Deeper than any path that Linux or Windows opens.
const MAX_DEPTH: usize = 2048;
/// Shorter than the shortest image: a VHD's footer.
const MIN_IMAGE: u64 = 512;

/// What a walk comes upon.
#[derive(Debug)]
pub enum Discovery {
    /// A VHD or VHDX, perhaps a damaged one.
    Image(PathBuf),
    /// A folder that cannot be listed, or a file that may be an image and cannot be read.
    Failed(PathBuf, Error),
}

/// Calls `sink` for every image below `folder`, which may itself be a symbolic link; in order of names.
pub fn find(folder: &Path, sink: &mut dyn FnMut(Discovery)) {
    let depth = folder.components().count();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        if folder.components().count() > depth + MAX_DEPTH {
            sink(Discovery::Failed(folder, Error::unsupported("nested too deeply: not looked into")));
            continue;
        }
        let entries = match entries(&folder) {
            Ok(entries) => entries,
            Err(error) if gone(&error) && pending.is_empty() => {
                sink(Discovery::Failed(folder, error));
                return;
            }
            // Removed since its parent was listed.
            Err(error) if gone(&error) => continue,
            Err(error) => {
                sink(Discovery::Failed(folder, error));
                continue;
            }
        };
        let mut folders = Vec::new();
        for (path, kind) in entries {
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                look_at(path, sink);
            }
        }
        // The last one pushed is the next one looked at.
        pending.extend(folders.into_iter().rev());
    }
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>> {
    let fail = |error| Error::io(folder.display().to_string(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if let Ok(kind) = entry.file_type() {
            found.push((entry.path(), kind));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn look_at(path: PathBuf, sink: &mut dyn FnMut(Discovery)) {
    match is_image(&path) {
        Ok(true) => sink(Discovery::Image(path)),
        Ok(false) => {}
        Err(error) if gone(&error) => {}
        Err(error) => sink(Discovery::Failed(path, error)),
    }
}

fn is_image(path: &Path) -> Result<bool> {
    // Before it is opened: files of /proc and the like have no length, and reading some of them has effects.
    let metadata = fs::metadata(path).map_err(|e| Error::io(path.display().to_string(), e))?;
    if !metadata.is_file() || metadata.len() < MIN_IMAGE {
        return Ok(false);
    }
    let source = open_file(path, &System)?;
    if source.size() < MIN_IMAGE {
        return Ok(false);
    }
    match detect(&source, &path.display().to_string()) {
        Ok(detected) => Ok(detected != Detected::Raw),
        Err(error @ (Error::Io { .. } | Error::Denied(_))) => Err(error),
        // Cut off or damaged, but meant to be one: opening it reports that.
        Err(Error::Corrupt(_)) => Ok(true),
        Err(_) => Ok(false),
    }
}

fn gone(error: &Error) -> bool {
    match error {
        Error::NotFound(_) => true,
        Error::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
    }
}
