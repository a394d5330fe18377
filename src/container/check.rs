//! The examination of containers: each image file of a chain by itself, and whether the files belong together.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Container, LayerInfo, OpenOptions, chain,
    detect::{Detected, detect},
    image::Image,
    pending, raw, redo, split, vhd, vhdx,
};
use crate::{
    Error, Result,
    bytes::ByteSource,
    check::{Finding, FindingSink},
    host::Host,
};

/// Parents that are in the way but cannot be opened and are examined nevertheless.
const MAX_UNREADABLE: usize = 4;

/// An image file to be examined.
pub struct Subject {
    path: PathBuf,
    source: Arc<dyn ByteSource>,
    format: Detected,
    /// Opening takes it for something else, or refuses it: its signature is damaged.
    disguised: bool,
    /// A redo file beside it has something to apply, or does not fit it.
    redo: Option<Finding>,
}

/// What is to be examined: the files, and what the chain as a whole is like.
pub struct Subjects {
    /// The image and its parents, top first, each with the findings about its link to the next one. Last may come files
    /// that should be parents and cannot be opened.
    pub files: Vec<(Subject, Vec<Finding>)>,
    /// The disk; the error says why it cannot be opened.
    pub container: Result<Container>,
}

impl Subjects {
    /// Finds an image file and its parents. `parents`: whether to look for them at all.
    ///
    /// # Errors
    /// When there is nothing to examine: no such file, no right to read it, a format that is not read.
    pub fn open(path: &Path, options: &OpenOptions, parents: bool) -> Result<Self> {
        let top = Subject::open(path, &*options.host)?;
        if top.disguised {
            return Ok(Self::unreadable(top));
        }
        match Image::open(path, options) {
            Ok(image) if image.linkage.is_some() && !parents => Ok(Self::alone(top)),
            Ok(image) => Self::of_chain(top, chain::walk(image, options), &*options.host),
            Err(error) => Ok(Self { files: vec![(top, Vec::new())], container: Err(error) }),
        }
    }

    /// As [`Self::open`], for images that are not files of the host: a chain, top first.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_sources(sources: Vec<Arc<dyn ByteSource>>, options: &OpenOptions) -> Result<Self> {
        let subjects = sources.iter().map(|source| Subject::new(source.clone(), PathBuf::new()));
        let files = subjects.map(|subject| Ok((subject?, Vec::new()))).collect::<Result<Vec<_>>>()?;
        let container = match files.iter().any(|(subject, _)| subject.disguised) {
            true => Err(Error::unsupported("its signature is damaged")),
            false => super::open_chain(sources, options),
        };
        Ok(Self { files, container })
    }

    /// As [`Self::open`], for an image that is not a file of the host; of a differencing one the parent is not examined.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_source(source: Arc<dyn ByteSource>, options: &OpenOptions) -> Result<Self> {
        let top = Subject::new(source.clone(), PathBuf::new())?;
        if top.disguised {
            return Ok(Self::unreadable(top));
        }
        Ok(match Image::from_source(source, "", options) {
            Ok(image) if image.linkage.is_some() => Self::alone(top),
            Ok(image) => Self {
                files: vec![(top, Vec::new())],
                container: Ok(Container::new(vec![image], Vec::new())),
            },
            Err(error) => Self { files: vec![(top, Vec::new())], container: Err(error) },
        })
    }

    fn unreadable(top: Subject) -> Self {
        let error = Error::unsupported("its signature is damaged");
        Self { files: vec![(top, Vec::new())], container: Err(error) }
    }

    fn alone(top: Subject) -> Self {
        let error = Error::not_found("a differencing disk, examined without its parent");
        Self { files: vec![(top, Vec::new())], container: Err(error) }
    }

    fn of_chain(top: Subject, walk: chain::Walk, host: &dyn Host) -> Result<Self> {
        let mut files = vec![(top, Vec::new())];
        for image in walk.images.iter().skip(1) {
            // The file that was found, whatever its name leads to by now.
            let subject = match &image.file {
                Some(file) => Subject::new(file.clone(), image.path.clone())?,
                None => Subject::open(&image.path, host)?,
            };
            files.push((subject, Vec::new()));
        }
        for writer in pending::writers(&walk.images) {
            let meaning = "what is found wrong may be a change that is not complete: examine it again when the other program has ended";
            files[writer.index].1.push(Finding::note("image file", writer.text(), meaning));
        }
        for (index, finding) in walk.findings {
            files[index].1.push(finding);
        }
        if let Some(error) = &walk.stopped {
            let meaning = "without the whole chain the disk cannot be read: neither its partition table nor its volumes";
            let last = walk.images.len() - 1;
            files[last].1.push(Finding::error("parent", error.to_string(), meaning));
        }
        for file in walk.unreadable.iter().take(MAX_UNREADABLE) {
            let path = file.path().to_owned();
            // Whatever is wrong with it is in the chain's error already.
            files.extend(Subject::new(file.clone(), path).ok().map(|subject| (subject, Vec::new())));
        }
        let container = match walk.stopped {
            Some(error) => Err(error),
            None => Ok(Container::new(walk.images, walk.warnings)),
        };
        Ok(Self { files, container })
    }
}

impl Subject {
    fn open(path: &Path, host: &dyn Host) -> Result<Self> {
        let split::Opened { mut source, files } = split::open(path, host)?;
        let redo = match redo::over_beside(&source, path) {
            Ok(Some(over)) if files.len() == 1 => {
                source = over;
                let problem = "it has changes that are not in the image yet; the image is examined with them";
                let meaning = "other programs do not see them before `vhdmount recover`";
                Some(Finding::warning("redo file", problem, meaning))
            }
            Err(error) if files.len() == 1 => {
                let meaning = "the image is examined as it is, perhaps in the middle of a commit";
                Some(Finding::error("redo file", error.to_string(), meaning))
            }
            _ => None,
        };
        Ok(Self { redo, ..Self::new(source, path.to_owned())? })
    }

    fn new(source: Arc<dyn ByteSource>, path: PathBuf) -> Result<Self> {
        let shown = if path.as_os_str().is_empty() { "image".to_owned() } else { path.display().to_string() };
        let (format, disguised) = match detect(&*source, &shown) {
            Ok(format) => (format, false),
            // A known container that is too damaged even to be taken for one.
            Err(error @ Error::Corrupt(_)) => {
                let mut head = [0; 8];
                source.read_exact_at(0, &mut head).map_err(|_| error)?;
                (if vhdx::detect(&head) { Detected::Vhdx } else { Detected::Vhd }, true)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, source, format, disguised, redo: None })
    }

    /// The file; empty for a source that is not one.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is: `dynamic VHDX`, or only the format where it cannot be opened.
    pub fn describe(&self, info: Option<&LayerInfo>) -> String {
        let format = match self.format {
            Detected::Vhdx => "VHDX",
            Detected::Vhd => "VHD",
            Detected::Raw => return "raw".into(),
        };
        info.map_or_else(
            || format.to_owned(),
            |info| {
                format!("{:?} {format}", info.kind)
                    .to_lowercase()
                    .replace("vhd", "VHD")
                    .replace("VHDx", "VHDX")
            },
        )
    }

    /// Examines the file's structures. `replay`: as it is read with its log replayed.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn check(&self, replay: bool, report: &mut dyn FindingSink) -> Result<()> {
        if let Some(finding) = &self.redo {
            report.finding(finding.clone());
        }
        match self.format {
            Detected::Vhdx => vhdx::check::check(&self.source, replay, report),
            Detected::Vhd => vhd::check::check(&self.source, report),
            Detected::Raw => {
                raw::check(&*self.source, &self.path, report);
                Ok(())
            }
        }
    }
}
