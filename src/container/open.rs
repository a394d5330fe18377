//! From a path to a disk: opens the image and finds its parents.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{LayerInfo, chain, image::Image, opened::Container, options::OpenOptions, pending};
use crate::{Error, Result, bytes::ByteSource};

/// Children that a warning names.
const MAX_NAMED: usize = 5;

/// Opens an image file or block device and its parents, read-only.
///
/// # Errors
/// [`Error::NotFound`] for a missing image or parent, with where it was looked for; [`Error::Denied`] for a locked or
/// protected one; [`Error::Unsupported`] for a known format that is not read; what the format's own structures say.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Container> {
    let top = Image::open(path, options)?;
    let children = if options.find_children { chain::children(&top, options) } else { Vec::new() };
    let walk = chain::walk(top, options);
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
    warnings.extend(of_children(path, &children));
    let writers = pending::writers(&walk.images);
    warnings.extend(writers.iter().map(|writer| writer.text()));
    Ok(Container::new(walk.images, warnings).with_writers(&writers))
}

/// What the images of a chain say of themselves, top first, as far as the chain can be followed; and why it ends there, where a
/// parent is missing.
///
/// # Errors
/// As [`open`], for the image at `path`.
pub fn describe(path: &Path, options: &OpenOptions) -> Result<(Vec<LayerInfo>, Option<Error>)> {
    let walk = chain::walk(Image::open(path, options)?, options);
    Ok((walk.images.iter().map(|image| image.layer.info().clone()).collect(), walk.stopped))
}

/// What one image says of itself; its parents are not looked for.
///
/// # Errors
/// As [`open`].
pub fn describe_alone(path: &Path, options: &OpenOptions) -> Result<LayerInfo> {
    Ok(Image::open(path, options)?.layer.info().clone())
}

/// The warning about images that continue the one at `path`.
fn of_children(path: &Path, children: &[PathBuf]) -> Option<String> {
    let name = |child: &PathBuf| {
        child
            .file_name()
            .map_or_else(|| child.display().to_string(), |name| name.to_string_lossy().into_owned())
    };
    let names: Vec<_> = children.iter().take(MAX_NAMED).map(name).collect();
    let more = if children.len() > MAX_NAMED { ", …" } else { "" };
    let path = path.display();
    (!names.is_empty()).then(|| {
        format!(
            "{path} has children beside it ({}{more}): this is the disk as it was before them; open a child for what came later",
            names.join(", ")
        )
    })
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
