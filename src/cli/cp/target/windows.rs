//! The destination on Windows. Paths are verbatim (`\\?\C:\…`): of any length, and without special components. Only links
//! could lead outside: a folder is entered only when it was created here or verified not to be a link, and a link of the
//! image never replaces a folder.

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
    cli::cp::{Context, CopyError, content, folder::Folder, names},
    platform,
};

/// `ERROR_INVALID_NAME`
pub(in crate::cli::cp) const INVALID_NAME: i32 = 123;
/// Separates a file's name from its stream's: the replacement character for a colon in names, as a real colon would open the
/// stream itself.
pub(in crate::cli::cp) const COLON: &str = "\u{f03a}";
const ATTRIBUTE_READONLY: u32 = 0x1;
/// Attributes that a program may set: READONLY, HIDDEN, SYSTEM, ARCHIVE, NOT_CONTENT_INDEXED.
const SETTABLE: u32 = 0x2027;
const SPARSE: u32 = 0x200;
const REPARSE_POINT: u32 = 0x400;
const WRITE_ATTRIBUTES: u32 = 0x100;
/// `FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT`: opens directories, and links themselves.
const ITSELF: u32 = 0x0220_0000;

/// The directory below which everything is created.
pub(in crate::cli::cp) struct Target {
    verbatim: PathBuf,
    /// As the user wrote it.
    path: PathBuf,
}

impl Target {
    /// Opens an existing directory, through links in the path that the user gave.
    pub(in crate::cli::cp) fn open(path: &Path) -> io::Result<Self> {
        let verbatim = fs::canonicalize(path)?;
        if !fs::metadata(&verbatim)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { verbatim, path: path.to_owned() })
    }

    /// The directory's path for messages.
    pub(in crate::cli::cp) fn path(&self) -> &Path {
        &self.path
    }

    /// No limit on file sizes is known in advance.
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

    /// The existing entry with this name; links are not followed.
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
        // For links and other reparse points the standard library's `is_dir` is not reliable.
        let directory = found.is_dir() && found.file_attributes() & REPARSE_POINT == 0;
        Ok(Some(if directory { Existing::Directory(id) } else { Existing::Other(id) }))
    }

    pub(in crate::cli::cp) fn make_folder(&self, parent: &Folder<'_>, name: &OsStr) -> io::Result<()> {
        fs::create_dir(self.place(parent, name))
    }

    /// Creates a file, which must not exist.
    pub(in crate::cli::cp) fn create(
        &self,
        folder: &Folder<'_>,
        name: &OsStr,
        attributes: u32,
    ) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // The handle that creates a file may write to it even if the file is read-only from then on.
        options.write(true).create_new(true).attributes(attributes & SETTABLE);
        let file = options.open(self.place(folder, name))?;
        if attributes & SPARSE != 0 {
            // A file that cannot be made sparse takes more space, and reads the same.
            let _ = platform::set_sparse(&file);
        }
        Ok(file)
    }

    /// Renames a file of the folder. Without `replace` an existing file is left and reported.
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
        // Windows does not replace a read-only file; the caller has decided that it may be replaced.
        let attributes = fs::symlink_metadata(&to)?.file_attributes();
        if attributes & ATTRIBUTE_READONLY == 0 {
            return fs::rename(from, to);
        }
        platform::set_attributes(&to, attributes & SETTABLE & !ATTRIBUTE_READONLY)?;
        fs::rename(from, &to).inspect_err(|_| {
            // The rename failed: the file keeps its attributes.
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

    /// Creates a hard link; fails where the name exists.
    pub(in crate::cli::cp) fn hard_link(
        &self,
        from: (&Folder<'_>, &OsStr),
        to: (&Folder<'_>, &OsStr),
    ) -> io::Result<()> {
        fs::hard_link(self.place(from.0, from.1), self.place(to.0, to.1))
    }

    /// Creates a symbolic link with this text, which is not examined. Windows distinguishes links to directories.
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

    /// Sets the times of the target's root directory.
    pub(in crate::cli::cp) fn set_own_times(&self, times: &Times) -> io::Result<()> {
        set_times_of(&self.verbatim, times)
    }

    /// Opens a directory, to set attributes.
    pub(in crate::cli::cp) fn open_directory(&self, folder: &Folder<'_>) -> io::Result<File> {
        OpenOptions::new().access_mode(WRITE_ATTRIBUTES).custom_flags(ITSELF).open(self.directory(folder))
    }

    /// Sets the attributes of a directory.
    pub(in crate::cli::cp) fn set_folder_attributes(
        &self,
        folder: &Folder<'_>,
        attributes: u32,
        _: &Times,
    ) -> io::Result<()> {
        platform::set_attributes(&self.directory(folder), attributes & SETTABLE)
    }

    /// Creates a named stream of a file or directory of the folder; with an empty name, of the folder itself.
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

/// Stores a stream as a named stream of the destination.
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
    content::copy_whole(context, source, &file, &|| shown.clone(), buffer)
}

/// No limit: Windows has none per process.
pub(in crate::cli::cp) fn file_limit() -> Option<u64> {
    None
}

/// Does nothing: a file is created with its attributes.
pub(in crate::cli::cp) fn set_attributes(_: &File, _: u32, _: &Times) -> io::Result<()> {
    Ok(())
}

fn set_times_of(path: &Path, times: &Times) -> io::Result<()> {
    let file = OpenOptions::new().access_mode(WRITE_ATTRIBUTES).custom_flags(ITSELF).open(path)?;
    set_file_times(&file, times)
}

/// The Windows name for a name of the image.
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

/// The nearest time that the host can express.
fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let base = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let nanos = Duration::from_nanos(time.nanos.min(999_999_999).into());
    base.and_then(|base| base.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}
