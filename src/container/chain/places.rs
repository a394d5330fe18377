//! The places that an image names for its parent: paths of Windows, or of Unix, found in a folder of the host.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::bounds::{Bounds, folder_of};
use crate::{bytes::windows_path, container::image::Linkage, host::Host};

/// Names that are read from one folder.
pub(super) const MAX_FOLDER_ENTRIES: usize = 100_000;

/// Parts of a path; Windows' longest have less than twice as many, in folders of one letter.
const MAX_PARTS: usize = 256;

/// Folders that are listed to find one path without regard to case.
const MAX_LISTED: usize = 32;

/// A place where the parent may be.
pub(super) struct Named {
    /// As it exists on the host.
    pub(super) path: PathBuf,
    /// As the image spells it: the host's spelling would say what exists.
    pub(super) shown: PathBuf,
}

/// Where the image says that its parent is, most trusted first, each place once.
pub(super) fn named(child: &Path, linkage: &Linkage, bounds: &Bounds, host: &dyn Host) -> Vec<Named> {
    let mut places = Vec::new();
    for folder in folders(child) {
        let beside = linkage.relative.iter().chain(&linkage.absolute);
        let beside = beside.filter_map(|path| parts(path).pop().map(|name| vec![name]));
        for parts in linkage.relative.iter().map(|path| parts(path)).chain(beside) {
            if parts.is_empty() || parts.len() > MAX_PARTS {
                continue;
            }
            let shown = parts.iter().fold(folder.clone(), |path, part| path.join(part));
            places.push(Named { path: resolve(&folder, &parts, bounds, host), shown });
        }
    }
    // On Windows the absolute path may still be right.
    if cfg!(windows) {
        let child = child.to_string_lossy();
        let here = linkage.absolute.iter().filter_map(|path| windows_path::named_by_image(&child, path));
        places.extend(here.map(|path| Named { path: path.clone().into(), shown: path.into() }));
    }
    let mut seen = BTreeSet::new();
    places.retain(|place| {
        let real = if bounds.describes(&place.path) { std::fs::canonicalize(&place.path).ok() } else { None };
        seen.insert(real.unwrap_or_else(|| place.shown.clone()))
    });
    places
}

/// The child's folder as it is named, and as it is without links; once if they are the same.
pub(super) fn folders(child: &Path) -> Vec<PathBuf> {
    let in_copy = cfg!(windows) && windows_path::shadow_copy(&child.to_string_lossy()).is_some();
    let mut folders: Vec<_> = folder_of(child).map(Path::to_owned).into_iter().collect();
    // Except in a shadow copy, from which no other name may lead away.
    let real = if in_copy { None } else { std::fs::canonicalize(child).ok() };
    let real = real.as_deref().and_then(folder_of).map(Path::to_owned);
    let is_new = |folder: &PathBuf| {
        folders.first().and_then(|named| std::fs::canonicalize(named).ok()).as_ref() != Some(folder)
    };
    folders.extend(real.filter(is_new));
    folders
}

/// The last parts of the paths that the image names, folded.
pub(super) fn wanted(linkage: &Linkage) -> Vec<String> {
    let paths = linkage.relative.iter().chain(&linkage.absolute);
    paths.filter_map(|path| parts(path).pop()).map(fold).collect()
}

/// The parts of a Windows or Unix path, without drive, `\\?\` and the like.
fn parts(path: &str) -> Vec<&str> {
    let parts = path.split(['\\', '/']).filter(|part| !part.is_empty() && *part != "." && *part != "?");
    parts.filter(|part| !part.ends_with(':')).collect()
}

/// Follows the parts from a folder on: exactly, else case-insensitively. Parts that do not exist are appended as they are.
fn resolve(folder: &Path, parts: &[&str], bounds: &Bounds, host: &dyn Host) -> PathBuf {
    let (mut path, mut listed) = (folder.to_owned(), 0);
    for part in parts {
        let exact = path.join(part);
        let may_search = *part != ".." && listed < MAX_LISTED && exact.symlink_metadata().is_err();
        path = match may_search && bounds.may_list(&path) {
            false => exact,
            true => {
                listed += 1;
                let same = match similar_name(&path, part) {
                    Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                        host.similar_name(&path, part).unwrap_or_default()
                    }
                    found => found.unwrap_or_default(),
                };
                same.map_or(exact, |name| path.join(name))
            }
        };
    }
    path
}

/// The first name in a folder that differs from `wanted` at most in case.
///
/// # Errors
/// When the folder cannot be listed.
pub fn similar_name(folder: &Path, wanted: &str) -> std::io::Result<Option<OsString>> {
    let wanted = fold(wanted);
    Ok(names(folder)?.into_iter().filter(|name| fold(name.to_string_lossy()) == wanted).min())
}

/// Names as Windows compares them, near enough for finding a file whose identity is then checked.
pub(super) fn fold(name: impl AsRef<str>) -> String {
    name.as_ref().to_uppercase()
}

/// The names in a folder, up to a limit.
///
/// # Errors
/// When it cannot be listed.
pub fn names(folder: &Path) -> std::io::Result<Vec<OsString>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder)?.take(MAX_FOLDER_ENTRIES);
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect())
}
