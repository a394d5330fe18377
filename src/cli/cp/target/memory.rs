//! A destination in memory, for the fuzz target of commands: names are exact, everything is accepted.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vhdmount::{
    bytes::{ByteSource, read_vec, testing::Sparse},
    fs::{Name, Times},
};

use super::{Existing, FileId};
use crate::cli::cp::{Context, CopyError, folder::Folder};

pub(in crate::cli::cp) const INVALID_NAME: i32 = 84;
pub(in crate::cli::cp) const COLON: &str = ":";
/// `XATTR_SIZE_MAX`
const MAX_ATTRIBUTE: u64 = 64 << 10;

/// The files and directories so far, by their paths.
pub(in crate::cli::cp) struct Target {
    path: PathBuf,
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
}

#[derive(Clone)]
enum Entry {
    Directory(Arc<()>),
    File(File),
    Link(Arc<()>),
}

/// A file, open or not.
#[derive(Clone, Default)]
pub(in crate::cli::cp) struct File(Arc<Mutex<Sparse>>);

/// What is known of a file.
pub(in crate::cli::cp) struct Metadata(u64);

impl Metadata {
    pub(in crate::cli::cp) fn len(&self) -> u64 {
        self.0
    }
}

impl File {
    fn content(&self) -> MutexGuard<'_, Sparse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::cli::cp) fn metadata(&self) -> io::Result<Metadata> {
        Ok(Metadata(self.content().size()))
    }

    pub(in crate::cli::cp) fn set_len(&self, len: u64) -> io::Result<()> {
        self.content().truncate(len);
        Ok(())
    }
}

impl Entry {
    fn id(&self) -> FileId {
        let address = match self {
            Self::Directory(id) | Self::Link(id) => Arc::as_ptr(id).addr(),
            Self::File(file) => Arc::as_ptr(&file.0).addr(),
        };
        (0, address as u128)
    }
}

impl Target {
    pub(in crate::cli::cp) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), entries: Mutex::default() })
    }

    pub(in crate::cli::cp) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::cli::cp) fn max_file(&self) -> u64 {
        u64::MAX
    }

    /// The files that were copied.
    pub(in crate::cli::cp) fn files(&self) -> Vec<(PathBuf, Sparse)> {
        let entries = self.entries();
        let file = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File(file) => Some((path.clone(), file.content().clone())),
            Entry::Directory(_) | Entry::Link(_) => None,
        };
        entries.iter().filter_map(file).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, folder: &Folder<'_>, name: &OsStr, entry: Entry) -> io::Result<()> {
        // One component, which is what the host's own calls would want.
        let is_name =
            !name.is_empty() && !name.as_encoded_bytes().contains(&b'/') && name != "." && name != "..";
        assert!(is_name, "{name:?} is no name");
        let path = path_of(folder, name);
        let mut entries = self.entries();
        if entries.contains_key(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        entries.insert(path, entry);
        Ok(())
    }

    pub(in crate::cli::cp) fn existing(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
    ) -> io::Result<Option<Existing>> {
        Ok(self.entries().get(&path_of(folder, name)).map(|entry| match entry {
            Entry::Directory(_) => Existing::Directory(entry.id()),
            Entry::File(_) | Entry::Link(_) => Existing::Other(entry.id()),
        }))
    }

    pub(in crate::cli::cp) fn make_folder(&self, parent: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        self.add(parent, name, Entry::Directory(Arc::new(())))
    }

    pub(in crate::cli::cp) fn create(&self, folder: &Folder<'_>, name: &OsStr, _: u32) -> io::Result<File> {
        let file = File::default();
        self.add(folder, name, Entry::File(file.clone()))?;
        Ok(file)
    }

    pub(in crate::cli::cp) fn rename(
        &self,
        folder: &Folder<'_>,
        from: &OsStr,
        to: &OsStr,
        replace: bool,
    ) -> io::Result<()> {
        let (from, to) = (path_of(folder, from), path_of(folder, to));
        let mut entries = self.entries();
        if !replace && entries.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let entry = entries.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        entries.insert(to, entry);
        Ok(())
    }

    pub(in crate::cli::cp) fn remove(&self, folder: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        let removed = self.entries().remove(&path_of(folder, name));
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(in crate::cli::cp) fn hard_link(
        &self,
        from: (&Folder<'_>, &OsStr),
        to: (&Folder<'_>, &OsStr),
    ) -> io::Result<()> {
        let entry = self.entries().get(&path_of(from.0, from.1)).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.add(to.0, to.1, entry)
    }

    pub(in crate::cli::cp) fn symlink(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        _: &[u8],
        _: bool,
    ) -> io::Result<()> {
        self.add(folder, name, Entry::Link(Arc::new(())))
    }

    pub(in crate::cli::cp) fn set_times(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        _: &Times,
    ) -> io::Result<()> {
        match self.entries().contains_key(&path_of(folder, name)) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(in crate::cli::cp) fn set_own_times(&self, _: &Times) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::cli::cp) fn set_folder_attributes(
        &self,
        _: &Folder<'_>,
        _: u32,
        _: &Times,
    ) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::cli::cp) fn open_directory(&self, _: &Folder<'_>) -> io::Result<File> {
        Ok(File::default())
    }
}

fn path_of(folder: &Folder<'_>, name: &OsStr) -> PathBuf {
    let mut names = vec![name];
    let mut at = folder;
    while let Some(parent) = &at.parent {
        names.push(&at.name);
        at = parent;
    }
    names.into_iter().rev().filter(|name| !name.is_empty()).collect()
}

pub(in crate::cli::cp) fn name(name: Name<'_>) -> OsString {
    OsString::from_vec(name.to_text())
}

pub(in crate::cli::cp) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.content().write(offset, bytes);
    Ok(())
}

pub(in crate::cli::cp) fn set_file_times(_: &File, _: &Times) -> io::Result<()> {
    Ok(())
}

pub(in crate::cli::cp) fn keep_stream(
    _: &Context<'_>,
    _: (&Folder<'_>, &OsStr),
    _: &File,
    _: Name<'_>,
    source: &dyn ByteSource,
    _: &mut [u8],
) -> Result<(), CopyError> {
    let len = usize::try_from(source.size().min(MAX_ATTRIBUTE)).expect("64 KiB at most");
    read_vec(source, 0, len).map(drop).map_err(|error| CopyError::Failed(error.to_string()))
}

pub(in crate::cli::cp) fn file_limit() -> Option<u64> {
    None
}

pub(in crate::cli::cp) fn set_attributes(_: &File, _: u32, _: &Times) -> io::Result<()> {
    Ok(())
}
