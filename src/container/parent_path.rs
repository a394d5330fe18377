//! The paths by which a new child names its parent, in the form of Windows.

use std::{
    ffi::OsStr,
    path::{Component, Path},
};

/// The path from the child's folder to the parent (`.\base.vhdx`). `None` where they have only the root in common, unless
/// `through_root` accepts a path that leads through it; where they lie on different drives; and for names that are not Unicode.
pub fn relative(base: &Path, child: &Path, through_root: bool) -> Option<String> {
    let base = base.canonicalize().ok()?;
    let folder = child.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok()?;
    let mut to: Vec<&OsStr> = parts(&base);
    let mut from = parts(&folder);
    let common = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    // A file in the root has that in common with all others there.
    let in_root = from.is_empty() && to.len() == 1;
    if common == 0 && !in_root && (cfg!(windows) || !through_root) {
        return None;
    }
    to.drain(..common);
    from.drain(..common);
    let mut path = if from.is_empty() { vec!["."] } else { vec![".."; from.len()] };
    for part in to {
        path.push(part.to_str()?);
    }
    Some(path.join("\\"))
}

/// The names in an absolute path; on Windows the drive is the first one.
fn parts(path: &Path) -> Vec<&OsStr> {
    path.components().filter(|part| !matches!(part, Component::RootDir)).map(Component::as_os_str).collect()
}

/// The full path, without the prefix of Windows' internal form.
pub fn absolute(base: &Path) -> Option<String> {
    let path = base.canonicalize().ok()?;
    let text = path.to_str()?;
    Some(text.strip_prefix(r"\\?\").unwrap_or(text).to_owned())
}
