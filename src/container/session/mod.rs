//! Sessions: a chain that is open for writing. What is written is an overlay, a differencing disk of the image's own kind over
//! the image, which nothing changes; or, where the user says so, the image itself.
//!
//! A session has three steps, as a process that confines itself must open files before it parses any:
//! [`SessionFiles`] opens what is written, with the rights of the process; [`WritingSession::open`] reads, makes what is missing and
//! opens the chain; [`WritingSession::close`] publishes and leaves the files as those of a disk that was closed properly.

mod child;
mod discard;
mod files;
mod parents;
mod reconnect;
mod recover;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

pub use discard::Discard;
pub use files::SessionFiles;
pub use reconnect::{Reconnected, reconnect};
pub use recover::{Recovered, recover};

pub use super::write::Publish;

use self::parents::Parents;
use super::{
    Container, OpenOptions,
    chain::{self, Walk},
    image::Image,
    locks::{self, Lock, Use},
    write::{Below, WritableDisk, WriteOptions},
};
use crate::{
    Error, Result,
    bytes::{Backing, ByteSink, FileSource},
};

/// How a session writes.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// When what is written becomes visible.
    pub publish: Publish,
    /// Most bytes of a VHDX log that are in use at a time; the whole log if `None`.
    pub log_limit: Option<u64>,
}

/// A chain that is open for writing.
pub struct WritingSession {
    disk: Arc<WritableDisk>,
    container: Container,
    /// Before the files: it ends while they are open.
    lock: Option<Lock>,
    parents: Parents,
    files: SessionFiles,
}

impl WritingSession {
    /// Opens the overlay `child` over `image`. It is made where there is none, as a differencing disk of the image's kind.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an overlay of another image, and for one whose image has changed since; [`Error::Denied`] for one that is
    /// in use; as opening the image.
    pub fn overlay(
        image: &Path,
        child: &Path,
        options: &OpenOptions,
        write: &SessionOptions,
    ) -> Result<Self> {
        Self::open(SessionFiles::of_overlay(image, child)?, options, write)
    }

    /// Opens `image` itself; what has no log has a redo file beside it.
    ///
    /// # Errors
    /// As opening the image, and as [`WritableDisk::open`].
    pub fn in_place(image: &Path, options: &OpenOptions, write: &SessionOptions) -> Result<Self> {
        Self::open(SessionFiles::in_place(image)?, options, write)
    }

    /// Opens the chain whose files are open already.
    ///
    /// # Errors
    /// As [`Self::overlay`] and [`Self::in_place`].
    pub fn open(mut files: SessionFiles, options: &OpenOptions, write: &SessionOptions) -> Result<Self> {
        let lock = locks::hold(&*files.reader()?, Use::Write)?;
        if options.force_parent {
            return Err(Error::invalid("nothing is written over a parent that is used by force"));
        }
        let Walk { images: mut below, mut warnings, stopped, .. } = match files.is_overlay() {
            true => chain::walk(Image::open(files.image(), options)?, options),
            false => chain::walk(Image::of_file(files.reader()?, files.image(), options)?, options),
        };
        if let Some(error) = stopped {
            return Err(error);
        }
        // Before anything is based on them; of an image that is written only what lies below it.
        let parents = Parents::hold(if files.is_overlay() { &below } else { &below[1..] })?;
        if files.is_overlay() {
            if files.is_new() {
                warnings.extend(child::make(&files, &below)?);
                files.made()?;
            }
            let top = Image::of_file(files.reader()?, files.path(), options)?;
            if let (Some(linkage), Some(base)) = (&top.linkage, below.first_mut()) {
                base.identify(linkage);
            }
            warnings.extend(child::verify(&top, &files, &below)?);
            below.insert(0, top);
        }
        let write = WriteOptions {
            log_limit: write.log_limit,
            redo: files.redo().cloned(),
            publish: write.publish,
            ..WriteOptions::default()
        };
        let mut images = below.into_iter();
        let top = images.next().expect("a chain has at least one image");
        let rest: Vec<_> = images.collect();
        let parent = rest.first().map(|base| {
            let layers = rest.iter().map(|image| image.layer.clone()).collect();
            Below::new(Arc::new(super::Disk::new(layers)), base.identity)
        });
        let disk = Arc::new(WritableDisk::open(files.target().clone(), parent, &write)?);
        // Once more: opening it for writing has replayed its log.
        drop(top);
        let top = Image::of_file(files.reader()?, files.path(), options)?;
        let container = Container::new(std::iter::once(top).chain(rest).collect(), warnings).of_session();
        Ok(Self { disk, container, lock: Some(lock), parents, files })
    }

    /// The disk: reads see every write.
    pub fn disk(&self) -> &Arc<WritableDisk> {
        &self.disk
    }

    /// The chain as it was when the session began: for what is reported of its files. Its disk does not follow the writes.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Makes everything so far durable, and visible to those who open the image, unless the session publishes at its end alone.
    ///
    /// A file below the overlay that has changed ends the writing: what was published before stays.
    ///
    /// # Errors
    /// As [`ByteSink::flush`].
    pub fn checkpoint(&self) -> Result<()> {
        self.watch();
        self.disk.flush()
    }

    /// Ends the writing when a file below has changed.
    fn watch(&self) {
        if let Some(reason) = self.parents.changed() {
            self.disk.stop(&reason);
        }
    }

    /// Publishes what was written, closes the files and removes a redo file that has nothing to apply. Others who hold
    /// [`Self::disk`] can still read from it.
    ///
    /// # Errors
    /// As [`ByteSink::flush`].
    pub fn close(mut self) -> Result<()> {
        self.watch();
        self.disk.close()?;
        self.lock.take();
        self.files.tidy()
    }
}

/// The chain below the overlay, by its first image.
fn first(below: &[Image]) -> Result<&Image> {
    below.first().ok_or_else(|| Error::invalid("a chain without an image"))
}

/// A file that is open for reading and writing, as a file that is read.
fn reader(file: &crate::bytes::BackingFile, path: &Path) -> Result<Arc<FileSource>> {
    let file = file.file().try_clone().map_err(|error| Error::io(path.display().to_string(), error))?;
    Ok(Arc::new(FileSource::of_open(file, path)?))
}

/// The file that is written.
type Target = Arc<dyn Backing>;
