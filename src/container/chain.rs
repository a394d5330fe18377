//! Finds the parents of differencing images.
//!
//! In this order: the files that the user named; the relative path from the child's folder on; the last part of the
//! absolute path in the child's folder; the folders that the user named. A file is the parent when its *identity* is the
//! one that the child's linkage names; names only say where to look.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{
    Container, OpenOptions,
    image::{Identity, Image, Linkage},
};
use crate::{Error, Result, bytes::windows_path, check::Finding};

/// Deeper chains are no backup scheme, and every read may ask every layer. Hyper-V allows 50 checkpoints.
const MAX_LAYERS: usize = 128;

/// Files that are opened while searching folders, for the whole chain: a folder of all disks of a large host.
const MAX_EXAMINED: usize = 2000;

/// Names that are read from one folder.
const MAX_FOLDER_ENTRIES: usize = 100_000;

/// Lines of the report on where a parent was looked for.
const MAX_REPORTED: usize = 20;

pub(super) const WITHOUT_PARENT: &str =
    "opened without its parent: what only the parent has is unreadable, so files are damaged or missing";

/// A chain as far as it could be followed.
pub(super) struct Walk {
    /// Top first; never empty.
    pub(super) images: Vec<Image>,
    /// For [`Container::warnings`].
    pub(super) warnings: Vec<String>,
    /// The warnings and what is only worth knowing, for an examination: index of the child, finding.
    pub(super) findings: Vec<(usize, Finding)>,
    /// Why the last image's parent is not there.
    pub(super) stopped: Option<Error>,
    /// Files where that parent should be which cannot be opened.
    pub(super) unreadable: Vec<PathBuf>,
}

/// Joins `top` with its parents.
pub(super) fn open(top: Image, options: &OpenOptions) -> Result<Container> {
    let walk = walk(top, options);
    match walk.stopped {
        Some(error) => Err(error),
        None => Ok(Container::new(walk.images, walk.warnings)),
    }
}

/// Follows the chain from `top` to its last parent.
pub(super) fn walk(top: Image, options: &OpenOptions) -> Walk {
    let mut search = Search::new(options);
    search.files.insert(file_key(&top.path));
    let mut images = vec![top];
    let mut stopped = None;
    while let Some(linkage) = images.last().and_then(|image| image.linkage.as_ref()) {
        let child = images.last().expect("starts with the top image");
        if images.len() >= MAX_LAYERS {
            let text = format!("{}: more than {MAX_LAYERS} parents on parents", child.path.display());
            stopped = Some(Error::unsupported(text));
            break;
        }
        search.child = images.len() - 1;
        let parent = match search.parent(&child.path, linkage) {
            Ok(Some(parent)) => parent,
            Ok(None) => break,
            Err(error) => {
                stopped = Some(error);
                break;
            }
        };
        search.compare_sizes(child, &parent);
        search.compare_times(linkage, &parent);
        search.compare_identities(linkage, &parent);
        search.files.insert(file_key(&parent.path));
        images.push(parent);
    }
    let Search { warnings, findings, unreadable, .. } = search;
    Walk { images, warnings, findings, stopped, unreadable }
}

struct Search<'a> {
    options: &'a OpenOptions,
    /// The chain so far: who is there already cannot be a parent again.
    files: BTreeSet<FileKey>,
    examined: usize,
    /// Index of the image whose parent is looked for.
    child: usize,
    warnings: Vec<String>,
    findings: Vec<(usize, Finding)>,
    unreadable: Vec<PathBuf>,
}

/// One place where a parent was looked for, and what was there.
struct Looked {
    path: PathBuf,
    outcome: Outcome,
}

enum Outcome {
    NotFound,
    /// Already in the chain.
    Cycle,
    Other(Box<Image>),
    Unreadable(Error),
}

impl<'a> Search<'a> {
    fn new(options: &'a OpenOptions) -> Self {
        Self {
            options,
            files: BTreeSet::new(),
            examined: 0,
            child: 0,
            warnings: Vec::new(),
            findings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// The parent of the image at `child`; `None` when it is missing and the user wants to go on.
    fn parent(&mut self, child: &Path, linkage: &Linkage) -> Result<Option<Image>> {
        let mut looked = Vec::new();
        for path in self.named(child, linkage) {
            if let Some(image) = self.look(&path, linkage, &mut looked) {
                return Ok(Some(image));
            }
        }
        for folder in &self.options.parent_dirs {
            if let Some(image) = self.look_in(folder, linkage, &mut looked) {
                return Ok(Some(image));
            }
        }
        let damaged = |looked: &&Looked| matches!(looked.outcome, Outcome::Unreadable(Error::Corrupt(_)));
        self.unreadable.extend(looked.iter().filter(damaged).map(|looked| looked.path.clone()));
        if !self.options.force_parent {
            return Err(missing(child, linkage, &looked));
        }
        let shown = child.display();
        let other = looked.into_iter().find_map(|looked| match looked.outcome {
            // A stranger from a folder is no candidate: only what was named, by the user or by the image.
            Outcome::Other(image) => Some(*image),
            _ => None,
        });
        let warning = match &other {
            Some(image) => format!(
                "{} is not the parent that {shown} names ({}, expected {}): used all the same, files may be damaged",
                image.path.display(),
                image.identity.text(),
                expected(linkage),
            ),
            None => format!("{shown}: {WITHOUT_PARENT}"),
        };
        let meaning = "opened by force: what is found in the volumes below may be due to that alone";
        self.findings.push((self.child, Finding::error("parent", &warning, meaning)));
        self.warnings.push(warning);
        Ok(other)
    }

    /// Where the parent may be, by name, most trusted first, each once.
    fn named(&self, child: &Path, linkage: &Linkage) -> Vec<PathBuf> {
        let mut paths = self.options.parents.clone();
        // The child may be reached through a link: its parents then lie beside the link or beside the file.
        let text = child.to_string_lossy();
        let in_copy = cfg!(windows) && windows_path::shadow_copy(&text).is_some();
        // Except in a shadow copy, from which no other name may lead away.
        let real = if in_copy { None } else { std::fs::canonicalize(child).ok() };
        for folder in [Some(child), real.as_deref()].into_iter().flatten().filter_map(Path::parent) {
            paths.extend(linkage.relative.iter().filter_map(|path| resolve(folder, &parts(path))));
            let beside = linkage.relative.iter().chain(&linkage.absolute);
            paths.extend(beside.filter_map(|path| resolve(folder, parts(path).last_chunk::<1>()?)));
        }
        // On Windows the absolute path may still be right.
        if cfg!(windows) {
            let here = linkage.absolute.iter().filter_map(|path| windows_path::named_by_image(&text, path));
            paths.extend(here.map(PathBuf::from));
        }
        let mut seen = BTreeSet::new();
        paths.retain(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
        paths
    }

    /// Opens one file; returns it if it is the parent, else notes what it is.
    fn look(&self, path: &Path, linkage: &Linkage, looked: &mut Vec<Looked>) -> Option<Image> {
        let outcome = match std::fs::metadata(path) {
            Err(_) => Outcome::NotFound,
            // Named by an image, a device or pipe of the host is a trap; a user may name one.
            Ok(metadata)
                if !metadata.is_file() && !self.options.parents.iter().any(|named| named == path) =>
            {
                Outcome::Unreadable(Error::invalid("not a regular file"))
            }
            Ok(_) if self.files.contains(&file_key(path)) => Outcome::Cycle,
            Ok(_) => match Image::open(path, self.options) {
                Ok(image) if linkage.accepts(image.identity) => return Some(image),
                Ok(image) => Outcome::Other(Box::new(image)),
                Err(error) => Outcome::Unreadable(error),
            },
        };
        looked.push(Looked { path: path.to_owned(), outcome });
        None
    }

    /// Searches a folder by identity.
    fn look_in(&mut self, folder: &Path, linkage: &Linkage, looked: &mut Vec<Looked>) -> Option<Image> {
        let mut names = match names(folder) {
            Ok(names) => names,
            Err(e) => {
                let error = Error::io(folder.display().to_string(), e);
                looked.push(Looked { path: folder.to_owned(), outcome: Outcome::Unreadable(error) });
                return None;
            }
        };
        // The name that the image gives first: mostly that is it.
        let wanted: Vec<String> = linkage
            .relative
            .iter()
            .chain(&linkage.absolute)
            .filter_map(|p| parts(p).pop())
            .map(fold)
            .collect();
        names.sort_by_key(|name| (!wanted.contains(&fold(name.to_string_lossy())), name.clone()));
        for name in names {
            if self.examined >= MAX_EXAMINED {
                let problem = format!("stopped after {MAX_EXAMINED} files");
                let outcome = Outcome::Unreadable(Error::invalid(problem));
                looked.push(Looked { path: folder.to_owned(), outcome });
                return None;
            }
            let path = folder.join(&name);
            if !std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            self.examined += 1;
            let is_wanted = wanted.contains(&fold(name.to_string_lossy()));
            let mut here = Vec::new();
            if let Some(image) = self.look(&path, linkage, &mut here) {
                return Some(image);
            }
            // Every other file of the folder is nobody's business, unless it has the parent's name.
            if is_wanted {
                looked.append(&mut here);
            }
        }
        let problem = "no image with this identity in the folder";
        let outcome = Outcome::Unreadable(Error::invalid(problem));
        looked.push(Looked { path: folder.to_owned(), outcome });
        None
    }

    fn compare_sizes(&mut self, child: &Image, parent: &Image) {
        let (size, below) = (child.layer.virtual_size(), parent.layer.virtual_size());
        if size != below {
            let warning = format!(
                "{} has {size} bytes, its parent {} has {below}: what lies beyond the parent's end reads as zeros",
                child.path.display(),
                parent.path.display()
            );
            let meaning = "as after resizing a disk that has checkpoints";
            self.findings.push((self.child, Finding::note("parent", &warning, meaning)));
            self.warnings.push(warning);
        }
    }

    /// A parent that was written to after the child was made has spoilt it, but a copy has a new time too, so this is
    /// only noted: the identity decides.
    fn compare_times(&mut self, linkage: &Linkage, parent: &Image) {
        /// 2000-01-01 in Unix time.
        const EPOCH: u64 = 946_684_800;
        let Some(expected) = linkage.time_stamp else { return };
        let modified = parent.file.as_ref().and_then(|file| file.file().metadata().ok()?.modified().ok());
        let found = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        if found.is_some_and(|found| found.as_secs() != EPOCH + u64::from(expected)) {
            let problem = format!("{}: modified at another time than its child says", parent.path.display());
            log::info!("{problem}");
            let meaning = "as every copy is; only if a guest wrote to it since, the child is spoilt";
            self.findings.push((self.child, Finding::note("parent", problem, meaning)));
        }
    }

    /// VHDX: the second linkage is there only while the chain is being changed.
    fn compare_identities(&mut self, linkage: &Linkage, parent: &Image) {
        if linkage.identities.first() != Some(&parent.identity) && linkage.accepts(parent.identity) {
            let problem = format!(
                "{} is recognized by the second linkage ({}), not by the first",
                parent.path.display(),
                parent.identity.text()
            );
            let meaning = "a merge or resize of the chain was interrupted; let Hyper-V finish it";
            self.findings.push((self.child, Finding::warning("parent", problem, meaning)));
        }
    }
}

/// The error for a parent that was not found.
fn missing(child: &Path, linkage: &Linkage, looked: &[Looked]) -> Error {
    let mut text = format!("the parent of {} was not found ({})", child.display(), expected(linkage));
    let names: BTreeSet<_> = linkage.relative.iter().chain(&linkage.absolute).collect();
    for name in names {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  the image calls it {name:?}");
    }
    for Looked { path, outcome } in looked.iter().take(MAX_REPORTED) {
        let found = match outcome {
            Outcome::NotFound => "not found".to_owned(),
            Outcome::Cycle => "is the child itself or one of its children: a cycle".to_owned(),
            Outcome::Other(image) => format!("has another identity: {}", image.identity.text()),
            Outcome::Unreadable(error) => error.to_string(),
        };
        let _ = write!(text, "\n  {}: {found}", path.display());
    }
    if looked.len() > MAX_REPORTED {
        let _ = write!(text, "\n  and {} more places", looked.len() - MAX_REPORTED);
    }
    text.push_str(
        "\nName it with --parent FILE or its folder with --parent-dir DIR, or read on without the right one with \
         --force-parent",
    );
    Error::not_found(text)
}

fn expected(linkage: &Linkage) -> String {
    let ids: Vec<_> = linkage.identities.iter().map(|identity| Identity::text(*identity)).collect();
    ids.join(" or ")
}

/// The parts of a Windows or Unix path, without drive, `\\?\` and the like.
fn parts(path: &str) -> Vec<&str> {
    let parts = path.split(['\\', '/']).filter(|part| !part.is_empty() && *part != "." && *part != "?");
    parts.filter(|part| !part.ends_with(':')).collect()
}

/// Follows the parts from a folder on: exactly, else case-insensitively. Parts that do not exist are appended as they
/// are, so that a message can name them.
fn resolve(folder: &Path, parts: &[&str]) -> Option<PathBuf> {
    if parts.is_empty() {
        return None;
    }
    let mut path = folder.to_owned();
    for part in parts {
        let exact = path.join(part);
        path = if *part == ".." || exact.symlink_metadata().is_ok() {
            exact
        } else {
            let found = names(&path).unwrap_or_default();
            let same = found.into_iter().filter(|name| fold(name.to_string_lossy()) == fold(part)).min();
            same.map_or(exact, |name| path.join(name))
        };
    }
    Some(path)
}

/// Names as Windows compares them, near enough for finding a file whose identity is then checked.
fn fold(name: impl AsRef<str>) -> String {
    name.as_ref().to_uppercase()
}

fn names(folder: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder)?.take(MAX_FOLDER_ENTRIES);
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect())
}

/// What makes two paths the same file.
type FileKey = (u64, u64, PathBuf);

/// Device and inode; where the host has none, the canonical path.
fn file_key(path: &Path) -> FileKey {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        return (metadata.dev(), metadata.ino(), PathBuf::new());
    }
    (0, 0, std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}
