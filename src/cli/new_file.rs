//! A new image file: it is called `NAME.partial` until it is complete, and is removed if it never gets there.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use vhdmount::bytes::FileSink;

use super::Failure;

/// A file that is being written.
pub(super) struct NewFile {
    pub(super) sink: FileSink,
    partial: PathBuf,
    path: PathBuf,
    replace: bool,
    published: bool,
}

impl NewFile {
    /// Creates `path.partial`. Nothing that exists is ever replaced.
    ///
    /// # Errors
    /// When one of both names exists, or the folder cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        Self::create_or_replace(path, false)
    }

    /// The same; with `replace` a file of that name is replaced when the new one is complete.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(super) fn create_or_replace(path: &Path, replace: bool) -> Result<Self, Failure> {
        match path.symlink_metadata() {
            Ok(there) if replace && there.is_file() => {}
            Ok(_) => return Err(exists(path)),
            Err(_) => {}
        }
        let mut name = OsString::from(path);
        name.push(".partial");
        let partial = PathBuf::from(name);
        // Read as well, to compare it.
        let file =
            File::options().read(true).write(true).create_new(true).open(&partial).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::AlreadyExists => Failure::destination_text(format_args!(
                        "{} exists: another run is writing it, or one was killed; remove it in that case",
                        partial.display()
                    )),
                    _ => Failure::destination(&partial, &error),
                }
            })?;
        let sink = FileSink::new(file, &partial);
        Ok(Self { sink, partial, path: path.to_owned(), replace, published: false })
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// When another program has made a file of that name meanwhile.
    pub(super) fn publish(mut self) -> Result<(), Failure> {
        if self.replace {
            fs::rename(&self.partial, &self.path)
                .map_err(|error| Failure::destination(&self.path, &error))?;
            self.published = true;
            return Ok(());
        }
        // A second name for the file, as no system replaces an existing file for that.
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(&self.path)),
            // A filesystem without hard links.
            Err(_) if self.path.symlink_metadata().is_err() => {
                fs::rename(&self.partial, &self.path)
                    .map_err(|error| Failure::destination(&self.path, &error))?;
                self.published = true;
                return Ok(());
            }
            Err(_) => return Err(exists(&self.path)),
        }
        let removed = fs::remove_file(&self.partial);
        self.published = true;
        // The name is part of what should survive a power cut. Windows has no such call.
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // A filesystem that cannot do it has done what it can.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        removed.map_err(|error| Failure::destination(&self.partial, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.published {
            // Its name says that it is not complete, should it stay.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::destination_text(format_args!(
        "{} exists, and is not replaced: remove it, or give another name",
        path.display()
    ))
}
