//! The destination on Windows. Paths are verbatim (`\\?\C:\…`): of any length, and no part of them has a meaning. What
//! could lead out is a link: a folder is entered only when it was made here or is seen to be none, and a link of the image
//! never takes the place of a folder.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, FileTimes, OpenOptions},
    io,
    os::windows::{
        ffi::OsStringExt,
        fs::{FileExt, FileTimesExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use vhdmount::{
    bytes::ByteSource,
    fs::{Name, Times, Timestamp},
};

use super::Existing;
use crate::{
    cli::cp::{Context, CopyError, folder::Folder, names, work},
    platform,
};

const ATTRIBUTE_READONLY: u32 = 0x1;
/// READONLY, HIDDEN, SYSTEM, ARCHIVE, NOT_CONTENT_INDEXED: what a program may set.
const SETTABLE: u32 = 0x2027;
const SPARSE: u32 = 0x200;
const REPARSE_POINT: u32 = 0x400;
const WRITE_ATTRIBUTES: u32 = 0x100;
/// `FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT`: directories, and links themselves.
const ITSELF: u32 = 0x0220_0000;

/// The directory below which everything is made.
pub(in crate::cli::cp) struct Target {
    verbatim: PathBuf,
    /// As the user wrote it.
    path: PathBuf,
}

impl Target {
    /// An existing directory, through links if the user named one.
    pub(in crate::cli::cp) fn open(path: &Path) -> io::Result<Self> {
        let verbatim = fs::canonicalize(path)?;
        if !fs::metadata(&verbatim)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { verbatim, path: path.to_owned() })
    }

    /// The directory as messages name it.
    pub(in crate::cli::cp) fn path(&self) -> &Path {
        &self.path
    }

    /// The largest file that the filesystem takes, where that is known before.
    pub(in crate::cli::cp) fn max_file(&self) -> u64 {
        u64::MAX
    }

    fn directory(&self, folder: &Folder<'_>) -> PathBuf {
        let (mut parts, mut at) = (Vec::new(), folder);
        while let Some(parent) = &at.parent {
            parts.push(&at.name);
            at = parent;
        }
        let mut path = self.verbatim.clone();
        path.extend(parts.iter().rev());
        path
    }

    fn place(&self, folder: &Folder<'_>, name: &OsStr) -> PathBuf {
        let mut path = self.directory(folder);
        path.push(name);
        path
    }

    /// What there is under a name; links are not followed.
    pub(in crate::cli::cp) fn existing(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
    ) -> io::Result<Option<Existing>> {
        let open = || OpenOptions::new().access_mode(0).custom_flags(ITSELF).open(self.place(folder, name));
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let (found, id) = (file.metadata()?, platform::file_id(&file)?);
        // Of links and other reparse points the standard library says that they are no directories, or not.
        let directory = found.is_dir() && found.file_attributes() & REPARSE_POINT == 0;
        Ok(Some(if directory { Existing::Directory(id) } else { Existing::Other(id) }))
    }

    pub(in crate::cli::cp) fn make_folder(&self, parent: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        fs::create_dir(self.place(parent, name))
    }

    /// A new file, which must not exist.
    pub(in crate::cli::cp) fn create(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        attributes: u32,
    ) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A handle that creates a file may write to it, also where the file is read-only from then on.
        options.write(true).create_new(true).attributes(attributes & SETTABLE);
        let file = options.open(self.place(folder, name))?;
        if attributes & SPARSE != 0 {
            // Where it cannot be done the file takes more space, and reads the same.
            let _ = platform::set_sparse(&file);
        }
        Ok(file)
    }

    /// Gives a file of the folder another name. Without `replace` an existing one is left and reported.
    pub(in crate::cli::cp) fn rename(
        &self,
        folder: &Folder<'_>,
        from: &OsStr,
        to: &OsStr,
        replace: bool,
    ) -> io::Result<()> {
        let (from, to) = (self.place(folder, from), self.place(folder, to));
        if !replace {
            return platform::rename_new(&from, &to);
        }
        // Windows protects a read-only file from being replaced; that it may be has been decided.
        let attributes = fs::symlink_metadata(&to)?.file_attributes();
        if attributes & ATTRIBUTE_READONLY == 0 {
            return fs::rename(from, to);
        }
        platform::set_attributes(&to, attributes & SETTABLE & !ATTRIBUTE_READONLY)?;
        fs::rename(from, &to).inspect_err(|_| {
            // It stays: as it was.
            let _ = platform::set_attributes(&to, attributes & SETTABLE);
        })
    }

    pub(in crate::cli::cp) fn remove(&self, folder: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        let path = self.place(folder, name);
        let found = fs::symlink_metadata(&path)?;
        if found.file_attributes() & ATTRIBUTE_READONLY != 0 {
            platform::set_attributes(&path, 0)?;
        }
        if found.is_symlink() && found.file_attributes() & 0x10 != 0 {
            return fs::remove_dir(path);
        }
        fs::remove_file(path)
    }

    /// Another name for a file; fails where there is something of that name.
    pub(in crate::cli::cp) fn hard_link(
        &self,
        from: (&Folder<'_>, &OsStr),
        to: (&Folder<'_>, &OsStr),
    ) -> io::Result<()> {
        fs::hard_link(self.place(from.0, from.1), self.place(to.0, to.1))
    }

    /// A symbolic link with this text, which is not looked at. Windows wants to be told whether it is to a directory.
    pub(in crate::cli::cp) fn symlink(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        text: &[u8],
        to_directory: bool,
    ) -> io::Result<()> {
        let text = String::from_utf8_lossy(text).replace('/', r"\");
        let path = self.place(folder, name);
        match to_directory {
            true => std::os::windows::fs::symlink_dir(text, path),
            false => std::os::windows::fs::symlink_file(text, path),
        }
    }

    /// Sets the times of a directory or link by its name.
    pub(in crate::cli::cp) fn set_times(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        times: &Times,
    ) -> io::Result<()> {
        set_times_of(&self.place(folder, name), times)
    }

    /// Sets the times of the directory where the target begins.
    pub(in crate::cli::cp) fn set_own_times(&self, times: &Times) -> io::Result<()> {
        set_times_of(&self.verbatim, times)
    }

    /// An open directory, to set attributes.
    pub(in crate::cli::cp) fn open_directory(&self, folder: &Folder<'_>) -> io::Result<File> {
        OpenOptions::new().access_mode(WRITE_ATTRIBUTES).custom_flags(ITSELF).open(self.directory(folder))
    }

    /// The attributes of a directory.
    pub(in crate::cli::cp) fn set_folder_attributes(
        &self,
        folder: &Folder<'_>,
        attributes: u32,
        _: &Times,
    ) -> io::Result<()> {
        platform::set_attributes(&self.directory(folder), attributes & SETTABLE)
    }

    /// A named stream of a file or directory of the folder; with an empty name the folder's own.
    fn create_stream(&self, folder: &Folder<'_>, name: &OsStr, stream: Name<'_>) -> io::Result<File> {
        let mut path = match name.is_empty() {
            true => self.directory(folder),
            false => self.place(folder, name),
        }
        .into_os_string();
        path.push(":");
        path.push(OsString::from_wide(&names::windows(stream).0));
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }
}

/// A stream as one of the destination's.
pub(in crate::cli::cp) fn keep_stream(
    context: &Context<'_>,
    (folder, name): (&Folder<'_>, &OsStr),
    _: &File,
    stream: Name<'_>,
    source: &dyn ByteSource,
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    let shown = folder.shown(name);
    let file = context.target.create_stream(folder, name, stream);
    let file = file.map_err(|error| context.refused(&shown, &error))?;
    work::copy_whole(context, source, &file, &|| shown.clone(), buffer)
}

/// Windows limits no process.
pub(in crate::cli::cp) fn file_limit() -> Option<u64> {
    None
}

/// A file was made with its attributes.
pub(in crate::cli::cp) fn set_attributes(_: &File, _: u32, _: &Times) -> io::Result<()> {
    Ok(())
}

fn set_times_of(path: &Path, times: &Times) -> io::Result<()> {
    let file = OpenOptions::new().access_mode(WRITE_ATTRIBUTES).custom_flags(ITSELF).open(path)?;
    set_file_times(&file, times)
}

/// A name of the image as one that Windows takes.
pub(in crate::cli::cp) fn name(name: Name<'_>) -> OsString {
    OsString::from_wide(&names::windows(name).0)
}

pub(in crate::cli::cp) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

pub(in crate::cli::cp) fn set_file_times(file: &File, times: &Times) -> io::Result<()> {
    let (created, modified) = (system_time(times.created), system_time(times.modified));
    let accessed = system_time(times.accessed);
    file.set_times(FileTimes::new().set_created(created).set_modified(modified).set_accessed(accessed))
}

/// The nearest that the host can express.
fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let base = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let nanos = Duration::from_nanos(time.nanos.min(999_999_999).into());
    base.and_then(|base| base.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}
