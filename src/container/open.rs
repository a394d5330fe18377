//! From a path to a disk: opens the image and finds its parents.

use std::{path::Path, sync::Arc};

use super::{chain, image::Image, locks, opened::Container, options::OpenOptions};
use crate::{Error, Result, bytes::ByteSource};

/// Opens an image file or block device and its parents, read-only.
///
/// # Errors
/// [`Error::NotFound`] for a missing image or parent, with where it was looked for; [`Error::Denied`] for a locked or
/// protected one; [`Error::Unsupported`] for a known format that is not read; what the format's own structures say.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Container> {
    let walk = chain::walk(Image::open(path, options)?, options);
    if let Some(error) = walk.stopped {
        return Err(error);
    }
    let mut warnings = walk.warnings;
    warnings.extend(walk.images.iter().filter(|image| image.redo_pending).map(|image| {
        let path = image.path.display();
        format!(
            "{path}: the redo file beside it has changes that are not in the image yet; they are shown. Other programs do not see them \
             before `vhdmount recover {path}`"
        )
    }));
    let written =
        walk.images.iter().filter_map(|image| image.file.as_deref()).filter(|file| locks::has_writer(file));
    warnings.extend(written.map(|file| {
        let path = file.path().display();
        format!("{path} is being written by another program: what is read of it may be old in one place and new in another")
    }));
    Ok(Container::new(walk.images, warnings))
}

/// Opens an image that is not a file of the host (an image inside an image). It has no folder, so no parents.
///
/// # Errors
/// As [`open`].
pub fn open_source(source: Arc<dyn ByteSource>, options: &OpenOptions) -> Result<Container> {
    open_chain(vec![source], options)
}

/// Opens images that are not files of the host: one, and its parents below it, each of which must be the one that its child
/// names.
///
/// # Errors
/// As [`open`].
pub fn open_chain(sources: Vec<Arc<dyn ByteSource>>, options: &OpenOptions) -> Result<Container> {
    let mut images: Vec<Image> = Vec::with_capacity(sources.len());
    for source in sources {
        let mut image = Image::from_source(source, "", options)?;
        let is_parent = match images.last().map(|child| &child.linkage) {
            None => true,
            Some(None) => return Err(Error::invalid("a parent below an image that has none")),
            Some(Some(linkage)) => {
                image.identify(linkage);
                linkage.accepts(image.identity)
            }
        };
        if !is_parent && !options.force_parent {
            return Err(Error::not_found(format!(
                "the parent of image {}: the next one given has another identity ({})",
                images.len(),
                image.identity.text()
            )));
        }
        images.push(image);
    }
    let Some(last) = images.last() else { return Err(Error::invalid("no image given")) };
    let is_open = last.linkage.is_some();
    if is_open && !options.force_parent {
        return Err(Error::not_found(
            "a differencing image inside another image: its parent cannot be found from here; copy it and its parents \
             out and open them there",
        ));
    }
    let warnings = if is_open { vec![chain::WITHOUT_PARENT.to_owned()] } else { Vec::new() };
    Ok(Container::new(images, warnings))
}
