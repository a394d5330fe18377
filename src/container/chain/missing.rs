//! The error for a parent that was not found: where it was looked for, and what was there instead.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, Remedy,
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
            Outcome::Unreadable(error, file) if matches!(error.cause(), Error::Corrupt(_)) => file.clone(),
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
    let mut remedies = vec![match linkage.is_anonymous() {
        true => Remedy::NameParent,
        false => Remedy::NameOrForceParent,
    }];
    let unusable_log = |looked: &Looked| match &looked.outcome {
        Outcome::Unreadable(error, _) => error.remedies().contains(&Remedy::SkipLog),
        _ => false,
    };
    if looked.iter().any(unusable_log) {
        remedies.push(Remedy::SkipLog);
    }
    Error::MissingParent { text, remedies }
}

/// A path that an image may have spelled, on one line; of what lies in the working directory the name alone.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path);
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
            format!("several images have this identity: {}", paths.join(", "))
        }
        Outcome::Outside => "not the parent (outside of the image's folder; not described)".to_owned(),
    }
}

/// The identity that the parent has.
pub(super) fn expected(linkage: &Linkage) -> String {
    let ids: Vec<_> = linkage.identities.iter().map(|identity| Identity::text(*identity)).collect();
    ids.join(" or ")
}
