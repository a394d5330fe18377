//! Resolves the user's source and destination paths, as cp(1) does.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use vhdmount::fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind};

use super::{Context, folder::Folder, log::Log, names::ItemName, walk::Walker, work};
use crate::cli::{Failure, expand::expand, find, pattern::is_pattern};

/// A source that the user named.
pub(super) struct Source {
    pub(super) node: NodeId,
    directory: bool,
    /// The path without its last component.
    above: Vec<u8>,
    /// The last component, as the disk spells it; `None` for a path that ends in `/.` and the like: the directory's
    /// content is copied.
    name: Option<NameBuf>,
}

/// The destination of the copy.
#[derive(Debug)]
pub(super) struct Destination {
    /// The existing directory.
    pub(super) folder: PathBuf,
    /// The new name in it, when a single source is copied under another name.
    name: Option<OsString>,
}

/// Resolves the user's sources; those that are not found are reported, and the rest is copied.
pub(super) fn sources(
    tree: &vhdmount::tree::Tree,
    paths: &[String],
    recursive: bool,
    log: &Log,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut names = HashSet::new();
    for path in paths {
        let found = match expand(tree, path, &mut |path, error| log.failure(path.as_bytes(), error)) {
            Ok(found) => found,
            Err(failure) => {
                log.failure(path.as_bytes(), failure.text());
                continue;
            }
        };
        // The last name that a pattern matches is spelled as on the disk already.
        let is_spelled = found.first() != Some(path) && path.rsplit('/').next().is_some_and(is_pattern);
        for path in &found {
            match source(tree, path, recursive, is_spelled) {
                Ok(Source { name: Some(name), .. }) if !names.insert(fold(&name)) => {
                    let why = "another PATH has the same name: copy them one after the other";
                    log.failure(path.as_bytes(), why);
                }
                Ok(source) => sources.push(source),
                Err(why) => log.failure(path.as_bytes(), why),
            }
        }
    }
    sources
}

fn source(
    tree: &vhdmount::tree::Tree,
    path: &str,
    recursive: bool,
    is_spelled: bool,
) -> Result<Source, String> {
    let node = find(tree, path).map_err(|failure| failure.text().to_owned())?;
    let stat = tree.stat(node).map_err(|error| error.to_string())?;
    let directory = stat.kind == NodeKind::Directory;
    if directory && !recursive {
        return Err("is a directory; -r copies it with everything in it".into());
    }
    let trimmed = path.trim_end_matches('/');
    let (above, last) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    let name = match last {
        "" | "." | ".." => None,
        last => NameBuf::from_text(last.as_bytes()),
    };
    let name = match is_spelled {
        true => name,
        false => name.map(|name| spelling(tree, above, node, &name).unwrap_or(name)),
    };
    // For a directory's content, the prefix is the directory's own path.
    let above = if name.is_some() { above } else { trimmed };
    Ok(Source { node, directory, above: above.trim_start_matches('/').into(), name })
}

/// The disk's spelling of a name: the user's may differ in case.
fn spelling(tree: &vhdmount::tree::Tree, above: &str, node: NodeId, name: &NameBuf) -> Option<NameBuf> {
    let parent = find(tree, above).ok()?;
    let mut found = None;
    let folded = fold(name);
    // A listing that ends early may have found it as well.
    let _ = tree.read_dir(parent, DirCursor::default(), &mut |entry| {
        if entry.node == node && fold(&entry.name.to_owned()) == folded {
            found = Some(entry.name.to_owned());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

fn fold(name: &NameBuf) -> String {
    name.to_string().to_lowercase()
}

/// Decides as cp(1) does: copies into DEST if it is a directory, else DEST is the new name of the only source.
pub(super) fn destination(dest: &Path, sources: &[Source], paths: usize) -> Result<Destination, Failure> {
    let refuse = |why: &str| Failure::destination_text(format_args!("{}: {why}", dest.display()));
    let slash = dest.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
    match fs::metadata(dest) {
        Ok(found) if found.is_dir() => return Ok(Destination { folder: dest.to_owned(), name: None }),
        Ok(_) if sources.iter().any(|source| source.directory) => {
            return Err(refuse("is no directory, so no directory can be copied to it"));
        }
        Ok(_) if slash => return Err(refuse("is no directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(dest).is_ok() {
                return Err(refuse("is a link to nowhere"));
            }
            if slash && sources.iter().any(|source| !source.directory) {
                return Err(refuse("there is no such directory"));
            }
            // Windows also reports this for a path below a file.
            if dest.parent().is_some_and(Path::is_file) {
                return Err(refuse("what is to hold it is no directory"));
            }
        }
        Err(error) => return Err(Failure::destination(dest, &error)),
        Ok(_) => {}
    }
    if paths > 1 {
        return Err(refuse("several PATHs can only be copied into an existing directory"));
    }
    let Some(name) = dest.file_name() else { return Err(refuse("there is no such directory")) };
    let folder = match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(Destination { folder, name: Some(name.to_owned()) })
}

/// Walks through everything that is to be copied.
pub(super) fn walk<'a>(
    context: &'a Context<'a>,
    walker: &mut Walker<'a, '_>,
    sources: &[Source],
    destination: &Destination,
) {
    for source in sources {
        if context.stop.is_set() {
            break;
        }
        let top = Folder::beginning(context, &source.above, None);
        let given = |name: &OsString| {
            let text = source.name.as_ref().map(|name| name.as_name().to_text());
            ItemName::Given(name.clone(), text.unwrap_or_default())
        };
        let name = destination.name.as_ref().map(given).or(source.name.clone().map(ItemName::Disk));
        match (name, source.directory) {
            (Some(name), true) => walker.directory(&top, &name, source.node),
            (Some(name), false) => walker.entry(&top, name, source.node),
            (None, _) => content(context, walker, source),
        }
    }
    walker.end();
}

/// Copies a directory's content into the destination itself, which gets the directory's times and attributes.
fn content<'a>(context: &'a Context<'a>, walker: &mut Walker<'a, '_>, source: &Source) {
    match context.tree.stat(source.node) {
        Ok(stat) => {
            let folder = Folder::beginning(context, &source.above, Some(stat.times));
            work::finish_folder(context, &folder, source.node, &stat);
            walker.content(folder, source.node);
        }
        Err(error) => context.log.failure(&source.above, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destination_is_that_of_cp() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let source = |directory| Source {
            node: NodeId(9),
            directory,
            above: Vec::new(),
            name: Some(NameBuf::literal("name")),
        };
        let (one, dir) = ([source(false)], [source(true)]);
        let two = [source(false), source(false)];
        let at = |dest: &Path, sources: &[Source]| destination(dest, sources, sources.len()).ok();
        let into = at(folder.path(), &two).unwrap();
        assert_eq!((into.folder.as_path(), into.name), (folder.path(), None));
        let renamed = at(&folder.path().join("new"), &one).unwrap();
        assert_eq!((renamed.folder.as_path(), renamed.name), (folder.path(), Some("new".into())));
        assert_eq!(at(&file, &one).unwrap().name, Some("file".into()));
        for (dest, sources) in [
            (file.clone(), &dir[..]),
            (file.join("below"), &one),
            (folder.path().join("new/"), &one),
            (folder.path().join("new"), &two),
        ] {
            assert!(at(&dest, sources).is_none(), "{dest:?}");
        }
    }
}
