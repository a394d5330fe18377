//! Finds the parents of differencing images.
//!
//! In this order: the files that the user named; the relative path from the child's folder on; the last part of the
//! absolute path in the child's folder; then, by identity, the folders that the user named and the child's own. A file is
//! the parent when its *identity* is the one that the child's linkage names; names only say where to look. What an image
//! may open that way, and what is said of it, is decided in `bounds`.

mod beside;
mod bounds;
mod folder;
mod missing;
mod places;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use self::beside::children;
pub use self::places::{names, similar_name};
use self::{
    bounds::Bounds,
    missing::{Looked, Outcome, expected, missing},
    places::Named,
};
use super::{
    fingerprint,
    host_file::open_file,
    image::{Image, Linkage},
    options::OpenOptions,
};
use crate::{
    Error, Result,
    bytes::{FileId, FileSource, Guarded},
    check::Finding,
};

/// Deeper chains are no backup scheme, and every read may ask every layer. Hyper-V allows 50 checkpoints.
const MAX_LAYERS: usize = 128;

pub(super) const WITHOUT_PARENT: &str =
    "opened without its parent: what only the parent has is unreadable, so files are damaged or missing";

/// A chain as far as it could be followed.
pub(super) struct Walk {
    /// Top first; never empty.
    pub(super) images: Vec<Image>,
    /// For [`super::Container::warnings`].
    pub(super) warnings: Vec<String>,
    /// The warnings and what is only worth knowing, for an examination: index of the child, finding.
    pub(super) findings: Vec<(usize, Finding)>,
    /// Why the last image's parent is not there.
    pub(super) stopped: Option<Error>,
    /// Files where that parent should be which are open, but are no readable images.
    pub(super) unreadable: Vec<Arc<FileSource>>,
}

/// The folders in and below which the parents of the image at `top` are opened and described, as canonical paths.
pub fn parent_folders(top: &Path, options: &OpenOptions) -> Vec<PathBuf> {
    Bounds::new(top, options).into_roots()
}

/// Follows the chain from `top` to its last parent.
pub(super) fn walk(top: Image, options: &OpenOptions) -> Walk {
    let mut search = Search::new(&top.path, options);
    search.files.extend(top.file.as_ref().map(|file| file.id()));
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
        let parent = match search.parent(child, linkage) {
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
        search.files.extend(parent.file.as_ref().map(|file| file.id()));
        images.push(parent);
    }
    let Search { warnings, findings, unreadable, .. } = search;
    Walk { images, warnings, findings, stopped, unreadable }
}

struct Search<'a> {
    options: &'a OpenOptions,
    bounds: Bounds,
    /// The files already in the chain: a parent found among them is a cycle.
    files: BTreeSet<FileId>,
    /// Identities of the images in searched folders, read once for the whole chain.
    folders: BTreeMap<PathBuf, folder::Images>,
    /// Files examined in all folders.
    examined: usize,
    /// Index of the image whose parent is looked for.
    child: usize,
    warnings: Vec<String>,
    findings: Vec<(usize, Finding)>,
    unreadable: Vec<Arc<FileSource>>,
}

impl<'a> Search<'a> {
    fn new(top: &Path, options: &'a OpenOptions) -> Self {
        Self {
            options,
            bounds: Bounds::new(top, options),
            files: BTreeSet::new(),
            folders: BTreeMap::new(),
            examined: 0,
            child: 0,
            warnings: Vec::new(),
            findings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// The parent of `child`; `None` when it is missing and the user wants to go on.
    fn parent(&mut self, child: &Image, linkage: &Linkage) -> Result<Option<Image>> {
        let mut looked = Vec::new();
        for path in &self.options.parents {
            let found = self.open_by_user(path, linkage, child.layer.virtual_size());
            if let Some(image) = self.sort(path, found, &mut looked) {
                return Ok(Some(image));
            }
        }
        for Named { path, shown } in places::named(&child.path, linkage, &self.bounds, &*self.options.host) {
            let found = self.open_by_image(&path, linkage, false);
            if let Some(image) = self.sort(&shown, found, &mut looked) {
                return Ok(Some(image));
            }
        }
        if let Some(image) = self.by_identity(child, linkage, &mut looked) {
            return Ok(Some(image));
        }
        for file in looked.iter().filter_map(Looked::damaged) {
            if self.unreadable.iter().all(|other| other.id() != file.id()) {
                self.unreadable.push(file);
            }
        }
        if !self.options.force_parent {
            return Err(missing(&child.path, linkage, &looked));
        }
        self.forced(child, linkage, looked)
    }

    /// Reads on with what the user named, or without a parent. What an image names is never taken by force: it could name
    /// any file of the host.
    fn forced(&mut self, child: &Image, linkage: &Linkage, looked: Vec<Looked>) -> Result<Option<Image>> {
        let shown = child.path.display();
        let other = looked.into_iter().find_map(|looked| match looked.outcome {
            Outcome::Other(image) if self.options.parents.contains(&looked.path) => Some(*image),
            _ => None,
        });
        let warning = match &other {
            Some(image) => format!(
                "{} is not the parent that {shown} names ({}, expected {}): used all the same, files may be damaged",
                image.path.display(),
                image.identity.text(),
                expected(linkage),
            ),
            None => format!("{shown}: {WITHOUT_PARENT} (a parent that is named is used by force)"),
        };
        let meaning = "opened by force: what is found in the volumes below may be due to that alone";
        self.findings.push((self.child, Finding::error("parent", &warning, meaning)));
        self.warnings.push(warning);
        Ok(other)
    }

    /// Returns the parent; keeps the note of what was found instead.
    fn sort(
        &mut self,
        path: &Path,
        found: Result<Image, Outcome>,
        looked: &mut Vec<Looked>,
    ) -> Option<Image> {
        found.map_err(|outcome| looked.push(Looked { path: path.to_owned(), outcome })).ok()
    }

    /// A file, or a device, that the user named.
    fn open_by_user(&mut self, path: &Path, linkage: &Linkage, size: u64) -> Result<Image, Outcome> {
        let file = open_file(path, &*self.options.host).map_err(|error| match error {
            Error::NotFound(_) => Outcome::NotFound,
            error => Outcome::Unreadable(error, None),
        })?;
        let mut image = self.image(file, path, true)?;
        image.identify(linkage);
        if linkage.accepts(image.identity) {
            return Ok(image);
        }
        // An identity of zeros identifies nothing, as XenServer's of a raw parent: the user's word stands for it.
        if linkage.is_anonymous() && image.layer.virtual_size() == size {
            let problem =
                format!("{}: the child names no identity: used because the user named it", path.display());
            let meaning =
                "nothing shows whether it is the file that the child was made from, apart from its size";
            self.findings.push((self.child, Finding::warning("parent", &problem, meaning)));
            self.warnings.push(problem);
            return Ok(image);
        }
        Err(Outcome::Other(Box::new(image)))
    }

    /// A file that an image or a folder's listing named. `nonzero`: an identity of zeros counts as none.
    fn open_by_image(&self, path: &Path, linkage: &Linkage, nonzero: bool) -> Result<Image, Outcome> {
        if !self.bounds.may_open(path) {
            return Err(Outcome::Outside);
        }
        let opened = self.open(path).map_err(|error| match self.bounds.describes(path) {
            false => Outcome::Outside,
            true => outcome_of(error),
        })?;
        let inside = self.bounds.holds(&opened.real);
        let outside = |outcome| if inside { outcome } else { Outcome::Outside };
        let mut image = self.image(opened.file, path, inside).map_err(outside)?;
        image.identify(linkage);
        let anonymous = (nonzero || !inside) && image.identity.is_zero();
        match linkage.accepts(image.identity) && !anonymous {
            true => Ok(image),
            false => Err(outside(Outcome::Other(Box::new(image)))),
        }
    }

    /// Opens a file that an image leads to, not the user, within the bounds.
    fn open(&self, path: &Path) -> Result<Guarded> {
        let opener = |real: &Path| self.options.host.open_parent(real);
        FileSource::open_guarded_with(path, &|real| self.bounds.allows(real), &opener)
    }

    /// `inside`: a redo file beside it may be opened.
    fn image(&self, file: FileSource, path: &Path, inside: bool) -> Result<Image, Outcome> {
        let file = Arc::new(file);
        if self.files.contains(&file.id()) {
            return Err(Outcome::Cycle);
        }
        let opened = match inside {
            true => Image::of_file_with_redo(file.clone(), path, self.options),
            false => Image::of_file(file.clone(), path, self.options),
        };
        opened.map_err(|error| Outcome::Unreadable(error, Some(file)))
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
        let modified = parent.file.as_deref().and_then(modified);
        let raw_time = parent.file.as_deref().map(fingerprint::time);
        if linkage.time_stamp.zip(modified).is_some_and(|(expected, found)| expected != found)
            || linkage.raw_time.zip(raw_time).is_some_and(|(expected, found)| expected != found)
        {
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

/// Why a file inside the bounds cannot be a parent.
fn outcome_of(error: Error) -> Outcome {
    match &error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Outcome::NotFound,
        Error::NotFound(_) => Outcome::NotFound,
        // A link that leads out.
        Error::Denied(_) => Outcome::Outside,
        _ => Outcome::Unreadable(error, None),
    }
}

/// When a file was last modified, in seconds since 2000-01-01 UTC, as a VHD's linkage counts.
fn modified(file: &FileSource) -> Option<u32> {
    /// 2000-01-01 in Unix time.
    const EPOCH: u64 = 946_684_800;
    let time = file.file().metadata().ok()?.modified().ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    u32::try_from(since.checked_sub(EPOCH)?).ok()
}
