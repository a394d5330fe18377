//! The error for a parent that was not found: where it was looked for, and what was there instead.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error,
    bytes::FileSource,
    container::image::{Identity, Image, Linkage},
    printable::printable,
};

/// Lines of the report on where a parent was looked for.
const MAX_REPORTED: usize = 20;

/// One place where a parent was looked for, and what was there.
pub(super) struct Looked {
    pub(super) path: PathBuf,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    NotFound,
    /// Already in the chain.
    Cycle,
    /// Another image.
    Other(Box<Image>),
    /// Several images of this identity.
    Ambiguous(Vec<PathBuf>),
    /// Damaged, not an image or not to be opened; with the file if it is open.
    Unreadable(Error, Option<Arc<FileSource>>),
    /// Not to be described, whatever is there and even if nothing is.
    Outside,
}

impl Looked {
    /// A damaged image where the parent should be.
    pub(super) fn damaged(&self) -> Option<Arc<FileSource>> {
        match &self.outcome {
            Outcome::Unreadable(Error::Corrupt(_), file) => file.clone(),
            _ => None,
        }
    }
}

pub(super) fn missing(child: &Path, linkage: &Linkage, looked: &[Looked]) -> Error {
    let mut text = format!("the parent of {} was not found ({})", child.display(), expected(linkage));
    let names: BTreeSet<_> = linkage.relative.iter().chain(&linkage.absolute).collect();
    for name in names {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  the image calls it {name:?}");
    }
    for Looked { path, outcome } in looked.iter().take(MAX_REPORTED) {
        let _ = write!(text, "\n  {}: {}", shown(path), describe(outcome));
    }
    if looked.len() > MAX_REPORTED {
        let _ = write!(text, "\n  and {} more places", looked.len() - MAX_REPORTED);
    }
    if linkage.is_anonymous() {
        text.push_str(
            "\nThe image names no identity, as XenServer's do whose parent is a raw disk: name that with --parent FILE",
        );
    } else {
        text.push_str(
            "\nName it with --parent FILE or its folder with --parent-dir DIR; another file than the right one is used \
             only with --parent FILE --force-parent, and --force-parent alone reads on without a parent",
        );
    }
    Error::not_found(text)
}

/// A path that an image may have spelled, on one line.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotFound => "not found".to_owned(),
        Outcome::Cycle => "is the child itself or one of its children: a cycle".to_owned(),
        Outcome::Other(image) => format!("has another identity: {}", image.identity.text()),
        Outcome::Unreadable(error, _) => error.to_string(),
        Outcome::Ambiguous(paths) => {
            let paths: Vec<_> = paths.iter().take(MAX_REPORTED).map(|path| shown(path)).collect();
            format!("several images have this identity, say which with --parent FILE: {}", paths.join(", "))
        }
        Outcome::Outside => "not the parent (outside of the image's folder; not described)".to_owned(),
    }
}

/// The identity that the parent has.
pub(super) fn expected(linkage: &Linkage) -> String {
    let ids: Vec<_> = linkage.identities.iter().map(|identity| Identity::text(*identity)).collect();
    ids.join(" or ")
}
