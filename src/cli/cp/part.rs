//! A file being written: it has a temporary name until it is complete, and is removed if dropped before that.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Context, CopyError,
    folder::{Folder, Origin},
    names::{ItemName, is_refused},
    target::{Existing, File, FileId},
};

/// Temporary names tried: a killed run may have left some, but more in one directory are no accident.
const MAX_TRIES: u32 = 1000;

/// A file or link that still has its temporary name.
pub(super) struct Part<'a> {
    context: &'a Context<'a>,
    pub(super) folder: Arc<Folder<'a>>,
    pub(super) name: OsString,
    published: bool,
}

/// The state of the destination's name before publishing.
enum Standing {
    Free,
    Replace,
    Skip,
    Refuse(String),
}

impl<'a> Part<'a> {
    /// Creates a file or link by `make`, which is called with a temporary name and fails where the name exists.
    pub(super) fn new<T>(
        context: &'a Context<'a>,
        folder: &Arc<Folder<'a>>,
        mut make: impl FnMut(&OsStr) -> io::Result<T>,
    ) -> Result<(Self, T), CopyError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut tries = 0;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!(".vhdmount-{:x}-{number:x}.part", std::process::id()));
            match make(&name) {
                Ok(made) => {
                    return Ok((Self { context, folder: folder.clone(), name, published: false }, made));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < MAX_TRIES => tries += 1,
                Err(error) => return Err(context.refused(&folder.shown(OsStr::new("")), &error)),
            }
        }
    }

    /// Its current path in the destination.
    pub(super) fn shown(&self) -> String {
        self.folder.shown(&self.name)
    }

    /// Creates an empty file with these Windows attributes.
    pub(super) fn create(
        context: &'a Context<'a>,
        folder: &Arc<Folder<'a>>,
        attributes: u32,
    ) -> Result<(Self, File), CopyError> {
        Self::new(context, folder, |name| context.target.create(folder, name, attributes))
    }

    /// Renames it to its name, or to an alternative that the destination accepts; returns the name used.
    pub(super) fn publish(mut self, name: &ItemName) -> Result<OsString, CopyError> {
        let mut candidate = name.first();
        // Locked until the file is registered: another name of the image may be the same one in the destination.
        let mut made = self.context.made(&self.folder);
        loop {
            let refused = match self.rename(&candidate, made.as_deref())? {
                None => break,
                Some(error) => error,
            };
            match name.after(&candidate) {
                Some(next) => candidate = next,
                None => return Err(self.context.refused(&self.folder.shown(&candidate), &refused)),
            }
        }
        self.published = true;
        if let Some(made) = &mut made {
            made.extend(self.context.id(&self.folder, &candidate));
        }
        drop(made);
        if candidate != name.first() {
            let shown = self.folder.shown(&candidate);
            let what = format!("kept as {shown}, as the destination does not take its name");
            self.context.log.note(&self.folder.path(&name.text()), what);
        }
        Ok(candidate)
    }

    /// Renames it to `name`. Returns the destination's error if another name may be accepted.
    fn rename(&self, name: &OsStr, made: Option<&HashSet<FileId>>) -> Result<Option<io::Error>, CopyError> {
        let (context, folder) = (self.context, &self.folder);
        let is_made = |id: &FileId| made.is_some_and(|made| made.contains(id));
        let replace = match standing(context, folder, name, is_made) {
            Ok(Standing::Skip) => return Err(CopyError::Skipped),
            Ok(Standing::Refuse(why)) => return Err(CopyError::Failed(why)),
            Ok(Standing::Free) => false,
            Ok(Standing::Replace) => true,
            Err(error) if is_refused(&error) => return Ok(Some(error)),
            Err(error) => return Err(context.refused(&folder.shown(name), &error)),
        };
        match context.target.rename(folder, &self.name, name, replace) {
            Ok(()) => {
                if replace {
                    // If both were names of the same file already, rename(2) leaves both.
                    let _ = context.target.remove(folder, &self.name);
                }
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CopyError::Failed(collision(&folder.shown(name))))
            }
            Err(error) if is_refused(&error) => Ok(Some(error)),
            Err(error) => Err(context.refused(&folder.shown(name), &error)),
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.published {
            // A file that cannot be removed keeps its temporary name, so it does not pass for a complete one.
            let _ = self.context.target.remove(&self.folder, &self.name);
        }
    }
}

/// The message for two names of the image that are one name in the destination.
pub(super) fn collision(shown: &str) -> String {
    format!(
        "not copied: {shown} was made from another name of the image, which differs in case or not at all; copy it \
         elsewhere"
    )
}

/// Fails early if the name is known to be taken, before any content is read.
pub(super) fn is_taken(context: &Context<'_>, folder: &Folder<'_>, name: &ItemName) -> Result<(), CopyError> {
    if folder.is_fresh() {
        return Ok(());
    }
    let is_made = |id: &FileId| context.made(folder).is_some_and(|made| made.contains(id));
    match standing(context, folder, &name.first(), is_made) {
        Ok(Standing::Skip) => Err(CopyError::Skipped),
        Ok(Standing::Refuse(why)) => Err(CopyError::Failed(why)),
        _ => Ok(()),
    }
}

/// The state of a name in a folder. Files that this run created are never replaced.
fn standing(
    context: &Context<'_>,
    folder: &Folder<'_>,
    name: &OsStr,
    is_made: impl Fn(&FileId) -> bool,
) -> io::Result<Standing> {
    if folder.is_fresh() {
        return Ok(Standing::Free);
    }
    let is_made = |id: &FileId| folder.origin == Origin::Shared || is_made(id);
    let refuse = |why: &str| Ok(Standing::Refuse(format!("not copied: {}: {why}", folder.shown(name))));
    match context.target.existing(folder, name)? {
        None => Ok(Standing::Free),
        Some(Existing::Other(id)) if is_made(&id) => Ok(Standing::Refuse(collision(&folder.shown(name)))),
        Some(_) if context.options.no_clobber => Ok(Standing::Skip),
        Some(Existing::Directory(_)) => refuse("is a directory, which is never replaced"),
        Some(Existing::Other(id)) if context.images.contains(&id) => refuse("is the image itself"),
        Some(Existing::Other(_)) if context.options.force => Ok(Standing::Replace),
        Some(Existing::Other(_)) => refuse("exists (-f replaces such files, -n leaves them)"),
    }
}
