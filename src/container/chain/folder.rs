//! Searches folders by identity: a parent may have been renamed, or its child may name it in a way that leads nowhere.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    Search,
    missing::{Looked, Outcome},
    modified,
    places::{self, fold, wanted},
};
use crate::{
    Error,
    bytes::FileId,
    container::image::{Identity, Image, Linkage},
};

/// Files that are opened while searching folders, for the whole chain: a folder of all disks of a large host.
const MAX_EXAMINED: usize = 2000;

/// The VHD and VHDX files of a folder.
#[derive(Default)]
pub(super) struct Images {
    found: Vec<Known>,
    /// Why not all of them are here.
    problem: Option<Error>,
}

#[derive(Clone)]
struct Known {
    path: PathBuf,
    id: FileId,
    identity: Identity,
    modified: Option<u32>,
}

impl Search<'_> {
    /// Searches the folders that the user named, then the child's own.
    pub(super) fn by_identity(
        &mut self,
        child: &Image,
        linkage: &Linkage,
        looked: &mut Vec<Looked>,
    ) -> Option<Image> {
        let own = places::folders(&child.path).into_iter().filter(|folder| self.bounds.may_list(folder));
        for folder in self.options.parent_dirs.iter().cloned().chain(own.collect::<Vec<_>>()) {
            let before = looked.len();
            let found = self.look_in(&folder, linkage, looked);
            if let Some(image) = found {
                return Some(image);
            }
            // What lies in the folder of a parent that an image named is not described either.
            if !self.bounds.describes(&folder) {
                looked.truncate(before);
            }
        }
        None
    }

    fn look_in(&mut self, folder: &Path, linkage: &Linkage, looked: &mut Vec<Looked>) -> Option<Image> {
        let key = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        if !self.folders.contains_key(&key) {
            let images = self.read(folder, &wanted(linkage));
            self.folders.insert(key.clone(), images);
        }
        let images = self.folders.get_mut(&key)?;
        let problem = images.problem.take();
        let fits = |known: &&Known| !known.identity.is_zero() && linkage.accepts(known.identity);
        let mut files = BTreeSet::new();
        let mut matching: Vec<Known> = images
            .found
            .iter()
            .filter(fits)
            .filter(|known| files.insert(known.id.clone()))
            .cloned()
            .collect();
        matching.retain(|known| !self.files.contains(&known.id));
        if matching.len() > 1 {
            prefer(&mut matching, |known| {
                linkage.time_stamp.is_some() && known.modified == linkage.time_stamp
            });
        }
        if matching.len() > 1 {
            let paths = matching.into_iter().map(|known| known.path).collect();
            looked.push(Looked { path: folder.to_owned(), outcome: Outcome::Ambiguous(paths) });
            return None;
        }
        if let Some(known) = matching.pop() {
            match self.open_by_image(&known.path, linkage, true) {
                Ok(image) => return Some(image),
                Err(_) if looked.iter().any(|before| before.path == known.path) => {}
                Err(outcome) => looked.push(Looked { path: known.path, outcome }),
            }
        }
        let nothing = || Error::invalid("no image with this identity in the folder");
        let outcome = Outcome::Unreadable(problem.unwrap_or_else(nothing), None);
        looked.push(Looked { path: folder.to_owned(), outcome });
        None
    }

    /// The names in a folder; where this process may not list it, those of its virtual disks.
    pub(super) fn names(&self, folder: &Path) -> std::io::Result<Vec<OsString>> {
        match places::names(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                self.options.host.parents_in(folder).map_err(|_| error)
            }
            listed => listed,
        }
    }

    /// Reads the identities in a folder; the names that the image gives, and images' usual ones, first.
    fn read(&mut self, folder: &Path, wanted: &[String]) -> Images {
        let mut images = Images::default();
        let mut names = match self.names(folder) {
            Ok(names) => names,
            Err(error) => {
                images.problem = Some(Error::io(folder.display().to_string(), error));
                return images;
            }
        };
        names.sort_by_cached_key(|name| {
            let is_wanted = wanted.contains(&fold(name.to_string_lossy()));
            (!is_wanted, !is_usual(name), name.clone())
        });
        for name in names {
            if self.examined >= MAX_EXAMINED {
                images.problem = Some(Error::invalid(format!("stopped after {MAX_EXAMINED} files")));
                break;
            }
            let path = folder.join(&name);
            self.examined += 1;
            let Ok(opened) = self.open(&path) else { continue };
            let Ok(Some(identity)) = Identity::read(&opened.file) else { continue };
            let (id, modified) = (opened.file.id(), modified(&opened.file));
            images.found.push(Known { path, id, identity, modified });
        }
        images
    }
}

/// Keeps the one that `is_better` names, if it names one.
fn prefer(matching: &mut Vec<Known>, is_better: impl Fn(&Known) -> bool) {
    if matching.iter().filter(|known| is_better(known)).count() == 1 {
        matching.retain(is_better);
    }
}

/// The name of a virtual disk.
pub(super) fn is_usual(name: &OsString) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    ["vhd", "vhdx", "avhd", "avhdx"].iter().any(|usual| extension == *usual)
}
