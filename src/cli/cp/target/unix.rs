//! The destination on POSIX systems: every call is relative to an open directory, and directories are opened one
//! component after the other without following links. So neither a link in the image nor one that another process creates
//! in the meantime leads outside.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    num::NonZeroUsize,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, ffi::OsStringExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags},
    io::Errno,
};
use vhdmount::{
    bytes::{ByteSource, read_vec},
    fs::{Name, Times, Timestamp},
};

use super::{Existing, FileId};
use crate::cli::cp::{Context, CopyError, folder::Folder};

/// `EILSEQ`, from filesystems that store Unicode.
pub(in crate::cli::cp) const INVALID_NAME: i32 = 84;
/// Separates a file's name from its stream's.
pub(in crate::cli::cp) const COLON: &str = ":";
/// Directories kept open: a fraction of the 1024 descriptors that a process usually may have.
const MAX_OPEN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// `XATTR_SIZE_MAX`
const MAX_ATTRIBUTE: usize = 64 << 10;
/// Largest file on FAT, which has 32 bits for its size.
const FAT_MAX: u64 = u32::MAX as u64;
/// `MSDOS_SUPER_MAGIC`
#[cfg(target_os = "linux")]
const FAT_MAGIC: u64 = 0x4d44;

/// The directory below which everything is created.
pub(in crate::cli::cp) struct Target {
    path: PathBuf,
    root: Arc<OwnedFd>,
    open: Mutex<LruCache<u64, Arc<OwnedFd>>>,
    max_file: u64,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Target {
    /// Opens an existing directory, through links in the path that the user gave.
    pub(in crate::cli::cp) fn open(path: &Path) -> io::Result<Self> {
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        let max_file = max_file(&root);
        let open = Mutex::new(LruCache::new(MAX_OPEN));
        Ok(Self { path: path.to_owned(), root: Arc::new(root), open, max_file })
    }

    pub(in crate::cli::cp) fn path(&self) -> &Path {
        &self.path
    }

    /// The filesystem's limit on file sizes, if it is a low one.
    pub(in crate::cli::cp) fn max_file(&self) -> u64 {
        self.max_file
    }

    fn directory(&self, folder: &Folder<'_>) -> io::Result<Arc<OwnedFd>> {
        let cached = |id| self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let mut missing = Vec::new();
        let mut at = folder;
        let mut directory = loop {
            let Some(parent) = &at.parent else { break self.root.clone() };
            if let Some(directory) = cached(at.id) {
                break directory;
            }
            missing.push(at);
            at = parent;
        };
        for folder in missing.into_iter().rev() {
            directory = Arc::new(rustix::fs::openat(&*directory, &*folder.name, DIRECTORY, Mode::empty())?);
            self.open.lock().unwrap_or_else(PoisonError::into_inner).put(folder.id, directory.clone());
        }
        Ok(directory)
    }

    /// The existing entry with this name; links are not followed.
    pub(in crate::cli::cp) fn existing(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
    ) -> io::Result<Option<Existing>> {
        match rustix::fs::statat(&*self.directory(folder)?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(Existing::Directory(id(&stat))))
            }
            Ok(stat) => Ok(Some(Existing::Other(id(&stat)))),
        }
    }

    pub(in crate::cli::cp) fn make_folder(&self, parent: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&*self.directory(parent)?, name, Mode::from_raw_mode(0o777))?)
    }

    /// Creates a file, which must not exist.
    pub(in crate::cli::cp) fn create(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        _attributes: u32,
    ) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        Ok(rustix::fs::openat(&*self.directory(folder)?, name, flags, mode)?.into())
    }

    /// Renames a file of the folder. Without `replace` an existing file is left and reported.
    pub(in crate::cli::cp) fn rename(
        &self,
        folder: &Folder<'_>,
        from: &OsStr,
        to: &OsStr,
        replace: bool,
    ) -> io::Result<()> {
        let directory = self.directory(folder)?;
        if !replace {
            #[cfg(target_os = "linux")]
            match rustix::fs::renameat_with(
                &*directory,
                from,
                &*directory,
                to,
                rustix::fs::RenameFlags::NOREPLACE,
            ) {
                // The filesystem does not support the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                done => return Ok(done?),
            }
            if self.existing(folder, to)?.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        Ok(rustix::fs::renameat(&*directory, from, &*directory, to)?)
    }

    pub(in crate::cli::cp) fn remove(&self, folder: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.directory(folder)?, name, AtFlags::empty())?)
    }

    /// Creates a hard link; fails where the name exists.
    pub(in crate::cli::cp) fn hard_link(
        &self,
        from: (&Folder<'_>, &OsStr),
        to: (&Folder<'_>, &OsStr),
    ) -> io::Result<()> {
        let directories = (self.directory(from.0)?, self.directory(to.0)?);
        Ok(rustix::fs::linkat(&*directories.0, from.1, &*directories.1, to.1, AtFlags::empty())?)
    }

    /// Creates a symbolic link with this text, which is not examined.
    pub(in crate::cli::cp) fn symlink(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        text: &[u8],
        _to_directory: bool,
    ) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(text, &*self.directory(folder)?, name)?)
    }

    /// Sets the times of a directory or link by its name.
    pub(in crate::cli::cp) fn set_times(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        times: &Times,
    ) -> io::Result<()> {
        let directory = self.directory(folder)?;
        Ok(rustix::fs::utimensat(&*directory, name, &timestamps(times), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the times of the target's root directory.
    pub(in crate::cli::cp) fn set_own_times(&self, times: &Times) -> io::Result<()> {
        Ok(rustix::fs::futimens(&*self.root, &timestamps(times))?)
    }

    /// Sets the Windows attributes of a directory, as for files.
    pub(in crate::cli::cp) fn set_folder_attributes(
        &self,
        folder: &Folder<'_>,
        attributes: u32,
        times: &Times,
    ) -> io::Result<()> {
        set_attributes(&self.open_directory(folder)?, attributes, times)
    }

    /// Opens a directory, to set attributes.
    pub(in crate::cli::cp) fn open_directory(&self, folder: &Folder<'_>) -> io::Result<File> {
        Ok(self.directory(folder)?.try_clone()?.into())
    }
}

#[cfg(target_os = "linux")]
fn max_file(root: &OwnedFd) -> u64 {
    let fat =
        rustix::fs::fstatfs(root).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|t| t == FAT_MAGIC));
    if fat { FAT_MAX } else { u64::MAX }
}

#[cfg(not(target_os = "linux"))]
fn max_file(_: &OwnedFd) -> u64 {
    u64::MAX
}

fn id(stat: &rustix::fs::Stat) -> FileId {
    (stat.st_dev, stat.st_ino.into())
}

/// The host's name for a name of the image: never with a separator, as [`Name::to_text`] escapes those.
pub(in crate::cli::cp) fn name(name: Name<'_>) -> OsString {
    OsString::from_vec(name.to_text())
}

pub(in crate::cli::cp) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

pub(in crate::cli::cp) fn set_file_times(file: &File, times: &Times) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &timestamps(times))?)
}

fn timestamps(times: &Times) -> Timestamps {
    let spec =
        |time: Timestamp| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos.min(999_999_999)) };
    Timestamps { last_access: spec(times.accessed), last_modification: spec(times.modified) }
}

/// Stores a stream as the extended attribute `user.NAME`.
pub(in crate::cli::cp) fn keep_stream(
    _: &Context<'_>,
    _: (&Folder<'_>, &OsStr),
    file: &File,
    stream: Name<'_>,
    source: &dyn ByteSource,
    _: &mut [u8],
) -> Result<(), CopyError> {
    let size = source.size();
    let other = "--streams=files keeps streams as files of their own";
    let refused = |error: io::Error| {
        CopyError::Failed(format!("{size} bytes are not kept as an extended attribute: {error}; {other}"))
    };
    let len = usize::try_from(size).ok().filter(|len| *len <= MAX_ATTRIBUTE);
    let len = len.ok_or_else(|| refused(Errno::TOOBIG.into()))?;
    let value = read_vec(source, 0, len).map_err(|error| CopyError::Failed(error.to_string()))?;
    let name = [b"user.", &stream.to_text()[..]].concat();
    let set = rustix::fs::fsetxattr(file, OsStr::from_bytes(&name), &value, XattrFlags::empty());
    set.map_err(|error| refused(error.into()))
}

/// The largest file that this process may write (RLIMIT_FSIZE), whatever the destination's limit.
pub(in crate::cli::cp) fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

/// Stores the Windows attributes and the creation time, which this system cannot set, as extended attributes in the form
/// of ntfs-3g's `system.ntfs_attrib` and `system.ntfs_crtime`.
pub(in crate::cli::cp) fn set_attributes(file: &File, attributes: u32, times: &Times) -> io::Result<()> {
    let set = |name: &str, value: &[u8]| rustix::fs::fsetxattr(file, name, value, XattrFlags::empty());
    set("user.ntfs_attrib", &attributes.to_le_bytes())?;
    Ok(set("user.ntfs_crtime", &filetime(times.created).to_le_bytes())?)
}

/// Units of 100 ns since 1601, UTC; a time out of range becomes the nearest one in it.
fn filetime(time: Timestamp) -> u64 {
    const UNITS: i128 = 10_000_000;
    const EPOCH: i128 = 11_644_473_600;
    let units = (i128::from(time.seconds) + EPOCH) * UNITS + i128::from(time.nanos / 100);
    u64::try_from(units.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filetimes_are_those_of_windows() {
        let at = |seconds, nanos| filetime(Timestamp { seconds, nanos });
        assert_eq!(at(-11_644_473_600, 0), 0);
        assert_eq!(at(1_247_537_664, 500_000_000), 128_920_112_645_000_000);
        assert_eq!(at(i64::MIN, 0), 0);
        assert_eq!(at(i64::MAX, 0), u64::MAX);
    }
}
